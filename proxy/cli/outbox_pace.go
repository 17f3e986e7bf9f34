package cli

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/outbox"
)

// A pacedOutbox tells also when the quotas let all letters through that wait: at the pace of
// the last minutes a quota that is spent until tomorrow is not seen.
type pacedOutbox struct {
	*outbox.Outbox
	set func() *policy.Set
}

// Standing tells how the outbox stands.
func (p pacedOutbox) Standing(ctx context.Context) (outbox.Standing, error) {
	s, err := p.Outbox.Standing(ctx)
	if err != nil {
		return s, err
	}
	set := p.set()
	states := set.Status()
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		at := slices.IndexFunc(states, func(up policy.UpstreamStatus) bool { return up.Name == u.Upstream })
		if at < 0 || u.Waiting == 0 {
			continue
		}
		calls, took := float64(u.Waiting), 0.0
		if quotas := states[at].Quotas; len(quotas) > 0 {
			took = quotaTime(quotas, calls, time.Now())
		} else if configured, there := set.ByName(u.Upstream); there {
			took = limitTime(configured.Config.Limits, calls)
		}
		u.ETA = math.Round(max(u.ETA, took))
	}
	return s, nil
}

// limitTime is how many seconds it takes until limits have let so many calls through that
// nothing was spent of yet: before the first call there is no quota. 0: they go at once, or
// nobody knows.
func limitTime(limits []config.Limit, calls float64) float64 {
	longest := 0.0
	for _, l := range limits {
		if rate := l.Rate.PerSecond(); rate > 0 {
			longest = max(longest, (calls-float64(max(l.Burst, 1)))/rate)
		}
	}
	return longest
}

// quotaTime is how many seconds it takes until each quota has let so many calls through, and no
// others; 0: they go at once, or nobody knows.
func quotaTime(quotas []policy.QuotaStatus, calls float64, now time.Time) float64 {
	longest := 0.0
	for _, q := range quotas {
		took := rateTime(q, calls)
		if q.Learned != nil {
			took = learnedTime(*q.Learned, calls, now)
		}
		if q.Gate != nil {
			took = max(took, q.Gate.Sub(now).Seconds())
		}
		longest = max(longest, took)
	}
	return longest
}

// rateTime is that of a rate that is configured, which the text of its limit begins with.
func rateTime(q policy.QuotaStatus, calls float64) float64 {
	var rate config.Rate
	text, _, _ := strings.Cut(q.Limit, ", ")
	if q.Room == 0 || rate.UnmarshalText([]byte(text)) != nil || rate.PerSecond() == 0 {
		return 0
	}
	return max(calls-q.Tokens, 0) / rate.PerSecond()
}

// learnedTime is that of a quota that answers tell of. One that comes back at once does so
// first when its reset is, and then once in each window.
func learnedTime(known policy.LearnedStatus, calls float64, now time.Time) float64 {
	left := calls*max(known.Each, 1) - known.Remaining
	if left <= 0 || known.Limit <= 0 {
		return 0
	}
	if known.Shape != "window" {
		return left / known.Limit * known.Window
	}
	first := known.Window
	if known.Reset != nil {
		first = max(known.Reset.Sub(now).Seconds(), 0)
	}
	return first + (math.Ceil(left/known.Limit)-1)*known.Window
}
