package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxKeys is how many are kept, of dispatchers and of the quotas of each, before those
// without any state go.
const maxKeys = 4096

// scopes are the dispatchers by scope. Locks are taken in the order scopes, dispatcher,
// held.
type scopes struct {
	generation atomic.Uint64 // of inForce; written under mu
	held       held

	mu      sync.RWMutex
	inForce *Quotas
	byName  map[string]*dispatcher
	sweepAt int // the size of byName at which to look for idle ones
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
	if d := s.find(name); d != nil {
		return d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.byName[name]; d != nil {
		return d
	}
	if len(s.byName) >= s.sweepAt {
		s.sweep()
	}
	d := newDispatcher(s.inForce)
	s.byName[name] = d
	return d
}

// sweep drops the idle dispatchers: a new one would be in the same state. The
// next sweep is as many new scopes away as this one has left, so that a new scope
// costs a constant amount of sweeping.
func (s *scopes) sweep() {
	now := time.Now()
	for name, d := range s.byName {
		if d.retire(now) {
			delete(s.byName, name)
		}
	}
	s.sweepAt = max(maxKeys, 2*len(s.byName))
}

func (s *scopes) adopt(q *Quotas) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation.Load() >= q.generation {
		return
	}
	s.inForce = q
	for _, d := range s.byName {
		d.reset(q)
	}
	s.generation.Store(q.generation)
}

func (s *scopes) list() []*dispatcher {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*dispatcher, 0, len(s.byName))
	for _, d := range s.byName {
		all = append(all, d)
	}
	return all
}
