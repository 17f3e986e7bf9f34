package policy

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/limit"
)

// QuotaForecast is what a call would meet at one quota: at those that are configured,
// and then at the buckets that it is taken to count to, by the calls of its route before.
type QuotaForecast struct {
	QuotaStatus
	Cost int     `json:"cost"`          // what it spends of the rate
	Wait float64 `json:"wait"`          // seconds until its turn, if it is of normal priority and its caller has no others in line
	Why  string  `json:"why,omitempty"` // what it would wait for: "rate", "concurrency", "quota" or "gate"; "": it could go
}

// forecast is what a call would meet at the quotas of the upstream, and then at those of
// the rule; how long it would wait for all of them; and how long it may.
func (u *Upstream) forecast(plan *Plan, keys keys, req *http.Request) (forecast []QuotaForecast, wait, longest time.Duration) {
	passes := u.base.quotas
	if plan != u.base {
		passes = slices.Concat(u.base.quotas, plan.quotas)
	}
	cost := plan.Policy.Cost
	stops, wait := u.quotas.Forecast(u.way(passes, cost, keys), req, limit.Claim{})
	longest = plan.Policy.Timeout
	for i, stop := range stops {
		if i >= len(passes) { // a bucket
			i = slices.IndexFunc(passes, func(t table) bool { return t.name == stop.Table })
		}
		q := passes[i]
		if q.MaxWait > 0 || stop.Wait > 0 { // With 0 nobody waits for this one, but for others.
			longest = min(longest, q.MaxWait)
		}
		forecast = append(forecast, QuotaForecast{
			QuotaStatus: quotaStatus(q.Limit, stop.State), Cost: cost, Wait: stop.Wait.Seconds(), Why: stop.Why,
		})
	}
	return forecast, wait, longest
}

// turnText says when a call would have its turn, and what it would wait for. It may wait
// for longest.
func turnText(quotas []QuotaForecast, wait, longest time.Duration) string {
	cause := obstacle(quotas)
	switch {
	case wait > longest:
		return fmt.Sprintf("refused with 429: its turn would come in %.3f s, and it may wait %s%s", wait.Seconds(), longest, cause)
	case wait > 0:
		return fmt.Sprintf("sent in %.3f s%s", wait.Seconds(), cause)
	case cause != "":
		return "sent when another has its answer" + cause
	}
	return "sent at once"
}

// obstacle says what a call would wait for longest, with what stands before it in a
// sentence; "": for nothing.
func obstacle(quotas []QuotaForecast) string {
	var longest *QuotaForecast
	for i := range quotas {
		if q := &quotas[i]; q.Why != "" && (longest == nil || q.Wait > longest.Wait) {
			longest = q
		}
	}
	if longest == nil {
		return ""
	}
	text := ": " + longest.reason()
	if line := longest.Line.String(); line != "" {
		text += ", and " + line + " in line"
	}
	return text
}

// reason says what a call would wait for at this quota.
func (q *QuotaForecast) reason() string {
	known := q.Learned
	switch {
	case q.Why == "gate" && q.Gate != nil:
		return "the provider has closed " + q.whose(q.Bucket) + " until " + clockText(*q.Gate)
	case q.Why == "gate":
		return q.whose(q.Bucket) + " was closed, and opens little by little"
	case q.Why == "concurrency":
		return fmt.Sprintf("all %d that may be are under way for %s", q.Slots, q.whose(q.Bucket))
	case q.Why == "rate" && q.Adapted > 0:
		return fmt.Sprintf("%s goes at %.3g calls a second, since the provider refused more", q.Key, q.Adapted)
	case q.Why == "rate":
		rate, _, _ := strings.Cut(q.Limit, ",")
		return q.whose(rate) + " is spent"
	case known != nil && known.Each > known.Remaining:
		return fmt.Sprintf("%s has %.0f %s left of the %.0f that a call needs%s", q.whose(q.Bucket), math.Floor(known.Remaining), known.Unit, known.Each, known.until())
	case known != nil && known.Remaining >= 1:
		return "what is left of " + q.whose(q.Bucket) + " is stretched" + known.until()
	default:
		return q.whose(q.Bucket) + " is spent" + known.until()
	}
}

// whose names a quota: "core of api.github.com".
func (q *QuotaForecast) whose(name string) string {
	if name == "" {
		return q.Key
	}
	return name + " of " + q.Key
}

// until is when a quota comes back that does so at once.
func (known *LearnedStatus) until() string {
	switch {
	case known == nil:
		return ""
	case known.Shape != "window":
		return ", and comes back little by little"
	case known.Reset == nil:
		return ""
	}
	return " until " + clockText(*known.Reset)
}

// clockText is a time of the day, and of which day, if it is not soon.
func clockText(t time.Time) string {
	if time.Until(t) > 12*time.Hour {
		return t.Format(time.RFC3339)
	}
	return t.Format("15:04:05 MST")
}
