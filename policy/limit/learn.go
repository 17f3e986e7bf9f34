package limit

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/hint"
	"outrider/policy/quota"
)

// maxHint cuts what can only be a mistake: a date in the wrong format, an
// epoch where seconds were meant.
const maxHint = 24 * time.Hour

// A Meaning is what an answer means for its quota where its status does not say it.
type Meaning int

// The meanings.
const (
	AsStatus  Meaning = iota // what its status says
	Throttled                // too fast
	Exhausted                // the quota is spent, and that is no matter of pace
	Unrelated                // it is about something else: an answer like any other
)

// An Answer is what an answer means, whatever its status.
type Answer struct {
	Meaning Meaning
	After   time.Duration // for how long nothing is to be sent; 0: it does not say. Of Throttled what the header says goes before
}

// A verdict is what an answer says of our pace.
type verdict struct {
	fine  bool          // the provider is content with it
	after time.Duration // for how long nothing is to be sent; not positive: it does not say
}

// learn reads what the answer to a request says: by what it means, or else by its status.
func (g *Group) learn(req *http.Request, resp *http.Response, now time.Time) verdict {
	s, said := &g.settings, Answer{}
	if s.Answer != nil {
		said = s.Answer(req, resp)
	}
	switch said.Meaning {
	case Throttled:
		v := byStatus(http.StatusTooManyRequests, resp.Header, now, s.Dialect)
		if v.after <= 0 {
			v.after = min(said.After, maxHint)
		}
		return v
	case Exhausted:
		return verdict{true, min(said.After, maxHint)}
	case Unrelated:
		return byStatus(http.StatusOK, resp.Header, now, s.Dialect)
	}
	return byStatus(resp.StatusCode, resp.Header, now, s.Dialect)
}

// byStatus reads a status and its header. RFC 6585 section 4: 429, with or without a time; RFC 9110 section
// 15.6.4: a 503 that names a time; a 403 that names one, or says that nothing is left
// (GitHub). A 429 that names no time, neither by Retry-After nor as that of its quota,
// does not say for how long, and the call that got it backs off.
func byStatus(status int, header http.Header, now time.Time, dialect *quota.Dialect) verdict {
	throttle := status == http.StatusTooManyRequests
	if throttle || status == http.StatusServiceUnavailable || status == http.StatusForbidden {
		if after, named := hint.RetryAfter(header, now); named {
			return verdict{false, min(after, maxHint)}
		}
	}
	until, exhausted := exhausted(status, header, now, dialect)
	throttle = throttle || exhausted && status == http.StatusForbidden
	return verdict{!throttle, min(until.Sub(now), maxHint)}
}

// exhausted reports whether the provider says that nothing is left of what this call
// counted to, and until when; an error that has its quota's reset beside it is only an
// error. A quota that has a name of its own ("search") is one of several: that it is
// spent holds up no other calls, unless it is what refused this one.
func exhausted(status int, header http.Header, now time.Time, dialect *quota.Dialect) (until time.Time, exhausted bool) {
	refused := status == http.StatusTooManyRequests || status == http.StatusForbidden
	views := slices.DeleteFunc(quota.Parse(header, now, dialect), func(v quota.View) bool {
		return !refused && (!usual(v.Bucket) || v.Partition != "" || v.Unit != quota.Requests)
	})
	return quota.Exhausted(views, status, false, now)
}

// usual reports whether a bucket is the one that most calls count to: it has no name, or
// that of the examples of the IETF draft, or GitHub's, or is called after its window.
func usual(bucket string) bool {
	switch bucket {
	case "", "default", "core":
		return true
	}
	return strings.HasPrefix(bucket, "w=")
}
