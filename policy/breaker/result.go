package breaker

import (
	"time"

	"github.com/sony/gobreaker/v2"
)

// change is a change of state that has yet to be told. The zero value is none.
type change struct {
	from, to gobreaker.State
	until    time.Time
	cause    string
}

// is reports whether there is something to be told.
func (c *change) is() bool { return c.from != c.to }

// added is moved with c, if that is something to be told.
func (c change) added(moved []change) []change {
	if c.is() {
		return append(moved, c)
	}
	return moved
}

// permit lets one attempt pass, and has to be given back by settle.
type permit struct {
	kind  kind // of the request
	life  uint64
	probe func(error) // gives a probe's verdict to machine; nil while closed
	wait  *wait       // for its answer; nil: nobody counts it
	begun time.Time   // when it was given
	moved []change    // what giving it did to the circuit

	patience time.Duration // after which the attempt is overdue; 0: never
}

// result is what an attempt's end was.
type result struct {
	outcome Outcome
	kind    kind
	took    time.Duration
	slow    bool
	hint    time.Time // until when a 503 asked for patience; zero: it did not
	ended   time.Time
}

// counts reports whether the result says anything about the provider.
func (r *result) counts() bool { return r.outcome == Success || r.failed() }

func (r *result) failed() bool { return r.outcome == Failure || r.outcome == ConnectFailure }

// bad reports whether the result can open a circuit.
func (r *result) bad() bool { return r.failed() || r.outcome == Success && r.slow }

// good reports whether the result can close a circuit.
func (r *result) good() bool { return r.counts() && !r.bad() }

// credit is where a success was counted, so that it can be taken back.
type credit struct {
	epoch  uint64 // of the window
	bucket int64  // its number
}
