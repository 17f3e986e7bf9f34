package outbox

import (
	"context"
	"time"

	"outrider/proxy/store"
)

const (
	// awayPause is how long the sender leaves a store alone that does not answer.
	awayPause = time.Second
	// closing is how long giving letters back may take when the sender ends: the store may be
	// away, and frees them by itself then.
	closing = 5 * time.Second
)

// Run sends letters until ctx ends. It then waits for the letters that have left, until Break,
// gives back the others, and returns. While the store is away it waits for it. It runs once
// at a time.
func (o *Outbox) Run(ctx context.Context) {
	for ctx.Err() == nil {
		holder, err := o.hold(ctx)
		if err == nil {
			o.sendBy(ctx, holder)
			return
		}
		if ctx.Err() == nil {
			o.noteStore(err)
			sleep(ctx, awayPause)
		}
	}
}

func (o *Outbox) hold(ctx context.Context) (Holder, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return nil, err
	}
	return kept.Hold(ctx)
}

// sendBy sends letters that holder claims, until ctx ends.
func (o *Outbox) sendBy(ctx context.Context, holder Holder) {
	p := &pump{
		outbox: o, holder: holder, done: make(chan report),
		lanes: map[string]*lane{}, upstreams: map[string]*upstream{}, under: map[string]*delivery{},
	}
	p.run(ctx)
	p.tending.Wait()
	for p.started > 0 {
		p.ended(<-p.done)
	}
	o.giveBack(ctx, p.holder)
}

// giveBack gives back what a holder holds.
func (o *Outbox) giveBack(ctx context.Context, holder Holder) {
	giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	if err := holder.Close(giving); err != nil {
		o.noteStore(err) // its lease ends, and the letters are free
	}
}

// sleep waits, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// tendEvery is how often the outbox is tended, and how old an estimate may be.
const tendEvery = 10 * time.Second

// tend has the outbox tended, beside what is sent. The clock was looked at just now: one that
// was set forward has nothing forgotten that is young.
func (p *pump) tend(ctx context.Context) {
	if time.Now().Before(p.tendAt) || !p.atWork.CompareAndSwap(false, true) {
		return
	}
	p.tendAt = time.Now().Add(tendEvery)
	limits := p.outbox.limits.Load()
	keep := store.SweepSettings{
		KeepResults: limits.KeepResults + p.clock.grace(limits.KeepResults), KeepDead: limits.KeepDead + p.clock.grace(limits.KeepDead),
	}
	p.tending.Go(func() {
		defer p.atWork.Store(false)
		if err := p.outbox.sweep(ctx, keep); err == nil {
			_, _ = p.outbox.Standing(ctx) // for estimates; that the store is away is seen by the pump
		}
	})
}

// sweep forgets what has ended long enough ago, a portion at a time.
func (o *Outbox) sweep(ctx context.Context, keep store.SweepSettings) error {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return err
	}
	for more := true; more; {
		swept, err := kept.Sweep(ctx, keep)
		if err != nil {
			return err
		}
		more = swept.More
	}
	return nil
}
