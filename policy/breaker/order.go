package breaker

import (
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
)

// causeOperator is why a circuit is open that an operator opened.
const causeOperator = "operator"

// order is what an operator said. The zero value is to close.
type order struct {
	open  bool
	until time.Time // zero: until told otherwise
}

// holds reports whether calls are kept back by it.
func (o order) holds(now time.Time) bool { return o.open && (o.until.IsZero() || now.Before(o.until)) }

// UnknownKeyError says that there is no circuit of a key: no call has come for it.
type UnknownKeyError struct {
	Key string
}

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("there is no circuit %q", e.Key) }

// Open opens the circuit of key until a time, or if that is zero until Close.
// With "" as key it opens all of them, those of keys that come later too. What
// was counted is forgotten; when the time has come, a probe decides. OnChange
// is not told: whoever ordered it knows. The error is an *UnknownKeyError.
func (g *Group) Open(key string, until time.Time) error {
	return g.order(key, order{open: true, until: until})
}

// Close closes the circuit of key, or with "" as key all of them, whatever
// opened it. All calls pass at once, and counting begins anew. The error is an
// *UnknownKeyError.
func (g *Group) Close(key string) error { return g.order(key, order{}) }

func (g *Group) order(key string, o order) error {
	rules, now := g.rules(), time.Now()
	g.shared.mu.Lock()
	defer g.shared.mu.Unlock()
	if key != "" {
		c := g.shared.circuits[key]
		if c == nil {
			return &UnknownKeyError{Key: key}
		}
		c.obey(o, rules, now)
		return nil
	}
	g.shared.ordered = o
	for _, c := range g.shared.circuits {
		c.obey(o, rules, now)
	}
	return nil
}

// Standing is what an order about all circuits says of those to come, while it
// is in force. It has no Key.
func (g *Group) Standing() (s State, holds bool) {
	o, holds := g.shared.standing(time.Now())
	if !holds {
		return State{}, false
	}
	return State{State: gobreaker.StateOpen.String(), Cause: causeOperator, Until: o.until, Held: o.until.IsZero()}, true
}

// standing is the order about all circuits, if it holds.
func (s *shared) standing(now time.Time) (o order, holds bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ordered, s.ordered.holds(now)
}

// obey begins the circuit anew, and opens it if that is what was said. A probe
// under way no longer decides anything.
func (c *circuit) obey(o order, rules *Settings, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
	c.begin(now)
	if !o.open {
		return
	}
	c.trip(causeOperator)
	c.entered(now)
	c.held = o.until.IsZero()
	c.opened = 0 // it says nothing about the provider
	c.until = o.until
	c.atLeast(now)
}
