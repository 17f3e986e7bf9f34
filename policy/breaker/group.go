package breaker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A wildcard upstream has as many hosts as its callers like to name, and another one
// thousands of credentials that are all in use.
const (
	manyCircuits = 4096      // are kept before those that no call came to for a window go
	maxCircuits  = 32 * 1024 // bound those of a Group
)

// A Group is a set of circuits under the same Settings, one for each key. Its
// methods may be called from many goroutines.
type Group struct {
	settings Settings
	version  int // of the Settings in force for what is shared
	shared   *shared
}

// shared is what a Group has in common with the Groups that it was built from.
type shared struct {
	owner atomic.Pointer[Group] // whose Settings are in force

	latest atomic.Pointer[circuit] // that a call came to; nil: it may be gone

	mu       sync.RWMutex
	circuits map[string]*circuit // key → circuit
	sweepAt  int                 // the size of circuits at which to look for unused ones
	ordered  order               // an operator's, about all circuits
}

// New returns a Group that shares the circuits of prev, if prev is not nil. It
// changes nothing of prev: the circuits follow the new Settings from Adopt on.
// The error lists everything that is wrong with s.
func New(s Settings, prev *Group) (*Group, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("circuit settings: %w", err)
	}
	if prev != nil {
		return &Group{settings: s, version: prev.version + 1, shared: prev.shared}, nil
	}
	g := &Group{settings: s, shared: &shared{circuits: make(map[string]*circuit), sweepAt: manyCircuits}}
	g.shared.owner.Store(g)
	return g, nil
}

// Adopt puts the Settings of g in force for the circuits that it shares with
// the Group it was built from. Call it when g has been published; the first
// call through g does it otherwise. It does nothing for a Group that a newer
// one has followed.
func (g *Group) Adopt() {
	for owner := g.shared.owner.Load(); owner.version < g.version; owner = g.shared.owner.Load() {
		g.shared.owner.CompareAndSwap(owner, g)
	}
}

// rules are the Settings in force.
func (g *Group) rules() *Settings { return &g.shared.owner.Load().settings }

// circuit gives the circuit of key. It is nil when there are too many and none
// can be dropped, because every one of them keeps calls back at this moment.
func (s *shared) circuit(key string, rules *Settings, now time.Time) *circuit {
	if c := s.latest.Load(); c != nil && c.key == key { // mostly
		return c
	}
	return s.another(key, rules, now)
}

