package alarm

import (
	"fmt"
	"math"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// quotaLow is a quota that will be spent long before it is back, if calls go on like this.
var quotaLow = alert.Rule{Name: "quota-low", Severity: alert.Warning}

const (
	// lowShare is how much of a quota is used up when somebody is told.
	lowShare = 0.8
	// lowAhead is how far away its reset is at least. One that is nearer is waited for, which
	// is what pacing is for, and nobody has to act.
	lowAhead = 10 * time.Minute
)

// A quotaLook looks at the quotas that are learned, and tells of those that are low, once
// until they are back.
type quotaLook struct {
	book *alert.Book
	low  map[string]spending // subjects that are, or were by the last look, low → how they are spent
}

// look raises what is low now, and ends what is not any more.
func (w *quotaLook) look(upstreams []policy.UpstreamStatus, now time.Time) {
	low := make(map[string]spending)
	for _, up := range upstreams {
		for _, q := range up.Quotas {
			subject := marked(up.Name, lowMark, q.Key+" "+q.Bucket)
			spent, still := w.low[subject]
			if !isLow(q, now, still) {
				continue
			}
			low[subject] = spent.with(q.Learned.Remaining, now)
			w.book.Raise(quotaLow, alert.Trouble{
				Subject: subject,
				Title:   fmt.Sprintf("Quota %s of %s at %.0f %%", q.Bucket, up.Name, math.Floor(100**q.Utilization)),
				Detail: fmt.Sprintf("%s of %s are left at %s until %s%s", amount(math.Floor(q.Learned.Remaining)), amount(q.Learned.Limit), q.Key,
					q.Learned.Reset.Local().Format(time.RFC3339), low[subject].forecast(*q.Learned.Reset, now)),
				Action: "Find out who spends it (outrider status, the page), and stop what can wait; calls will wait for the reset, or be refused, when it is gone.",
			})
		}
	}
	for subject := range w.low {
		if _, still := low[subject]; !still {
			w.book.Resolve(subject, quotaLow)
		}
	}
	w.low = low
}

// isLow reports whether a quota is low, or still is.
func isLow(q policy.QuotaStatus, now time.Time, still bool) bool {
	if q.Learned == nil || q.Learned.Reset == nil || q.Utilization == nil || *q.Utilization < lowShare {
		return false
	}
	return still || q.Learned.Reset.Sub(now) >= lowAhead
}
