package alert

import (
	"sync"
	"time"
)

// maxWaiting bounds the alerts that wait for one target.
const maxWaiting = 1000

// A queue is what waits for one target, and how it was told so far.
type queue struct {
	Target
	more chan struct{} // has one element while there is something new
	end  chan struct{} // closed when the target is none any more, and by Close

	allowance allowance // of the goroutine that serves

	mu      sync.Mutex
	waiting []Alert
	untold  int // alerts that will not be told: there were too many
	status  TargetStatus
}

// A TargetStatus says how it goes with a target. It shows nothing that is secret.
type TargetStatus struct {
	Target  string     `json:"target"`            // its host; "": its URL was not read yet, or cannot be
	Kind    string     `json:"kind,omitempty"`    // "slack", "discord", "teams", "pagerduty", "mail" or "webhook"
	Sent    int        `json:"sent"`              // messages that it took
	Last    *time.Time `json:"last,omitempty"`    // when it took the last
	Waiting int        `json:"waiting,omitempty"` // alerts
	Untold  int        `json:"untold,omitempty"`  // alerts that it was not told of, since there were too many
	Error   string     `json:"error,omitempty"`   // why it did not take the last try
	Failing *time.Time `json:"failing,omitempty"` // since when no try has succeeded
}

func (q *queue) put(a Alert) {
	q.mu.Lock()
	if len(q.waiting) < maxWaiting {
		q.waiting = append(q.waiting, a)
	} else {
		q.untold++
	}
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default: // it knows
	}
}

// take takes at most so many alerts out, with how many are not to be told at all.
func (q *queue) take(most int) (taken []Alert, untold int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	most = min(most, len(q.waiting))
	taken, q.waiting = q.waiting[:most:most], q.waiting[most:]
	untold, q.untold = q.untold, 0
	q.status.Untold += untold
	return taken, untold
}

// thin counts, in place of telling them, the alerts that have begun and ended while the
// target could not be told.
func (q *queue) thin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	begun := make(map[key]int) // → place in kept
	kept := make([]Alert, 0, len(q.waiting))
	gone := make(map[int]bool) // places in kept
	for _, a := range q.waiting {
		k := key{a.Rule, a.Subject}
		if place, ok := begun[k]; ok && a.Ended != nil {
			gone[place] = true
			delete(begun, k)
			q.untold++
			continue
		}
		if a.Ended == nil {
			begun[k] = len(kept)
		}
		kept = append(kept, a)
	}
	q.waiting = q.waiting[:0]
	for i, a := range kept {
		if !gone[i] {
			q.waiting = append(q.waiting, a)
		}
	}
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0
}

// pause waits, and tells whether the queue goes on.
func (q *queue) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.end:
		return false
	}
}

// known notes what the target is.
func (q *queue) known(t target) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.status.Target, q.status.Kind = t.host, t.kind.String()
}

// tried notes how a try has ended.
func (q *queue) tried(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if err == nil {
		q.status.Sent++
		q.status.Last, q.status.Error, q.status.Failing = &now, "", nil
		return
	}
	q.status.Error = err.Error()
	if q.status.Failing == nil {
		q.status.Failing = &now
	}
}

func (q *queue) state() TargetStatus {
	q.mu.Lock()
	defer q.mu.Unlock()
	status := q.status
	status.Waiting = len(q.waiting)
	return status
}

// lose notes alerts that are not told, for another reason than their number.
func (q *queue) lose(alerts int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.status.Untold += alerts
}

// ending reports that there will be no later time to send what waits.
func (q *queue) ending() bool {
	select {
	case <-q.end:
		return true
	default:
		return false
	}
}