// another is circuit for a key that is not that of the latest call.
func (s *shared) another(key string, rules *Settings, now time.Time) *circuit {
	s.mu.RLock()
	c := s.circuits[key]
	if c != nil {
		s.latest.Store(c)
	}
	s.mu.RUnlock()
	if c != nil {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.circuits[key]; c != nil {
		return c
	}
	if len(s.circuits) >= s.sweepAt {
		s.sweep(rules.Window, now)
	}
	if len(s.circuits) >= maxCircuits && !s.makeRoom(rules.Window, now) {
		return nil
	}
	c = newCircuit(key, rules, now)
	if s.ordered.holds(now) {
		c.obey(s.ordered, rules, now)
	}
	s.circuits[key] = c
	return c
}

// sweep drops the circuits that keep no call back and that none came to for a window. The
// next sweep is as many new keys away as this one has left circuits, so that a new key costs
// a constant amount of sweeping.
func (s *shared) sweep(window time.Duration, now time.Time) {
	for key, c := range s.circuits {
		if used, ok := c.idle(window, now); ok && now.Sub(used) >= window {
			delete(s.circuits, key)
		}
	}
	s.latest.Store(nil)
	s.sweepAt = max(manyCircuits, 2*len(s.circuits))
}

// makeRoom drops a circuit that has not been used for long, and that keeps no
// call back: a closed one, or one whose time is over and that nobody has probed
// for a window. It looks at some, in the random order of the map, and at more
// only while it finds none.
func (s *shared) makeRoom(window time.Duration, now time.Time) bool {
	const enough = 64
	var oldest *circuit
	var oldestUse time.Time
	seen := 0
	for _, c := range s.circuits {
		if used, ok := c.idle(window, now); ok && (oldest == nil || used.Before(oldestUse)) {
			oldest, oldestUse = c, used
		}
		if seen++; seen >= enough && oldest != nil {
			break
		}
	}
	if oldest == nil {
		return false
	}
	delete(s.circuits, oldest.key)
	s.latest.Store(nil)
	return true
}

// State is what one circuit is like at one moment.
type State struct {
	Key   string `json:"key"`
	State string `json:"state"` // "closed", "open", "half-open"

	// Until is when an open circuit lets a probe through. It stays open after
	// that until a request comes that may be it. Zero while closed, and while Held.
	Until time.Time `json:"until,omitzero"`

	// Held says that it stays open until an operator closes it.
	Held bool `json:"held,omitempty"`

	// Cause is why it opened last, while it is not closed: too large a share of
	// "failures" or of "slow" answers, a "run" of failures of any kind or of those to
	// "connect", a "silent" provider, a failed "probe", or an "operator".
	Cause string `json:"cause,omitempty"`

	// Share is the part of the calls that passes, while a circuit that a probe has
	// closed does not let all of them pass yet; else zero.
	Share float64 `json:"share,omitempty"`

	Openings int `json:"openings"` // in a row, none of which has lasted

	// Since is when the first of them was, and Refused how many calls were since then,
	// while not all calls pass; else zero.
	Since   time.Time `json:"since,omitzero"`
	Refused int       `json:"refused,omitempty"`

	Ended  int `json:"ended"`  // attempts in the window, while closed
	Failed int `json:"failed"` // of them
	Slow   int `json:"slow"`   // of them
}

// Snapshot gives the state of every circuit, in the order of their keys. It is
// passive: it never moves a circuit.
func (g *Group) Snapshot() []State {
	g.shared.mu.RLock()
	circuits := make([]*circuit, 0, len(g.shared.circuits))
	for _, c := range g.shared.circuits {
		circuits = append(circuits, c)
	}
	g.shared.mu.RUnlock()

	now := time.Now()
	states := make([]State, len(circuits))
	for i, c := range circuits {
		states[i] = c.snapshot(now)
	}
	slices.SortFunc(states, func(a, b State) int { return strings.Compare(a.Key, b.Key) })
	return states
}

func (c *circuit) snapshot(now time.Time) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Key: c.key, State: c.state.String(), Openings: c.opened}
	if c.state != closed {
		s.Cause, s.Held, s.Since, s.Refused = c.cause, c.held, c.first, c.refused
		if !c.held {
			s.Until = c.gate()
		}
		return s
	}
	if share := c.ramp.share(c.rules.Ramp, now); share < 1 {
		s.Share, s.Since, s.Refused = share, c.first, c.refused
	}
	all := c.recent.sum(c.recent.number(now))
	s.Ended, s.Failed, s.Slow = int(all.ended()), int(all.failed), int(all.slow)
	return s
}

// Closed reports that the circuit of a key lets every call pass. It is passive.
func (g *Group) Closed(key string) bool {
	c, now := g.shared.known(key), time.Now()
	if c == nil {
		_, ordered := g.shared.standing(now)
		return !ordered
	}
	s := c.snapshot(now)
	return s.State == closed.String() && s.Share == 0
}

// Refuses reports that a request of a key which comes after a delay would be refused, as
// things are: the circuit is open, and will not probe by then. It is passive.
func (g *Group) Refuses(key string, delay time.Duration) bool {
	c, now := g.shared.known(key), time.Now()
	if c == nil {
		standing, ordered := g.shared.standing(now.Add(delay))
		return ordered && standing.open
	}
	s := c.snapshot(now)
	return s.State == open.String() && (s.Held || now.Add(delay).Before(s.Until))
}

// known is the circuit of a key, or nil where there is none yet.
func (s *shared) known(key string) *circuit {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.circuits[key]
}

// Wrap returns a decorator that puts each request under the circuit of its key.
func (g *Group) Wrap(key func(*http.Request) string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return &stage{group: g, key: key, next: next}
	}
}
