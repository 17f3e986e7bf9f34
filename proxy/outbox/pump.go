package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outrider/proxy/store"
)

const (
	// maxClaim bounds what is claimed of a lane at once, in letters.
	maxClaim = 100
	// maxExpired bounds how many letters that are too old are ended at once.
	maxExpired = 100
)

// A pump claims letters and has them sent: it alone knows the lanes. Everything in it belongs
// to one goroutine; those that send tell it how that ended.
//
// Letters are claimed ahead, so that the store is not asked for each of them: as many as are
// sent at once. So at most twice Limits.Concurrency of an upstream are in memory, and what is
// not being sent is without its body.
type pump struct {
	outbox *Outbox
	holder Holder
	clock  clock
	// setBack is by how much the clock was set back, as long as the letters do not know.
	setBack time.Duration

	lanes     map[string]*lane     // by name
	upstreams map[string]*upstream // by name
	order     []*upstream
	under     map[string]*delivery // id → a letter under way
	started   int                  // of them are being sent, or ended
	expiring  int                  // and of those are too old
	done      chan report

	look time.Time // when to look for lanes next
	rest time.Time // until then the store is left alone: it is away

	tendAt  time.Time
	tending sync.WaitGroup
	atWork  atomic.Bool // somebody is tending
}

// run claims and sends until ctx ends.
func (p *pump) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-p.done:
			p.ended(r)
			p.again(ctx, r.next)
		case <-p.outbox.bell.rung:
			p.hear()
		case <-timer.C:
		}
		if !time.Now().Before(p.rest) {
			p.step(ctx)
		}
		timer.Reset(time.Until(p.next()))
	}
}

