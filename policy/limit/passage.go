package limit

import (
	"context"
	"errors"
	"time"
)

// A passage is the way of one call through its quotas. It has a turn at all of
// them, or at none: while it waits for one, it holds neither a token nor a slot of
// another, which would be lost for those who need only that one.
type passage struct {
	cost  int
	stops []stop
	call  *waiter // as it began to wait, for each of its lines; nil: it did not
}

// A stop is one quota of a passage.
type stop struct {
	group  *Group
	key    string
	d      *dispatcher // nil: not looked up yet
	turn   turn        // held if turn.d is not nil
	waiter *waiter     // its place in line there, since it waited there; nil: it did not
}

// enter returns when it is the turn of the call at all its quotas, or says why it
// will not be.
func (p *passage) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for {
		blocked := p.take()
		if blocked == nil {
			return nil
		}
		if err := p.wait(ctx, blocked); err != nil {
			p.giveBack()
			return err
		}
	}
}

// take takes the turns that the call does not have. Where one cannot be had, it
// gives all back and returns that quota.
func (p *passage) take() (blocked *stop) {
	for i := range p.stops {
		s := &p.stops[i]
		if s.turn.d == nil && !s.try(p.cost) {
			p.giveBack()
			return s
		}
	}
	for i := range p.stops {
		if s := &p.stops[i]; s.turn.settles {
			s.turn.settles = false
			s.d.settle()
		}
	}
	return nil
}

// giveBack gives back the turns that the call has.
func (p *passage) giveBack() {
	for i := range p.stops {
		s := &p.stops[i]
		if s.turn.d != nil {
			s.d.failed(s.turn, false)
			s.turn = turn{}
		}
	}
}

// wait waits at one quota, and holds its turn there afterwards. No quota is worth
// waiting for if another one comes too late.
func (p *passage) wait(ctx context.Context, at *stop) error {
	if p.call == nil {
		begun := time.Now()
		p.call = newWaiter(begun, at.group.claim(ctx), p.cost)
		p.call.shared = len(p.stops) > 1
		p.call.deadline, _ = ctx.Deadline()
	}
	for i := range p.stops {
		if s := &p.stops[i]; s != at {
			if err := s.dispatcher().foresee(p.at(s)); err != nil {
				return err
			}
		}
	}
	for {
		w := p.at(at)
		switch err := at.dispatcher().join(w); err { //nolint:errorlint // it is never wrapped
		case nil:
			at.waiter = w
			at.turn, err = at.d.await(ctx, w)
			return err
		case errRetired:
			at.d, at.waiter = nil, nil
		default:
			return err
		}
	}
}

// at is the call as it waits at one of its quotas.
func (p *passage) at(s *stop) *waiter {
	if s.waiter != nil {
		return s.waiter
	}
	w := *p.call
	return &w
}

// try takes a turn, if it can be had now.
func (s *stop) try(cost int) bool {
	for {
		t, ok, err := s.dispatcher().try(cost)
		if !errors.Is(err, errRetired) {
			s.turn = t
			return ok
		}
		s.d, s.waiter = nil, nil
	}
}

// dispatcher is that of the quota. It is looked up once, and again when it has
// been dropped meanwhile.
func (s *stop) dispatcher() *dispatcher {
	if s.d == nil {
		s.d = s.group.quotas.get(s.key)
	}
	return s.d
}
