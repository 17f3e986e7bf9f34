package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"outrider/policy/breaker"
)

// AllCircuits is the key of what an operator said of all circuits of an upstream,
// those to come too.
const AllCircuits = "*"

// A CircuitOrder is what an operator says of circuits.
type CircuitOrder struct {
	Upstream string
	Key      string        // of one circuit, as Status has it; "", and AllCircuits: all of them
	Open     bool          // false: close
	For      time.Duration // how long it stays open; 0: until it is closed
}

// A CircuitReport is what an order has come to.
type CircuitReport struct {
	Upstream string          `json:"upstream"`
	Circuits []CircuitStatus `json:"circuits"` // those that it was about, as they are now
}

// OrderCircuits opens or closes circuits of an upstream, and tells of it. The error says what
// there is in place of what the order names.
func (s *Set) OrderCircuits(ctx context.Context, o CircuitOrder) (*CircuitReport, error) {
	u, ok := s.byName[o.Upstream]
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no [upstream.%s]", o.Upstream)
	case o.For < 0:
		return nil, fmt.Errorf("for = %q: must be longer than 0", o.For)
	}
	if o.Key == AllCircuits {
		o.Key = ""
	}
	event := Event{Kind: EventOrder, Upstream: o.Upstream, Key: o.Key, To: "closed"}
	if o.Open {
		event.To = "open"
		if o.For > 0 {
			event.Until = time.Now().Add(o.For)
		}
		if err := u.circuit.Open(o.Key, event.Until); err != nil {
			return nil, u.noSuchCircuit(err)
		}
	} else if err := u.circuit.Close(o.Key); err != nil {
		return nil, u.noSuchCircuit(err)
	}
	u.observe(ctx, event)
	report := &CircuitReport{Upstream: o.Upstream, Circuits: []CircuitStatus{}}
	for _, c := range u.circuits() {
		if o.Key == "" || c.Key == o.Key {
			report.Circuits = append(report.Circuits, c)
		}
	}
	return report, nil
}

// noSuchCircuit adds to an error what there is.
func (u *Upstream) noSuchCircuit(err error) error {
	unknown, ok := errors.AsType[*breaker.UnknownKeyError](err)
	if !ok {
		return err
	}
	const most = 5
	var known []string
	for _, c := range u.circuit.Snapshot() {
		if len(known) == most {
			known = append(known, "…")
			break
		}
		known = append(known, fmt.Sprintf("%q", c.Key))
	}
	if len(known) == 0 {
		return fmt.Errorf("upstream.%s has no circuit %q, and no other: the first call to a host makes one", u.Config.Name, unknown.Key)
	}
	return fmt.Errorf("upstream.%s has no circuit %q; it has %s", u.Config.Name, unknown.Key, strings.Join(known, ", "))
}

// circuits are those that there are, in the order of their keys, and before them what an
// operator said of all.
func (u *Upstream) circuits() []CircuitStatus {
	var list []CircuitStatus
	if all, ordered := u.circuit.Standing(); ordered {
		all.Key = AllCircuits
		list = append(list, circuitStatus(all))
	}
	for _, c := range u.circuit.Snapshot() {
		list = append(list, circuitStatus(c))
	}
	return list
}

// circuitOf is the circuit that calls of a key meet. One that there is not yet is closed,
// but for an order about all.
func (u *Upstream) circuitOf(key string) *CircuitStatus {
	found := CircuitStatus{Key: key, State: "closed"}
	for _, c := range u.circuits() {
		if c.Key == key || c.Key == AllCircuits {
			found = c
			found.Key = key
		}
	}
	return &found
}

func circuitStatus(s breaker.State) CircuitStatus {
	c := CircuitStatus{Key: s.Key, State: s.State, Until: future(s.Until), Held: s.Held, Cause: s.Cause, Share: s.Share, Refused: s.Refused}
	if !s.Since.IsZero() {
		c.Since = &s.Since
	}
	return c
}
