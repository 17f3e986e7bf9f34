package quota

import (
	"net/http"
	"time"
)

// Holds reports whether v asks that nothing more be sent to its quota until it
// has come back, in an answer with this status. hinted says that the answer has
// a Retry-After.
//
// It does if nothing is left, whatever the status. It also does on a 429
// that nothing explains better: not if requests are left in it, since then
// another quota refused (a secondary limit, of which the reset of an hour says
// nothing), but of tokens, bytes or points a few may be left and too few.
//
// A Retry-After on an answer that throttles takes precedence over all of it
// (draft-ietf-httpapi-ratelimit-headers-11, section 7).
func (v View) Holds(status int, hinted bool) bool {
	switch {
	case v.Unit == Concurrency, hinted && throttles(status):
		return false
	case v.Remaining.Known && (v.Unit == Requests || v.Unit == ""):
		return v.Spent()
	case status == http.StatusTooManyRequests:
		return v.Remaining.Known || !v.Reset.IsZero()
	}
	return v.Spent()
}

// throttles reports whether a Retry-After with this status is about a quota,
// or about an overload that is to be waited for in the same way.
func throttles(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusForbidden || status == http.StatusServiceUnavailable
}

// Exhausted reports whether a quota of an answer is to be left alone (see
// View.Holds), and until when: the latest time of those that are. The time is
// zero if no View names one, as with a rolling window. views were read at now.
//
// One request is what has to be back. Of other units nobody knows how many the
// next call takes, so it is the Reset of these.
func Exhausted(views []View, status int, hinted bool, now time.Time) (until time.Time, exhausted bool) {
	for _, v := range views {
		if !v.Holds(status, hinted) {
			continue
		}
		exhausted = true
		back := v.Reset
		if v.Unit == Requests {
			back = v.Back(1, now)
		}
		if back.After(until) {
			until = back
		}
	}
	return until, exhausted
}
