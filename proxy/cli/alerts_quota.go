package cli

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
	// lookout is how often the quotas are looked at.
	lookout = 10 * time.Second
)

// lowMark is in the subject of an alert about a quota that is low.
const lowMark = "low:"

// A quotaWatch looks at the quotas that are learned, and tells of those that are low, once
// until they are back.
type quotaWatch struct {
	states func() []policy.UpstreamStatus
	book   *alert.Book
	low    map[string]bool // subjects that were told; the goroutine's own

	ending chan struct{}
	ended  chan struct{} // closed when the goroutine has ended
}

func watchQuotas(states func() []policy.UpstreamStatus, book *alert.Book) *quotaWatch {
	w := &quotaWatch{states: states, book: book, ending: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *quotaWatch) run() {
	defer close(w.ended)
	ticks := time.NewTicker(lookout)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			w.look(time.Now())
		case <-w.ending:
			return
		}
	}
}

func (w *quotaWatch) close() {
	close(w.ending)
	<-w.ended
}

// look raises what is low now, and ends what is not any more.
func (w *quotaWatch) look(now time.Time) {
	low := make(map[string]bool)
	for _, up := range w.states() {
		for _, q := range up.Quotas {
			subject := up.Name + "/" + lowMark + q.Key + " " + q.Bucket
			if !isLow(q, now, w.low[subject]) {
				continue
			}
			low[subject] = true
			w.book.Raise(quotaLow, subject, fmt.Sprintf("Quota %s of %s at %.0f %%", q.Bucket, up.Name, math.Floor(100**q.Utilization)),
				fmt.Sprintf("%s of %s are left at %s until %s", amount(math.Floor(q.Learned.Remaining)), amount(q.Learned.Limit), q.Key,
					q.Learned.Reset.Local().Format(time.RFC3339)))
		}
	}
	for subject := range w.low {
		if !low[subject] {
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
