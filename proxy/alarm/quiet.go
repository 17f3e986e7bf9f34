package alarm

import (
	"fmt"
	"math/bits"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// quietFailures is an upstream that answers with failures of which the status says nothing.
// Those that mean a fault, a throttle or an exhausted quota have the alerts of these.
var quietFailures = alert.Rule{Name: "quiet-failures", Severity: alert.Warning}

const (
	// quietWindow is how many good answers of an upstream are judged, the latest. At least
	// leastQuiet of them, and half of all, have to be failures, and that has to be more than
	// chance by what was before: some are everybody's life.
	quietWindow = 20
	leastQuiet  = 5
	// quietLasts is for how long that is believed without another failure.
	quietLasts = time.Hour
	// quietMemory is after how many answers what was before is halved.
	quietMemory = 1000
)

// quietCounts know of each upstream which of its latest answers were quiet failures.
type quietCounts struct {
	mu     sync.Mutex
	byName map[string]*quietCount
}

type quietCount struct {
	latest uint32 // a bit for each of the latest answers, the newest the lowest: 1 is a failure
	of     int    // how many these are, at most quietWindow
	before tally  // answers before these, without those while it was told
	told   bool
	last   time.Time // of the latest failure
}

func newQuietCounts() *quietCounts { return &quietCounts{byName: make(map[string]*quietCount)} }

// quietly learns from a call whether its upstream fails quietly.
func (a *Alarms) quietly(r *telemetry.Record, now time.Time) {
	if !judgedQuiet(r) {
		return
	}
	failures, of, change := a.quiet.count(r.Upstream, r.Quiet != "", now)
	if change == quietNone { // as nearly all calls are
		return
	}
	subject := marked(r.Upstream, quietMark, "")
	switch change {
	case quietBegins:
		a.book.Raise(quietFailures, alert.Trouble{
			Subject: subject, Trace: r.TraceID, Calls: failures,
			Title:  r.Upstream + " answers " + fmt.Sprint(r.Status) + ", and fails",
			Detail: fmt.Sprintf("%d of the latest %d answers are failures of which their status says nothing, the latest: %s", failures, of, r.Quiet),
			Action: "Look at the calls (outrider tail quiet), and at what their application makes of such an answer.",
		})
	case quietEnds:
		a.book.Resolve(subject, quietFailures)
	case quietLast:
		if r.Quiet != "" {
			a.book.Meet(r.TraceID, func(met alert.Alert) bool { return met.Rule == quietFailures.Name && met.Subject == subject })
		}
	}
}

// judgedQuiet reports whether a call has an answer of its upstream with a good status, that
// no other rule is about.
func judgedQuiet(r *telemetry.Record) bool {
	if r.Problem != "" || r.Stale != "" || r.Status < 200 || r.Status >= 400 {
		return false
	}
	return r.Class == policy.ClassOK || r.Class == policy.ClassAuth
}

// A quietChange is what an answer means for the alert.
type quietChange int

const (
	quietNone quietChange = iota
	quietBegins
	quietLast // it was told, and is so still
	quietEnds // less than a quarter are failures
)

// count counts an answer, and says how many of the latest are failures.
func (c *quietCounts) count(upstream string, failed bool, now time.Time) (failures, of int, change quietChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.byName[upstream]
	if u == nil {
		u = &quietCount{}
		c.byName[upstream] = u
	}
	u.push(failed)
	if failed {
		u.last = now
	}
	failures, of = bits.OnesCount32(u.latest), u.of
	switch {
	case !u.told && failures >= leastQuiet && 2*failures >= of && noChance(tally{calls: of, failed: failures}, u.before):
		u.told, change = true, quietBegins
	case u.told && 4*failures < of:
		u.told, change = false, quietEnds
	case u.told:
		change = quietLast
	}
	return failures, of, change
}

// push makes an answer the newest. The oldest goes to those before.
func (u *quietCount) push(failed bool) {
	if u.of == quietWindow && !u.told {
		u.before.calls++
		u.before.failed += int(u.latest >> (quietWindow - 1))
		if u.before.calls >= quietMemory {
			u.before.calls, u.before.failed = u.before.calls/2, u.before.failed/2
		}
	}
	u.of = min(u.of+1, quietWindow)
	u.latest = u.latest << 1 & (1<<quietWindow - 1)
	if failed {
		u.latest |= 1
	}
}

// over lists the upstreams of which it was told, and that have had no failure for long. Those
// that are not there are forgotten.
func (c *quietCounts) over(there map[string]bool, now time.Time) (ended []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, u := range c.byName {
		switch {
		case !there[name]: // the reload has said that it is over
			delete(c.byName, name)
		case u.told && now.Sub(u.last) >= quietLasts:
			u.told, u.latest, u.of = false, 0, 0
			ended = append(ended, name)
		}
	}
	return ended
}

// A quietLook ends what nobody calls any more.
type quietLook struct {
	book   *alert.Book
	counts *quietCounts
}

func (l *quietLook) look(upstreams []policy.UpstreamStatus, now time.Time) {
	there := make(map[string]bool, len(upstreams))
	for _, up := range upstreams {
		there[up.Name] = true
	}
	for _, name := range l.counts.over(there, now) {
		l.book.Resolve(marked(name, quietMark, ""), quietFailures)
	}
}
