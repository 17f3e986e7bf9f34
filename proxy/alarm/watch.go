package alarm

import (
	"time"

	"outrider/policy"
)

// lookout is how often a watch looks.
const lookout = 10 * time.Second

// A look finds out what is wrong with upstreams now that no event tells of.
type look interface {
	look(upstreams []policy.UpstreamStatus, now time.Time)
}

// allLooks are all that there are.
func (a *Alarms) allLooks() []look {
	return []look{
		&quotaLook{book: a.book}, a.circuits, newCallsLook(a.book, a.calls), newEndLook(a.book, a.upstreams, a.settings.Authority),
		&noticeLook{book: a.book, upstreams: a.upstreams}, &clockLook{book: a.book, upstreams: a.upstreams}, tlsLook{a.book, &a.tls},
		&quietLook{book: a.book, counts: a.quiet}, &volumeLook{book: a.book, volumes: a.volumes},
		&outboxLook{book: a.book, outbox: a.settings.Outbox},
	}
}

// Look finds out what is wrong, and what is over, at now, when the states of the upstreams
// are these. A Watch does it again and again.
func (a *Alarms) Look(upstreams []policy.UpstreamStatus, now time.Time) {
	a.looking.Lock()
	defer a.looking.Unlock()
	for _, l := range a.looks {
		l.look(upstreams, now)
	}
}

// A Watch looks at the upstreams every ten seconds.
type Watch struct {
	alarms *Alarms
	states func() []policy.UpstreamStatus

	ending chan struct{}
	ended  chan struct{} // closed when the goroutine has ended
}

// Watch begins to look at upstreams, whose states it asks for each time. Close has to be
// called, before that of the alarms.
func (a *Alarms) Watch(states func() []policy.UpstreamStatus) *Watch {
	w := &Watch{alarms: a, states: states, ending: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *Watch) run() {
	defer close(w.ended)
	ticks := time.NewTicker(lookout)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			w.alarms.Look(w.states(), time.Now())
		case <-w.ending:
			return
		}
	}
}

// Close ends it, and waits for a look that is under way.
func (w *Watch) Close() {
	close(w.ending)
	<-w.ended
}
