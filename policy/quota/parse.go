package quota

import (
	"math/bits"
	"net/http"
	"strings"
	"time"
)

// maxViews is how many views one response may give, however much it says.
const maxViews = 16

// A reading is one response while it is read.
type reading struct {
	header http.Header
	now    time.Time
	date   time.Time // on the provider's clock, for now; zero: not looked at yet
	views  []View
}

// Parse returns what a response says of quotas, in an order that is always the
// same, at most 16 of them. now is when the header arrived. d says how the
// provider speaks; nil: in any of the ways that are told apart by their look.
//
// A response with an Age above 0 comes from a cache and tells how things were
// for somebody else: it says nothing. A field is ignored by itself if it is
// malformed, negative or absurd, and if it is there several times without
// being a list.
func Parse(header http.Header, now time.Time, d *Dialect) []View {
	if d == nil {
		d = generic
	}
	var told uint32
	for field := range header {
		if d.may(field) { // seldom: a response that tells of none costs a look at its names
			told |= d.fields[field]
		}
	}
	if told == 0 || cached(header) {
		return nil
	}
	r := &reading{header: header, now: now, views: make([]View, 0, bits.OnesCount32(told))}
	for ; told != 0; told &= told - 1 {
		d.statements[bits.TrailingZeros32(told)].read(r)
	}
	if len(r.views) == 0 {
		return nil
	}
	return r.views
}

// cached reports whether a response comes from a cache (RFC 9111 section 5.1).
// An Age that cannot be read was meant to be one.
func cached(header http.Header) bool {
	for _, age := range header["Age"] {
		if strings.Trim(age, "0 \t") != "" {
			return true
		}
	}
	return false
}

// add keeps a view, if it says anything.
func (r *reading) add(v View) {
	if len(r.views) < maxViews && v.settle() {
		r.views = append(r.views, v)
	}
}

// one is the value of a field that is there once.
func (r *reading) one(field string) string {
	if values := r.header[field]; len(values) == 1 {
		return trim(values[0])
	}
	return ""
}

// count reads a number, also with parameters behind it ("76;w=21600").
func (r *reading) count(field string) Count {
	v, _, _ := strings.Cut(r.one(field), ";")
	if a, ok := number(trim(v)); ok {
		return a.count()
	}
	return Count{}
}

// ratio reads a number of used units and the limit: "32/40".
func ratio(v string) (used, limit Count) {
	first, second, _ := strings.Cut(v, "/")
	a, okA := number(trim(first))
	b, okB := number(trim(second))
	if !okA || !okB {
		return Count{}, Count{}
	}
	return a.count(), b.count()
}
