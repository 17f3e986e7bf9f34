package limit

import (
	"math"
	"time"

	"outrider/policy/pace"
)

// A meter is one quota: of a table, and of a key. Its dispatcher guards it.
type meter struct {
	station
	name     string // of its table
	settings *Settings
	shape    pace.Shape
	gate     gate

	learned  *pace.Learned // of a bucket, the same as shape; nil: it is none
	slots    int           // of a bucket: how many may be on their way, as answers say; 0: any number
	spoken   time.Time     // of a bucket: when an answer said that
	learner  learner       // of a base
	adaptive pace.Adaptive // of a base

	active int           // calls on their way
	held   time.Duration // smoothed time for which a call held its slot; 0: unknown

	waiting load             // in all lanes that pass it
	queued  [priorities]load // those in lanes that wait for it more than for their others
	lanes   int              // how many lanes that is
	kept    reservation      // for the first of the heads that cannot go
}

func newMeter(at station, t *Table) *meter {
	s := &t.Settings
	return &meter{station: at, name: t.Name, settings: s, shape: s.rate().New(nil, time.Time{})}
}

// reset puts other settings in force. Without Learn nothing of what was learned is left.
func (m *meter) reset(s *Settings, now time.Time) {
	if m.learned != nil {
		m.adopt(s)
		return
	}
	m.settings = s
	if !s.Learn {
		m.learner, m.adaptive = learner{}, pace.Adaptive{}
	}
	m.shape = s.rate().New(m.shape, now)
	m.gate.reset(now, s.gently())
}

// open reports whether a call may go, as far as this meter is concerned.
func (m *meter) open(now time.Time, cost int) bool { return !m.full(now, cost) && m.due(now, cost) }

// due reports whether gate and rate let a call go.
func (m *meter) due(now time.Time, cost int) bool {
	return m.ready(now, cost) || m.undecided(now, cost) && !now.Before(m.gate.until) && m.adaptive.Ready(now, cost)
}

// ready is due where answers need not tell if something is left for the call.
func (m *meter) ready(now time.Time, cost int) bool {
	return !now.Before(m.gate.until) && m.adaptive.Ready(now, cost) && m.shape.Ready(now, cost)
}

// undecided reports whether only answers can tell if something is left for a call.
func (m *meter) undecided(now time.Time, cost int) bool {
	return m.learned != nil && m.learned.Held(now, cost)
}

// full reports whether nobody may go before somebody has come back: all slots are
// taken, or those that a gate gives while it opens, or what is left of a learned quota
// is on its way.
func (m *meter) full(now time.Time, cost int) bool { return m.free() <= 0 || m.undecided(now, cost) }

// free is how many may go before somebody has come back. A reload may have left more
// on their way than there are slots.
func (m *meter) free() int {
	free := plenty
	if slots := m.settings.Concurrency; slots > 0 {
		free = slots - m.active
	}
	if m.gate.width > 0 {
		free = min(free, m.gate.width-m.gate.passing)
	}
	return free
}

// plenty is meter.free where nothing but the rate limits.
const plenty = int(^uint(0) >> 1)

// turnOf is when a call may go that costs so much and has others ahead of it that
// cost ahead together, as far as rate and gate tell. Slots can only make it later.
func (m *meter) turnOf(now time.Time, ahead, cost int) time.Time {
	if now.Before(m.gate.until) {
		now = m.gate.until
	}
	return later(m.shape.Turn(now, ahead, cost), m.adaptive.Turn(now, ahead, cost))
}

func (m *meter) unspend(now, spent time.Time, cost int) {
	m.shape.Unspend(now, spent, cost)
	m.adaptive.Unspend(now, spent, cost)
}

// comesBack is the time in which a bucket gets back what a call costs. A window gets
// nothing back before it ends, and loses nothing either.
func (m *meter) comesBack(cost int) time.Duration {
	s := m.settings
	if s.Count == 0 || s.Kind == pace.Window {
		return 0
	}
	return time.Duration(math.Round(float64(cost) * float64(s.Per) / s.Count))
}

// slotWait estimates how long a call waits for a slot that has so many ahead of it,
// with the time that calls held theirs so far (J. Little's law); before the first has
// ended, as nothing.
func (m *meter) slotWait(ahead int) time.Duration {
	slots := m.settings.Concurrency
	needed := ahead + 1 - (slots - m.active)
	if slots == 0 || needed <= 0 {
		return 0
	}
	return time.Duration(math.Round(float64(m.held) * float64(needed) / float64(slots)))
}

// obstacle says what keeps the next from going.
func (m *meter) obstacle(now time.Time) string {
	switch {
	case now.Before(m.gate.until) || m.gate.narrow():
		return waitGate
	case m.free() <= 0:
		return waitConcurrency
	case m.learned != nil:
		return waitQuota
	default:
		return waitRate
	}
}

// idle reports whether a new one would be in the same state, or in the one that the next
// good answer makes of it.
func (m *meter) idle(now time.Time) bool {
	if m.waiting.calls > 0 || m.active > 0 || now.Before(m.gate.until) {
		return false
	}
	if m.learned != nil {
		return !m.learned.Known(now)
	}
	for _, bucket := range m.learner.buckets {
		if !bucket.idle(now) {
			return false
		}
	}
	return m.shape.Left(now) >= m.shape.Room() && m.adaptive.Over(now)
}

// byClass is how many wait for it, in each class.
func (m *meter) byClass() Line {
	waiting := func(p Priority) int { return m.queued[p.index()].calls }
	return Line{High: waiting(High), Normal: waiting(Normal), Low: waiting(Low)}
}
