package answer

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Meaning is what an answer means.
type Meaning string

// The meanings.
const (
	Exhausted Meaning = "exhausted" // the quota is spent, and no waiting helps soon
	Throttled Meaning = "throttled" // too fast: the quota is to be left alone for a while
	Busy      Meaning = "busy"      // to be tried again, and no matter of any quota
	Refused   Meaning = "refused"   // about permission: it would be refused again
	Fault     Meaning = "fault"     // the provider failed, as it says elsewhere by a 500
	Failed    Meaning = "failed"    // what the caller asked for was not done, as it says elsewhere by a 4xx
	Partial   Meaning = "partial"   // a part of it was not done
)

// Meanings are all that there are.
func Meanings() []Meaning {
	return []Meaning{Exhausted, Throttled, Busy, Refused, Fault, Failed, Partial}
}

// A Rule says what some answers mean. It looks into one of Field, Header and GraphQL.
type Rule struct {
	Statuses []int // of the answers that it is about

	// Concerns says which requests it is about. Nil: all of them.
	Concerns func(*http.Request) bool

	// Field is a path into a body of JSON, "error.code". Lists on the way, and at the
	// top, are searched, and "*" is any name.
	Field string

	// Header is the name of a header field.
	Header string

	// GraphQL is about answers that say THROTTLED and how many points are left: see
	// quota.ParseThrottle. What they and the good ones say of points is in the Finding.
	GraphQL bool

	// Values are what the field has to be, and Contains what it has to have in it,
	// whatever the case of letters: one of them. Without either a Header has to be there,
	// and at a Field has to be something: neither null nor false, 0, nor empty.
	Values, Contains []string

	// AtLeast is a number that the Field has to reach, in place of Values. 0: none.
	AtLeast int

	// Unless is a path like Field, at which there is nothing. "": it does not matter.
	Unless string

	Means Meaning

	// Wait is for how long the provider is left alone where the answer does not say it;
	// of Throttled and Busy. 0: that is not known.
	Wait time.Duration
}

// check reports everything that is wrong with r.
func (r *Rule) check() error {
	var errs []error
	wrong := func(is bool, text string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(text, args...))
		}
	}
	places := 0
	for _, named := range []bool{r.Field != "", r.Header != "", r.GraphQL} {
		if named {
			places++
		}
	}
	wrong(len(r.Statuses) == 0, "needs a status")
	wrong(places != 1, "needs one of field, header and graphql")
	wrong(len(r.Values) > 0 && len(r.Contains) > 0, "needs values or contains, and not both")
	wrong(r.AtLeast != 0 && len(r.Values)+len(r.Contains) > 0, "needs at_least, or values or contains, and not both")
	wrong(r.AtLeast < 0, "at_least = %d: must not be negative", r.AtLeast)
	wrong(r.Field == "" && (r.AtLeast != 0 || r.Unless != ""), "has at_least and unless with a field alone")
	wrong(r.Wait < 0, "wait = %v: must not be negative", r.Wait)
	wrong(!slices.Contains(Meanings(), r.Means), "means = %q: must be one of %v", r.Means, Meanings())
	return errors.Join(errs...)
}

// A pattern is a Rule, ready for use.
type pattern struct {
	Rule
	path     []string // of Field
	unless   []string // of Unless; nil: it does not matter
	contains []string // in lower case
	glance   glance   // before a body is read
}

func newPattern(r Rule) pattern {
	p := pattern{Rule: r}
	p.Header = http.CanonicalHeaderKey(r.Header)
	if r.Field != "" {
		p.path = strings.Split(r.Field, ".")
	}
	if r.Unless != "" {
		p.unless = strings.Split(r.Unless, ".")
	}
	for _, part := range r.Contains {
		p.contains = append(p.contains, strings.ToLower(part))
	}
	p.glance = newGlance(&p)
	return p
}

// concerns reports whether an answer to req is one that the pattern is about.
func (p *pattern) concerns(req *http.Request) bool { return p.Concerns == nil || p.Concerns(req) }

// word is the one of the pattern's own words that a text fits.
func (p *pattern) word(text string) (word string, fits bool) {
	if i := slices.Index(p.Values, text); i >= 0 {
		return p.Values[i], true
	}
	if len(p.contains) > 0 {
		text = strings.ToLower(text)
	}
	for i, part := range p.contains {
		if strings.Contains(text, part) {
			return p.Contains[i], true
		}
	}
	return "", false
}

// inHeader looks for the word in the header, and names both: a word of a header is often
// a mere number.
func (p *pattern) inHeader(h http.Header) (word string, fits bool) {
	values := h[p.Header]
	if len(p.Values)+len(p.Contains) == 0 {
		return p.Header, len(values) > 0
	}
	for _, v := range values {
		if word, fits = p.word(strings.Trim(v, " \t")); fits {
			return p.Header + ": " + word, true
		}
	}
	return "", false
}
