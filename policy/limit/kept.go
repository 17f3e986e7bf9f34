package limit

import (
	"slices"
	"sync"
	"time"

	"outrider/policy/pace"
)

// Kept is a quota that a restart must not forget: something of it is spent, or its gate
// is closed, for pace.Long at least.
type Kept struct {
	Table  string // the name of its table
	Key    string
	Bucket string // as in State
	// Usual says that most calls count to this bucket: after a restart they are bound by
	// it before an answer has named it.
	Usual bool
	Gate  time.Time // closed by the provider until then; zero: open
	State pace.Kept
}

// Until is when it says nothing any more.
func (k *Kept) Until() time.Time { return later(k.Gate, k.State.Until) }

// Keep gives the quotas that a restart must not forget, in no order. One that nobody has
// spent of since is the same.
func (q *Quotas) Keep() (kept []Kept) {
	now := time.Now()
	q.scopes.held.forget(now)
	for _, d := range q.scopes.list() {
		kept = d.appendKept(kept, now)
	}
	return kept
}

// Restore takes over what Keep gave before a restart, and keeps nothing of it that is over.
// A quota gets what is its own when it begins, and one that has begun at once: what has
// been spent since comes on top, and what answers have told since goes before, so that
// nobody gets more room by it. Those of tables that there are not wait for one of that
// name.
func (q *Quotas) Restore(kept []Kept) {
	q.scopes.held.put(kept, time.Now())
	for _, d := range q.scopes.list() {
		d.restoreBegun()
	}
}

// appendKept adds the quotas that are worth it, with its own locking.
func (d *dispatcher) appendKept(kept []Kept, now time.Time) []Kept {
	d = d.lock()
	defer d.mu.Unlock()
	for _, m := range d.meters {
		k := Kept{Table: m.name, Key: m.key, Bucket: m.bucket, Usual: d.usual(m)}
		var long bool
		if m.learned != nil {
			k.State, long = m.learned.Keep(now)
		} else {
			k.State, long = pace.Keep(m.shape, now)
		}
		if now.Before(m.gate.until) {
			k.Gate = m.gate.until
		}
		if long || k.Gate.Sub(now) >= pace.Long {
			kept = append(kept, k)
		}
	}
	return kept
}

// usual reports whether a meter is a bucket to which most calls of its base count.
func (d *dispatcher) usual(m *meter) bool {
	base := d.meters[station{table: m.table, key: m.key}]
	return base != nil && slices.Contains(base.learner.usual, m)
}

// restoreBegun hands those quotas that have begun what is held for them, with its own
// locking.
func (d *dispatcher) restoreBegun() {
	d = d.lock()
	defer d.mu.Unlock()
	if d.retired {
		return // What is held is for the one that comes in its place.
	}
	now := d.now()
	var begun []*meter
	for _, m := range d.meters {
		if m.learned == nil {
			begun = append(begun, m)
		}
	}
	for _, m := range begun {
		d.restore(m, now)
	}
	for _, l := range slices.Clone(d.backlog) {
		d.changed(l, now)
	}
	d.review(now)
	d.advance(now)
}

// restore hands a meter of a table what is held for it, and for its buckets.
func (d *dispatcher) restore(m *meter, now time.Time) {
	var usual []*meter
	for _, k := range d.tables.scopes.held.take(m.name, m.key) {
		of := m
		if k.Bucket != "" {
			if !m.settings.Learn {
				continue
			}
			if of = d.bucketNamed(m, k.Bucket); of == nil {
				continue
			}
		}
		of.restore(&k, now)
		if k.Usual && k.Bucket != "" { // a bucket alone is, whatever else what is kept says
			usual = append(usual, of)
		}
	}
	if known := &m.learner; len(usual) > 0 && len(known.usual) == 0 {
		known.agree = 1
		d.setUsual(m, usual, now)
	}
}

// restore takes over what was kept. A gate that is further ahead than any hint was kept
// by a clock that has been set back since.
func (m *meter) restore(k *Kept, now time.Time) {
	if m.learned != nil {
		m.learned.Restore(k.State, now)
	} else {
		k.State.Restore(m.shape, now)
	}
	if m.settings.Learn && k.Gate.After(now) && k.Gate.Sub(now) <= maxHint+maxSpread {
		m.gate.close(k.Gate, m.settings.gently())
	}
}

// holds reports whether something is held for one of these stations.
func (q *Quotas) holds(stations []station) bool {
	return slices.ContainsFunc(stations, func(s station) bool {
		table := q.table(s.table)
		return table != nil && q.scopes.held.has(table.Name, s.key)
	})
}

// A held is what was kept of quotas that have not begun. Its lock is taken last.
type held struct {
	mu     sync.Mutex
	kept   map[heldFor][]Kept
	quotas int // in all of kept
}

// A heldFor is a quota of a table. Those of its buckets are held with it.
type heldFor struct{ table, key string }

// maxHeld bounds how many quotas are held.
const maxHeld = 10_000

func (h *held) put(kept []Kept, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kept == nil {
		h.kept = make(map[heldFor][]Kept)
	}
	for _, k := range kept {
		if h.quotas < maxHeld && k.Until().After(now) {
			at := heldFor{k.Table, k.Key}
			h.kept[at] = append(h.kept[at], k)
			h.quotas++
		}
	}
}

func (h *held) has(table, key string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.kept[heldFor{table, key}]) > 0
}

// take gives what is held for a quota, once.
func (h *held) take(table, key string) []Kept {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := heldFor{table, key}
	kept := h.kept[at]
	delete(h.kept, at)
	h.quotas -= len(kept)
	return kept
}

// forget drops what is over.
func (h *held) forget(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for at, kept := range h.kept {
		left := slices.DeleteFunc(kept, func(k Kept) bool { return !k.Until().After(now) })
		h.quotas -= len(kept) - len(left)
		if h.kept[at] = left; len(left) == 0 {
			delete(h.kept, at)
		}
	}
}
