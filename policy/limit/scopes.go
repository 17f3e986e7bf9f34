package limit

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxKeys is how many are kept, of dispatchers and of the quotas of each, before those
// without any state go.
const maxKeys = 4096

const (
	// mostScopes is how many are kept before those without any state go, however lately a
	// call came to them.
	mostScopes = 32 * 1024
	// scopeRests is for how long no call has come to the others. Thousands of tenants that
	// all call would lose theirs each time, and make it again.
	scopeRests = 10 * time.Second
)

// scopes are the dispatchers by scope. Locks are taken in the order scopes, dispatcher,
// held.
type scopes struct {
	generation atomic.Uint64 // of inForce; written under mu
	held       held
	newest     atomic.Pointer[scope] // most often the only one; nil: it may be gone

	mu      sync.RWMutex
	inForce *Quotas
	byName  map[string]*dispatcher // some have several names, once scopes have become wider
	sweepAt int                    // the size of byName at which to look for idle ones
}

// A scope is one by its name.
type scope struct {
	name string
	*dispatcher
}

func newScopes(q *Quotas) *scopes {
	return &scopes{inForce: q, byName: make(map[string]*dispatcher), sweepAt: maxKeys}
}

func (s *scopes) find(name string) *dispatcher {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

func (s *scopes) get(name string) *dispatcher {
	if newest := s.newest.Load(); newest != nil && newest.name == name { // mostly
		return newest.dispatcher
	}
	return s.another(name)
}

// another is get for a scope that is not the newest.
func (s *scopes) another(name string) *dispatcher {
	if d := s.find(name); d != nil {
		return d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byName[name]
	if d == nil {
		if len(s.byName) >= s.sweepAt {
			s.sweep()
		}
		d = newDispatcher(s.inForce)
		s.byName[name] = d
	}
	s.newest.Store(&scope{name, d})
	return d
}

// sweep drops the idle dispatchers: a new one would be in the same state. The
// next sweep is as many new scopes away as this one has left, so that a new scope
// costs a constant amount of sweeping.
func (s *scopes) sweep() {
	s.newest.Store(nil)
	now := time.Now()
	rested := now.Add(-scopeRests)
	if len(s.byName) >= mostScopes {
		rested = now
	}
	for name, d := range s.byName {
		if d.retire(now, rested) {
			delete(s.byName, name)
		}
	}
	s.sweepAt = max(maxKeys, 2*len(s.byName))
	if len(s.byName) < mostScopes {
		s.sweepAt = min(s.sweepAt, mostScopes)
	}
}

func (s *scopes) adopt(q *Quotas) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation.Load() >= q.generation {
		return
	}
	s.inForce = q
	for _, d := range s.distinct() {
		d.reset(q)
	}
	if q.wider != nil {
		s.widen(q.wider)
	}
	s.generation.Store(q.generation)
}

// widen brings together the dispatchers for whose scopes wider has the same name. They
// are found by their old names as well, by calls that came before.
func (s *scopes) widen(wider func(string) string) {
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		to := wider(name)
		if s.byName[to] == nil {
			s.byName[to] = newDispatcher(s.inForce)
		}
		if d := s.byName[name]; d != s.byName[to] {
			s.byName[to].takeOver(d)
			s.byName[name] = s.byName[to]
		}
	}
}

// distinct are the dispatchers, each once.
func (s *scopes) distinct() []*dispatcher {
	all := make(map[*dispatcher]bool, len(s.byName))
	for _, d := range s.byName {
		all[d] = true
	}
	return slices.Collect(maps.Keys(all))
}

func (s *scopes) list() []*dispatcher {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.distinct()
}
