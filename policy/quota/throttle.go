package quota

import (
	"encoding/json"
	"math"
	"time"
)

// MaxThrottleBody is the longest body, in bytes, that ParseThrottle reads. The
// answer that throttles carries no data, so it is short.
const MaxThrottleBody = 64 << 10

// A Throttle is what a GraphQL response says of its points.
type Throttle struct {
	// View is of the points, a bucket that refills steadily.
	View View

	// Wanted is how many points the query asked for. 0: not said.
	// View.Back(Wanted, now) is when there are as many.
	Wanted float64

	// Refused reports that the query was refused for it, although the status is
	// 200.
	Refused bool
}

// ParseThrottle reads the cost and the throttleStatus that Shopify puts into
// the extensions of a GraphQL response. now is when it arrived. It is false
// where there is none, or none that makes sense, or body is longer than
// MaxThrottleBody.
func ParseThrottle(body []byte, now time.Time) (Throttle, bool) {
	if len(body) > MaxThrottleBody {
		return Throttle{}, false
	}
	var said struct {
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
		Extensions struct {
			Cost struct {
				Requested      float64 `json:"requestedQueryCost"`
				ThrottleStatus struct {
					Maximum   float64  `json:"maximumAvailable"`
					Available *float64 `json:"currentlyAvailable"`
					Rate      float64  `json:"restoreRate"` // points a second
				} `json:"throttleStatus"`
			} `json:"cost"`
		} `json:"extensions"`
	}
	if json.Unmarshal(body, &said) != nil {
		return Throttle{}, false
	}
	status := said.Extensions.Cost.ThrottleStatus
	if status.Available == nil || !sane(*status.Available) || !sane(status.Maximum) || status.Maximum == 0 {
		return Throttle{}, false
	}
	t := Throttle{View: View{Bucket: "graphql", Unit: Points, Limit: Known(status.Maximum), Refill: Gradual}}
	t.View.Remaining = Known(min(*status.Available, status.Maximum))
	if missing := status.Maximum - t.View.Remaining.N; sane(status.Rate) && missing/status.Rate <= MaxReset.Seconds() {
		t.View.Reset = now.Add(time.Duration(math.Ceil(missing / status.Rate * 1e9)))
	}
	if sane(said.Extensions.Cost.Requested) {
		t.Wanted = said.Extensions.Cost.Requested
	}
	for _, e := range said.Errors {
		t.Refused = t.Refused || e.Extensions.Code == "THROTTLED"
	}
	return t, true
}

// sane reports whether n can be a count.
func sane(n float64) bool { return n >= 0 && n < 1e15 }
