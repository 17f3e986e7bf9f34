package quota

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
)

// MaxThrottleBody is the longest body, in bytes, that ParseThrottle reads.
const MaxThrottleBody = 512 << 10

// A Throttle is what a GraphQL response says of its points.
type Throttle struct {
	// View is of the points, a bucket that refills steadily. A query has to find as many
	// as it may take at most, its Asked, and what it did not take is given back to the
	// bucket with its answer. View.Back(View.Asked.N, now) is when there are as many.
	View View

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
	if !bytes.Contains(body, []byte(throttled)) {
		if t, ok := parseThrottle(ending(body), now); ok && t.View.Taken.Known { // It was not refused, however that is written.
			return t, true
		}
	}
	return parseThrottle(body, now)
}

// throttled is the code of the error of a query that was refused for its points.
const throttled = "THROTTLED"

// ending is an object of the last extensions of a body and of what is behind them. What
// stands before is data, and to read it takes a hundred times as long as the rest (30 KB:
// half a millisecond). It is no JSON where these extensions are not those of the response.
func ending(body []byte) []byte {
	i := bytes.LastIndex(body, []byte(`"extensions"`))
	if i < 0 {
		return nil
	}
	return append([]byte{'{'}, body[i:]...)
}

func parseThrottle(body []byte, now time.Time) (Throttle, bool) {
	var said struct {
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
		Extensions struct {
			Cost struct {
				Requested      *float64 `json:"requestedQueryCost"`
				Actual         *float64 `json:"actualQueryCost"` // null: it was refused
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
	if sane(status.Rate) && status.Maximum/status.Rate <= MaxReset.Seconds() {
		missing := status.Maximum - t.View.Remaining.N
		t.View.Restore, t.View.Reset = status.Rate, now.Add(time.Duration(math.Ceil(missing/status.Rate*1e9)))
	}
	t.View.Asked, t.View.Taken = count(said.Extensions.Cost.Requested, status.Maximum), count(said.Extensions.Cost.Actual, status.Maximum)
	for _, e := range said.Errors {
		t.Refused = t.Refused || e.Extensions.Code == throttled
	}
	return t, true
}

// count is what a field tells, if it does: not more than there ever is.
func count(n *float64, most float64) Count {
	if n == nil || !sane(*n) {
		return Count{}
	}
	return Known(min(*n, most))
}

// sane reports whether n can be a count: as of an amount, nothing is finer than a billionth.
func sane(n float64) bool { return n == 0 || n >= 1e-9 && n < 1e15 }