// step does what can be done now. Where the store is away it is left alone for a while.
func (p *pump) step(ctx context.Context) {
	err := p.work(ctx)
	if errors.Is(err, store.ErrLost) {
		err = p.begin(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	p.outbox.noteStore(err)
	if err != nil {
		p.rest = time.Now().Add(awayPause)
	}
}

// begin begins anew as another sender, since the store has taken this one for dead: others may
// have had its letters. Those that are being sent go on, and find out for themselves whether
// they still may; the others are dropped.
func (p *pump) begin(ctx context.Context) error {
	holder, err := p.outbox.hold(ctx)
	if err != nil {
		return err
	}
	lost := p.holder
	p.tending.Go(func() { p.outbox.giveBack(ctx, lost) })
	p.holder, p.look = holder, time.Now()
	for _, l := range p.lanes {
		for _, d := range l.claimed {
			delete(p.under, d.stored.ID)
		}
		l.upstream.claimed -= len(l.claimed)
		l.claimed = nil
	}
	for _, d := range p.under {
		d.next = nil
	}
	return nil
}

func (p *pump) work(ctx context.Context) error {
	if !time.Now().Before(p.look) {
		if err := p.survey(ctx); err != nil {
			return err
		}
	}
	for _, l := range p.lanes {
		l.wake(time.Now())
	}
	for _, u := range p.order {
		err := p.claim(ctx, u)
		p.start(ctx, u)
		if err != nil {
			return err
		}
	}
	return nil
}

// next is when there is something to do, if nothing happens before.
func (p *pump) next() time.Time {
	next, now := p.look, time.Now()
	for _, l := range p.lanes {
		switch {
		case l.ready && now.Before(l.paused) && l.paused.Before(next):
			next = l.paused
		case !l.ready && !l.due.IsZero() && l.due.Before(next):
			next = l.due
		}
	}
	if next.Before(p.rest) {
		return p.rest
	}
	return next
}

// hear notes the lanes that have new letters.
func (p *pump) hear() {
	lanes, all := p.outbox.bell.heard()
	if all {
		p.look = time.Now()
	}
	for name := range lanes {
		if l := p.lanes[name]; l != nil {
			l.ready = true
		} else {
			p.look = time.Now()
		}
	}
}

// survey asks the store which lanes there are, and for letters that are too old.
func (p *pump) survey(ctx context.Context) error {
	lanes, wall, err := p.holder.Lanes(ctx, p.outbox.limits.Load().SkipDead)
	if err != nil {
		return err
	}
	now := time.Now()
	p.look = now.Add(lookAgain)
	if err := p.checkClock(ctx, wall); err != nil {
		return err
	}
	for _, l := range p.lanes {
		l.ready, l.due = false, time.Time{}
	}
	for _, found := range lanes {
		if found.Upstream != callbackUpstream && !p.outbox.settings.Serves(found.Upstream) {
			continue
		}
		l := p.lane(found.Name, found.Upstream)
		if l.ready = found.Due <= 0; !l.ready {
			l.due = now.Add(found.Due)
		}
	}
	p.forgetIdle(now)
	p.tend(ctx)
	return p.expire(ctx)
}

// lane is the lane of that name.
func (p *pump) lane(name, of string) *lane {
	l := p.lanes[name]
	if l != nil {
		return l
	}
	u := p.upstreams[of]
	if u == nil {
		u = &upstream{name: of}
		p.upstreams[u.name] = u
		p.order = append(p.order, u)
	}
	l = &lane{name: name, upstream: u}
	p.lanes[l.name] = l
	u.lanes = append(u.lanes, l)
	return l
}

func (p *pump) forgetIdle(now time.Time) {
	for name, l := range p.lanes {
		if l.idle(now) && l.due.IsZero() {
			delete(p.lanes, name)
			l.upstream.lanes = slices.DeleteFunc(l.upstream.lanes, func(other *lane) bool { return other == l })
		}
	}
	p.order = slices.DeleteFunc(p.order, func(u *upstream) bool {
		if len(u.lanes) == 0 && u.sending == 0 {
			delete(p.upstreams, u.name)
			return true
		}
		return false
	})
}

// claim claims letters of an upstream, where there is room for some: of its lanes that have
// any about the same number.
func (p *pump) claim(ctx context.Context, u *upstream) error {
	limits := p.outbox.limits.Load()
	if u.claimed > limits.Concurrency/2 {
		return nil
	}
	now := time.Now()
	room := 2*limits.Concurrency - u.claimed - u.sending
	ready := u.ready(now)
	for i, l := range ready {
		share := min(l.room(now), max(1, room/(len(ready)-i)))
		if room <= 0 {
			return nil
		}
		letters, err := p.holder.Claim(ctx, l.name, share)
		if err != nil {
			return err
		}
		l.ready = len(letters) == share
		room -= p.take(l, letters)
	}
	return nil
}

// take adds claimed letters to those of a lane, and tells how many.
func (p *pump) take(l *lane, letters []store.Stored) (taken int) {
	for _, letter := range letters {
		d := p.delivery(letter)
		d.lane = l
		if p.admit(d) {
			p.wait(d)
			taken++
		}
	}
	return taken
}

// admit has a letter be under way, unless it is already: it was given back, or lost with its
// lease, and is ours again before we know how that ended. Then this is what comes next.
func (p *pump) admit(d *delivery) bool {
	if before := p.under[d.stored.ID]; before != nil {
		before.next = d
		return false
	}
	p.under[d.stored.ID] = d
	return true
}

// wait has a letter wait for the turn of its lane.
func (p *pump) wait(d *delivery) {
	d.lane.claimed = append(d.lane.claimed, d)
	d.lane.upstream.claimed++
}

// start has claimed letters of an upstream sent, its lanes by turns.
func (p *pump) start(ctx context.Context, u *upstream) {
	concurrency := p.outbox.limits.Load().Concurrency
	for u.claimed > 0 && u.sending < concurrency {
		l := u.next()
		d := l.claimed[0]
		l.claimed = l.claimed[1:]
		l.sending++
		u.claimed--
		u.sending++
		d.epoch, d.refusals = l.epoch, l.refusals
		p.deliver(ctx, d, time.Until(l.paused))
	}
	p.outbox.progress.standing(u, u.sending >= concurrency, time.Now())
}

// expire has letters ended that are too old, whatever their lane and their order.
func (p *pump) expire(ctx context.Context) error {
	if p.expiring > 0 {
		return nil
	}
	letters, err := p.holder.ClaimExpired(ctx, p.clock.grace(p.outbox.limits.Load().MaxAge), maxExpired)
	if err != nil {
		return err
	}
	for _, letter := range letters {
		if d := p.delivery(letter); p.admit(d) {
			p.end(ctx, d)
		}
	}
	return nil
}

// end has a letter ended that is too old.
func (p *pump) end(ctx context.Context, d *delivery) {
	p.expiring++
	p.deliver(ctx, d, 0)
}

func (p *pump) delivery(letter store.Stored) *delivery {
	return &delivery{outbox: p.outbox, holder: p.holder, stored: letter, claimed: time.Now()}
}

func (p *pump) deliver(ctx context.Context, d *delivery, pause time.Duration) {
	d.limits = p.outbox.limits.Load()
	d.tooOld = d.lane == nil || d.stored.Expired && !p.clock.now().Before(d.stored.Expires.Add(p.clock.grace(d.limits.MaxAge)))
	p.started++
	go func() { p.done <- d.deliver(ctx, pause) }()
}

// ended notes how a delivery ended.
func (p *pump) ended(r report) {
	delete(p.under, r.stored.ID)
	p.started--
	if r.lane == nil {
		if p.expiring--; p.expiring == 0 {
			p.look = time.Now() // there may be more
		}
		return
	}
	r.lane.sending--
	r.lane.upstream.sending--
	switch {
	case r.refused:
		r.lane.refused(r.epoch, r.after)
	case r.sent:
		r.lane.passed(r.epoch)
	}
	if r.stored.Ordered {
		r.lane.ready = true // the next of its order key may be first now
	}
}

// again goes on with a letter that was claimed again while it was under way. nil: there is none.
func (p *pump) again(ctx context.Context, d *delivery) {
	switch {
	case d == nil:
	case d.lane == nil:
		p.under[d.stored.ID] = d
		p.end(ctx, d)
	default:
		p.under[d.stored.ID] = d
		d.lane = p.lane(d.stored.Lane, d.stored.Upstream) // it may have been forgotten meanwhile
		p.wait(d)
	}
}

// checkClock sees to it that a clock that was set neither keeps letters for long nor ends
// young ones.
func (p *pump) checkClock(ctx context.Context, wall time.Time) error {
	limits := p.outbox.limits.Load()
	jump := p.clock.look(wall, max(limits.MaxAge, limits.KeepResults, limits.KeepDead))
	if jump != 0 {
		p.outbox.settings.Observe(Event{Kind: ClockJump, Jump: jump})
	}
	if p.setBack += max(0, -jump); p.setBack == 0 {
		return nil
	}
	kept, err := p.outbox.settings.Store(ctx)
	if err != nil {
		return err
	}
	if _, err := kept.Hurry(ctx, store.Filter{}, p.setBack); err != nil {
		return err
	}
	p.setBack, p.look = 0, time.Now()
	return nil
}
