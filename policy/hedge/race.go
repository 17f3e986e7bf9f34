package hedge

import (
	"net/http"
	"sync"
	"time"
)

// A race is a call that may have a second request. The first one is sent by the
// goroutine of the call, the second by that of the timer.
type race struct {
	*transport
	req   *http.Request
	first *flight

	// Of the goroutine of the call.
	patience time.Duration
	known    bool        // patience is
	timer    *time.Timer // runs due; nil: the first has not been sent

	mu     sync.Mutex
	over   bool    // it has a winner: no second begins
	second *second // nil: it has not been due
	ahead  bool    // the second has won, before the first had ended
}

// A second is the second request. Its fields are those of the timer's goroutine until
// done is closed.
type second struct {
	*flight
	done     chan struct{}
	panicked any
}

func newRace(t *transport, req *http.Request) *race {
	r := &race{transport: t, req: req}
	r.patience, r.known = t.stage.state.called()
	r.first = newFlight(req, &t.stage.set)
	r.first.onWire = r.arm
	return r
}

// arm counts the patience from now on.
func (r *race) arm() {
	switch {
	case !r.known:
	case r.timer == nil:
		r.timer = time.AfterFunc(r.patience, r.due)
	default:
		r.timer.Reset(r.patience) // it goes out anew, with another credential
	}
}

// run returns the end of the race, when both requests have ended.
func (r *race) run() (*http.Response, error) {
	var winner *flight
	defer func() { r.leave(winner) }()
	r.first.fly(r.next, &r.stage.set)
	winner = r.winner()
	return winner.answer()
}

// winner is the request whose end is that of the call. The first has ended.
func (r *race) winner() *flight {
	second := r.close()
	switch {
	case second == nil:
	case r.ahead || r.first.failed:
		<-second.done
		if second.panicked != nil {
			panic(second.panicked)
		}
		if !second.failed || second.err == nil && r.first.err != nil {
			return second.flight
		}
	}
	return r.first
}

// close ends the time in which a second request may begin or win, and returns the one
// that there is.
func (r *race) close() *second {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	return r.second
}

// leave lets nothing be left of a race but its winner; nil: it ended in a panic.
func (r *race) leave(winner *flight) {
	second := r.close()
	if r.first != winner {
		r.first.drop()
	}
	r.learn()
	if second == nil {
		return
	}
	if second.flight != winner {
		second.cancel(errLost)
		<-second.done
		second.drop()
	}
	if r.stage.set.OnEnd != nil {
		r.stage.set.OnEnd(r.req.Context(), Event{Outcome: second.outcome(winner), After: r.patience})
	}
	if second.panicked != nil && winner != nil {
		winner.drop()
		panic(second.panicked)
	}
}

// learn remembers how long the first took. One that lost took longer than its patience,
// and by how much is not known: so it counts as what is slower than most in any case.
// Without it the slow ones would be forgotten, and ever faster ones held to be slow.
func (r *race) learn() {
	if f := r.first; !f.begun.IsZero() && !f.ended.IsZero() && (r.ahead || !f.failed) {
		r.stage.state.answered(f.ended.Sub(f.begun))
	}
}

func (s *second) outcome(winner *flight) string {
	switch {
	case s.begun.IsZero():
		return Refused
	case s.flight == winner:
		return Won
	}
	return Lost
}

// due begins the second request, and has it win if it can.
func (r *race) due() {
	s := r.begin()
	if s == nil {
		return
	}
	defer close(s.done)
	defer r.landed(s)
	if r.mayHedge(r.req) {
		s.fly(r.next, &r.stage.set)
		if s.begun.IsZero() {
			r.stage.giveBack()
		}
	}
}

// begin makes the second request; nil: there is one, or it is too late.
func (r *race) begin() *second {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.second != nil {
		return nil
	}
	r.second = &second{flight: newFlight(r.req, &r.stage.set), done: make(chan struct{})}
	return r.second
}

// landed ends the race if the second request is a winner. A panic ends it, too: it goes
// on in the goroutine of the call, where somebody expects it.
func (r *race) landed(s *second) {
	s.panicked = recover()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || s.failed && s.panicked == nil {
		return
	}
	r.over, r.ahead = true, true
	r.first.cancel(errLost)
}
