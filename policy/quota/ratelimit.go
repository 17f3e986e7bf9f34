package quota

import (
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// ratelimit are the fields of draft-ietf-httpapi-ratelimit-headers. Of its
// forms the newest that a response has is read:
//
//	RateLimit: "default";r=50;t=30            revision 8 and later
//	RateLimit: limit=100, remaining=50, reset=30            revision 7
//	RateLimit-Limit: 100 / RateLimit-Remaining: 50 / RateLimit-Reset: 30
//
// A reset of it promises that no more than the rest may be used before, and
// not that everything is back after it (revision 11, section 4.1.2).
type ratelimit struct {
	service string // RateLimit
	policy  string // RateLimit-Policy
	three   counts
	unit    Unit // where no policy names another
}

func (f ratelimit) read(r *reading) {
	policies := r.policies(f.policy, f.unit)
	if items := r.list(f.service); items != nil {
		for _, member := range items {
			if item, ok := member.(httpsfv.Item); ok {
				f.addItem(r, item, policies)
			}
		}
	} else {
		v, ok := r.dictionary(f.service)
		if !ok {
			var behind []policy
			v, behind = f.three.view(r)
			if len(policies) == 0 { // some say them twice
				policies = behind
			}
		}
		v.join(policies)
		r.add(v)
	}
	r.addRest(policies)
}

func (f ratelimit) fields() []string {
	return append(f.three.fields(), f.service, f.policy)
}

// addItem adds the view of one item of RateLimit.
func (f ratelimit) addItem(r *reading, item httpsfv.Item, policies []policy) {
	bucket, partition, ok := names(item)
	if !ok {
		return
	}
	v := View{Bucket: bucket, Partition: partition, Unit: f.unit, Remaining: param(item, "r"), Reset: r.delta(item, "t")}
	v.join(policies)
	r.add(v)
}

// dictionary reads the RateLimit of revision 7.
func (r *reading) dictionary(field string) (View, bool) {
	values, ok := r.bounded(field)
	if !ok {
		return View{}, false
	}
	members, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return View{}, false
	}
	v := View{Unit: Requests}
	for _, name := range members.Names() {
		member, _ := members.Get(name)
		item, _ := member.(httpsfv.Item)
		a, ok := decimal(item.Value)
		switch {
		case !ok:
		case name == "limit":
			v.Limit = a.count()
		case name == "remaining":
			v.Remaining = a.count()
		case name == "reset":
			v.Reset = r.in(a.of(time.Second))
		}
	}
	return v, true
}

// list reads a List of structured fields; nil: there is none, or it is
// malformed, which makes all of it void (RFC 9651 section 4.2).
func (r *reading) list(field string) httpsfv.List {
	values, ok := r.bounded(field)
	if !ok {
		return nil
	}
	list, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return nil
	}
	return list
}

// bounded are the values of a field, if they are not longer than any that tells
// of quotas in earnest.
func (r *reading) bounded(field string) ([]string, bool) {
	values := r.header[field]
	size := 0
	for _, v := range values {
		size += len(v)
	}
	return values, strings.TrimSpace(strings.Join(values, "")) != "" && size <= 4096
}

// delta is a parameter in seconds from now.
func (r *reading) delta(item httpsfv.Item, name string) time.Time {
	if given, ok := item.Params.Get(name); ok {
		if a, ok := decimal(given); ok {
			return r.in(a.of(time.Second))
		}
	}
	return time.Time{}
}
