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

// A verdict is what an answer says of our pace.
type verdict struct {
	fine  bool          // the provider is content with it
	after time.Duration // for how long nothing is to be sent; not positive: it does not say
}

// learn reads it. RFC 6585 section 4: 429, with or without a time; RFC 9110 section
// 15.6.4: a 503 that names a time; a 403 that names one, or says that nothing is left
// (GitHub). A 429 that names no time, neither by Retry-After nor as that of its quota,
// does not say for how long, and the call that got it backs off.
func learn(resp *http.Response, now time.Time) verdict {
	throttle := resp.StatusCode == http.StatusTooManyRequests
	if throttle || resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusForbidden {
		if after, named := hint.RetryAfter(resp.Header, now); named {
			return verdict{false, min(after, maxHint)}
		}
	}
	until, exhausted := exhausted(resp, now)
	throttle = throttle || exhausted && resp.StatusCode == http.StatusForbidden
	return verdict{!throttle, min(until.Sub(now), maxHint)}
}

// exhausted reports whether the provider says that nothing is left of what this call
// counted to, and until when; an error that has its quota's reset beside it is only an
// error. A quota that has a name of its own ("search") is one of several: that it is
// spent holds up no other calls, unless it is what refused this one.
func exhausted(resp *http.Response, now time.Time) (until time.Time, exhausted bool) {
	refused := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusForbidden
	views := slices.DeleteFunc(quota.Parse(resp.Header, now, nil), func(v quota.View) bool {
		return !refused && (!usual(v.Bucket) || v.Partition != "" || v.Unit != quota.Requests)
	})
	return quota.Exhausted(views, resp.StatusCode, false, now)
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
