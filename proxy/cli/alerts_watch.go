package cli

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

// looks are all that there are.
func (s *sidecar) looks() []look {
	a, set := s.alarms, s.live.Load
	return []look{
		&quotaLook{book: a.book}, a.circuits, newCallsLook(a.book, a.calls), newEndLook(a.book, set, s.root),
		&noticeLook{book: a.book, set: set}, &clockLook{book: a.book, set: set}, tlsLook{a.book, &a.tls},
		&quietLook{book: a.book, counts: a.quiet}, &volumeLook{book: a.book, volumes: a.volumes},
	}
}

// A watch looks at the upstreams again and again. Its looks belong to its goroutine.
type watch struct {
	states func() []policy.UpstreamStatus
	looks  []look

	ending chan struct{}
	ended  chan struct{} // closed when the goroutine has ended
}

func startWatch(states func() []policy.UpstreamStatus, looks ...look) *watch {
	w := &watch{states: states, looks: looks, ending: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.ended)
	ticks := time.NewTicker(lookout)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			upstreams, now := w.states(), time.Now()
			for _, l := range w.looks {
				l.look(upstreams, now)
			}
		case <-w.ending:
			return
		}
	}
}

func (w *watch) close() {
	close(w.ending)
	<-w.ended
}
