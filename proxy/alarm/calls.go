package alarm

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// callCounts count the calls of upstreams, for what can only be seen over many. Nothing of
// them is shown but what alerts say.
type callCounts struct {
	brought brought

	mu     sync.RWMutex
	byName map[string]*callCount
}

func newCallCounts() *callCounts { return &callCounts{byName: make(map[string]*callCount)} }

// A tally counts calls that have ended, and the answers that they got on the way.
type tally struct {
	calls, failed      int // calls that came to their upstream, and those that it failed
	answers, throttled int // answers, and those that asked for patience
}

func (t *tally) add(more tally) {
	t.calls += more.calls
	t.failed += more.failed
	t.answers += more.answers
	t.throttled += more.throttled
}

// The latest minutes are judged, by what came in the day before them.
const (
	latestMinutes = 5
	dayCell       = 15 * time.Minute
	dayCells      = int(24 * time.Hour / dayCell)
)

// A callCount counts the calls of one upstream. A minute that is over goes into the day, if
// it was a good one: what is wrong now must not become what is usual.
type callCount struct {
	mu      sync.Mutex
	minute  int64 // of the newest cell, counted from 1970
	latest  [latestMinutes]tally
	quarter int64 // the same of the day
	day     [dayCells]usual
	ill     bool // see callsLook: what comes now does not go into the day

	failure  example // the latest
	throttle example
}

// A usual is what a quarter of an hour had, in a quarter of the memory of a tally: each of
// thousands of upstreams has a hundred.
type usual struct{ calls, failed uint32 }

// An example is a call to look at.
type example struct {
	trace, reason string
}

// failed reports whether a call shows that its upstream does not do what it is there for: it
// failed, or refused our credential. What its caller did wrong is no failure of its, and
// what we refused never came to it.
func (c *callCounts) failed(r *telemetry.Record) bool {
	return r.Class == policy.ClassFault || r.Stale != "" ||
		r.Status == http.StatusUnauthorized && r.Class == policy.ClassAuth && !c.brought.by(r)
}

// tallyOf counts one call.
func tallyOf(r *telemetry.Record, failed bool) tally {
	if r.Class == policy.ClassLocal || r.Class == policy.ClassClientGone || r.Class == policy.ClassBroken || r.Class == policy.ClassKept {
		return tally{}
	}
	t := tally{calls: 1}
	if failed {
		t.failed = 1
	}
	for i := range r.Tries {
		switch {
		case !r.Tries[i].Sent || r.Tries[i].Status == 0:
			continue
		case r.Tries[i].Status == http.StatusTooManyRequests && r.Class != policy.ClassExhausted:
			t.throttled++
		}
		t.answers++
	}
	if r.Class == policy.ClassThrottled && r.Status != http.StatusTooManyRequests { // by what its answer means
		t.throttled++
	}
	return t
}

// count counts a call that ended at now.
func (c *callCounts) count(r *telemetry.Record, now time.Time) {
	t := tallyOf(r, c.failed(r))
	if t == (tally{}) {
		return
	}
	u := c.of(r.Upstream)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(now)
	u.latest[u.minute%latestMinutes].add(t)
	if t.failed > 0 {
		u.failure = example{r.TraceID, reasonOf(r)}
	}
	if t.throttled > 0 {
		u.throttle = example{trace: r.TraceID}
	}
}

// reasonOf says in a few words how a call failed.
func reasonOf(r *telemetry.Record) string {
	if r.Stale == "" && r.Problem == "" && r.Status > 0 {
		return "status " + strconv.Itoa(r.Status)
	}
	return cmp.Or(r.Stale, r.Problem, r.Error, "no answer")
}

// known is the count of an upstream; nil: it had no call yet.
func (c *callCounts) known(upstream string) *callCount {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byName[upstream]
}

// of is the count of an upstream.
func (c *callCounts) of(upstream string) *callCount {
	if u := c.known(upstream); u != nil {
		return u
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.byName[upstream]
	if u == nil {
		u = &callCount{}
		c.byName[upstream] = u
	}
	return u
}

// retain forgets what is counted of upstreams that are not there any more.
func (c *callCounts) retain(there map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.byName, func(name string, _ *callCount) bool { return !there[name] })
}

// turn begins a new minute when it is time: what is older than the latest goes into the day.
func (u *callCount) turn(now time.Time) {
	minute := now.Unix() / 60
	if u.minute == 0 {
		u.minute = minute
	}
	u.minute = setBack(u.minute, minute)
	for passed := min(minute-u.minute, latestMinutes); passed > 0; passed-- {
		u.minute++
		cell := &u.latest[u.minute%latestMinutes]
		u.retire(*cell, now)
		*cell = tally{}
	}
	u.minute = max(u.minute, minute)
}

// setBack is the newest cell for a clock that says now: after one that was set back there is
// a new one, for else all went into one until it is as late again. One cell behind is a call
// that ended before the latest.
func setBack(newest, now int64) int64 {
	if now < newest-1 {
		return now - 1
	}
	return newest
}

// retire puts a minute into the day.
func (u *callCount) retire(t tally, now time.Time) {
	quarter := now.Unix() / int64(dayCell/time.Second)
	u.quarter = setBack(u.quarter, quarter)
	for passed := min(quarter-u.quarter, int64(dayCells)); passed > 0; passed-- {
		u.quarter++
		u.day[u.quarter%int64(dayCells)] = usual{}
	}
	u.quarter = max(u.quarter, quarter)
	if !u.ill {
		cell := &u.day[quarter%int64(dayCells)]
		cell.calls += uint32(t.calls)
		cell.failed += uint32(t.failed)
	}
}

// A judged is what there is to judge an upstream by.
type judged struct {
	latest      tally
	day         tally // without answers, of which a usual knows nothing
	throttledIn int   // minutes of the latest in which something was
	failure     example
	throttle    example
}

// now is what there is to judge by at now.
func (u *callCount) now(now time.Time) judged {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn(now)
	j := judged{failure: u.failure, throttle: u.throttle}
	for _, t := range u.latest {
		j.latest.add(t)
		if t.throttled > 0 {
			j.throttledIn++
		}
	}
	for _, t := range u.day {
		j.day.add(tally{calls: int(t.calls), failed: int(t.failed)})
	}
	return j
}

// forget forgets the latest minutes: what they say was told as something else.
func (u *callCount) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.latest = [latestMinutes]tally{}
}

// fall says whether what comes now is to stay out of what is usual.
func (u *callCount) fall(ill bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ill = ill
}
