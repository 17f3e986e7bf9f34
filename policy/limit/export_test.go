package limit

import (
	"fmt"
	"slices"
	"time"

	"outrider/policy/pace"
)

// Passes is how often the heads of lines have been looked at.
func (q *Quotas) Passes() (passes uint64) {
	for _, d := range q.scopes.list() {
		d.mu.Lock()
		passes += d.pass
		d.mu.Unlock()
	}
	return passes
}

// Mislead has the quotas that have begun tell all who come that their turn is in a while,
// which it never is.
func (q *Quotas) Mislead(while time.Duration) {
	for _, d := range q.scopes.list() {
		d.mu.Lock()
		for _, m := range d.meters {
			m.shape = never{while: while}
		}
		d.mu.Unlock()
	}
}

type never struct {
	pace.None
	while time.Duration
}

func (never) Ready(time.Time, int) bool { return false }

func (n never) Turn(from time.Time, _, _ int) time.Time { return from.Add(n.while) }

// Problems are what is wrong with what the dispatchers believe, and with who waits.
func (q *Quotas) Problems() (problems []string) {
	for _, d := range q.scopes.list() {
		d.mu.Lock()
		now := time.Now()
		d.catchUp(now) // In real time, the timer may be late.
		problems = append(problems, d.miscounted()...)
		problems = append(problems, d.keptForNobody()...)
		for i := range d.backlog {
			problems = append(problems, d.heldUpForNothing(i, now)...)
		}
		d.mu.Unlock()
	}
	return problems
}

// keptForNobody is what a call would be kept from although nobody waits.
func (d *dispatcher) keptForNobody() (problems []string) {
	for _, m := range d.meters {
		if len(d.backlog) == 0 && m.kept.pass == d.pass && (m.kept.slot || m.kept.rate) {
			problems = append(problems, fmt.Sprintf("%s keeps %+v for nobody", m.key, m.kept))
		}
	}
	return problems
}

// Flying is what the calls cost that are taken to be on their way: by the lanes, and by
// the buckets.
func (q *Quotas) Flying() (flying int) {
	for _, d := range q.scopes.list() {
		d.mu.Lock()
		for _, l := range d.lanes {
			flying += l.flying
			for _, b := range l.buckets {
				flying += b.early
			}
		}
		for _, m := range d.meters {
			if m.learned != nil {
				flying += m.learned.Flying()
			}
		}
		d.mu.Unlock()
	}
	return flying
}

// miscounted holds what meters and lanes know of each other against a count.
func (d *dispatcher) miscounted() (problems []string) {
	waiting, queued, lanes := make(map[*meter]load), make(map[*meter][priorities]load), make(map[*meter]int)
	distinct := make(map[*lane]bool)
	for _, l := range d.lanes {
		distinct[l] = true
	}
	for l := range distinct {
		if l.line.len() > 0 != slices.Contains(d.backlog, l) {
			problems = append(problems, "the backlog is not the lanes in which somebody waits")
		}
		for _, m := range l.meters {
			waiting[m] = waiting[m].plus(l.line.load())
		}
		if at := l.counted.at; at != nil {
			sum := queued[at]
			for k, waiting := range l.line.byClass() {
				sum[k] = sum[k].plus(waiting)
			}
			queued[at] = sum
			lanes[at]++
		}
	}
	for _, m := range d.meters {
		if m.waiting != waiting[m] || m.queued != queued[m] || m.lanes != lanes[m] {
			problems = append(problems, fmt.Sprintf("%s counts %v, %v, %d, and it is %v, %v, %d", m.name, m.waiting, m.queued, m.lanes, waiting[m], queued[m], lanes[m]))
		}
	}
	if !slices.IsSortedFunc(d.backlog, func(a, b *lane) int {
		if a.tag.before(b.tag) {
			return -1
		}
		return 1
	}) {
		problems = append(problems, "the backlog is out of order")
	}
	return problems
}

// heldUpForNothing looks for a head that could go, and would make none later that goes
// before it.
func (d *dispatcher) heldUpForNothing(i int, now time.Time) (problems []string) {
	l := d.backlog[i]
	cost := l.line.first().cost
	for _, m := range l.meters {
		if !m.open(now, cost) {
			return nil
		}
	}
	for _, before := range d.backlog[:i] {
		head := before.line.first()
		turn := now
		for _, m := range before.meters {
			turn = later(turn, m.turnOf(now, 0, head.cost))
		}
		for _, m := range before.meters {
			if l.has(m) && (head.ripe && m.free() < 2 || m.turnOf(now, cost, head.cost).After(turn)) {
				return nil
			}
		}
	}
	return []string{fmt.Sprintf("the head of lane %d of %d could go", i, len(d.backlog))}
}
