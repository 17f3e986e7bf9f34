package limit

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Group is the quotas that share Settings, one for each key. A quota begins
// with the first call to its key, with all its room. Its methods may be called
// at the same time.
type Group struct {
	settings   Settings
	generation uint64
	quotas     *quotas // the same in every generation
}

// New returns a Group with the settings s, which takes over the quotas of prev.
// It does not change prev, whose settings hold for both until Adopt. prev may
// be nil. The error names every field of s that is wrong.
func New(s Settings, prev *Group) (*Group, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("checking limit: %w", err)
	}
	g := &Group{settings: s}
	if prev == nil {
		g.quotas = &quotas{settings: &g.settings, byKey: make(map[string]*dispatcher), sweepAt: maxKeys}
		return g, nil
	}
	g.generation, g.quotas = prev.generation+1, prev.quotas
	return g, nil
}

// Adopt puts the settings of g in force for the quotas that it took over, and
// for the calls in line there. Call it when g has been published; the first
// call through g does it otherwise. Further calls do nothing, and neither does
// a Group that a later one has followed.
func (g *Group) Adopt() {
	if g.quotas.generation.Load() < g.generation {
		g.quotas.adopt(g)
	}
}

// State is one quota at one moment.
type State struct {
	Key     string        `json:"key"`
	Tokens  float64       `json:"tokens"`        // calls that may be sent at once; 0 without a rate
	Room    float64       `json:"room"`          // the most that Tokens can be; 0 without a rate
	Active  int           `json:"active"`        // calls on their way
	Waiting int           `json:"waiting"`       // calls in line
	Line    Line          `json:"line"`          // the same by class
	Wait    time.Duration `json:"wait_ns"`       // as Estimate
	Gate    time.Time     `json:"gate,omitzero"` // closed by the provider until then; zero: open
}

// Line is how many calls wait in each class. A call that has waited long is in a
// higher class than that of its priority.
type Line struct {
	High   int `json:"high"`
	Normal int `json:"normal"`
	Low    int `json:"low"`
}

// Snapshot returns the state of every quota, by key.
func (g *Group) Snapshot() []State {
	all := g.quotas.list()
	now := time.Now()
	states := make([]State, len(all))
	for i, d := range all {
		states[i] = d.state(now)
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Compare(a.Key, b.Key) })
	return states
}

// Estimate is Forecast for a call of normal priority, and of the caller without a
// name, that costs one.
func (g *Group) Estimate(key string) time.Duration {
	wait, _ := g.Forecast(key, Claim{}, 1)
	return wait
}

// Forecast says how long a call to key that arrives now would wait for its turn,
// and who waits there: exactly, as far as rate and gate go, and if nobody comes who
// goes before it; by the mean time that calls took so far, for a concurrency slot.
func (g *Group) Forecast(key string, claim Claim, cost int) (time.Duration, Line) {
	d := g.quotas.find(key)
	if d == nil {
		return 0, Line{}
	}
	return d.forecast(claim, cost)
}

// maxKeys is how many quotas are kept before those without any state go.
const maxKeys = 4096

// quotas are the dispatchers by key. Locks are taken in the order quotas,
// dispatcher.
type quotas struct {
	generation atomic.Uint64 // of the Group whose settings are in force; written under mu

	mu       sync.RWMutex
	settings *Settings
	byKey    map[string]*dispatcher
	sweepAt  int // the size of byKey at which to look for idle ones
}

func (q *quotas) find(key string) *dispatcher {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.byKey[key]
}

func (q *quotas) get(key string) *dispatcher {
	if d := q.find(key); d != nil {
		return d
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if d := q.byKey[key]; d != nil {
		return d
	}
	if len(q.byKey) >= q.sweepAt {
		q.sweep()
	}
	d := newDispatcher(key, q.settings)
	q.byKey[key] = d
	return d
}

// sweep drops the idle dispatchers: a new one would be in the same state. The
// next sweep is as many new keys away as this one has left, so that a new key
// costs a constant amount of sweeping.
func (q *quotas) sweep() {
	now := time.Now()
	for key, d := range q.byKey {
		if d.retire(now) {
			delete(q.byKey, key)
		}
	}
	q.sweepAt = max(maxKeys, 2*len(q.byKey))
}

func (q *quotas) adopt(g *Group) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.generation.Load() >= g.generation {
		return
	}
	q.settings = &g.settings
	for _, d := range q.byKey {
		d.reset(&g.settings)
	}
	q.generation.Store(g.generation)
}

func (q *quotas) list() []*dispatcher {
	q.mu.RLock()
	defer q.mu.RUnlock()
	all := make([]*dispatcher, 0, len(q.byKey))
	for _, d := range q.byKey {
		all = append(all, d)
	}
	return all
}
