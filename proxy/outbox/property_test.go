package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/outbox"
	"outrider/proxy/outbox/outboxtest"
	"outrider/proxy/store"

	"pgregory.net/rapid"
)

// A provider is one that may do what a letter asks, or not, and whose answers get lost. It
// counts what it has done, as one does that honours idempotency keys.
type provider struct {
	mu      sync.Mutex
	turns   int
	faults  func() fault
	well    bool              // there are no more faults
	keys    map[string]string // id of a letter → its key
	effects map[string]int    // id of a letter → how often it was done
	unsure  map[string]bool   // id of an unsafe letter → nobody but us knows whether it was done
	broken  []string          // what must not have happened
	ended   func(id string) bool
	before  map[string]string // id of a letter → the one before it in its order key
}

// A fault is what happens to one request.
type fault struct {
	done   bool // it has an effect
	answer bool // we get an answer
	known  bool // if not, it is known that nothing was done
	takes  time.Duration
}

func (p *provider) take(s *outbox.Sending) fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := fault{done: true, answer: true}
	if !p.well {
		f = p.faults()
	}
	switch first, used := p.keys[s.ID]; {
	case !used:
		p.keys[s.ID] = s.Key
	case first != s.Key:
		p.broken = append(p.broken, fmt.Sprintf("%s has another key at its second request", s.ID))
	}
	if p.unsure[s.ID] {
		p.broken = append(p.broken, fmt.Sprintf("%s was sent again, and may have been done", s.ID))
	}
	if before := p.before[s.ID]; before != "" && !p.ended(before) {
		p.broken = append(p.broken, fmt.Sprintf("%s was sent before the end of %s", s.ID, before))
	}
	if !s.Resendable() && !f.known {
		p.unsure[s.ID] = true
	}
	if f.done && (p.effects[s.ID] == 0 || !s.Resendable()) {
		p.effects[s.ID]++
	}
	return f
}

// turn is how long a letter waits for its turn.
func (p *provider) turn() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns++
	return time.Duration(p.turns%4) * time.Second
}

// A generation is a process that sends, until it crashes.
type generation struct {
	outbox *outbox.Outbox
	stop   context.CancelFunc
	dead   chan struct{} // closed when it has crashed
	rest   chan struct{} // closed when the test is over
	ended  chan struct{}
}

func (p *provider) send(g *generation) func(context.Context, *outbox.Sending) outbox.Outcome {
	return func(ctx context.Context, s *outbox.Sending) outbox.Outcome {
		time.Sleep(p.turn())
		if err := s.Depart(ctx); err != nil {
			return outbox.Outcome{Verdict: outbox.NotSent, Err: err}
		}
		f := p.take(s)
		select {
		case <-time.After(f.takes):
		case <-g.dead:
			<-g.rest
		}
		switch {
		case f.known:
			return outbox.Outcome{Verdict: outbox.Later, NothingDone: true, Err: errors.New("refused")}
		case !f.answer:
			return outbox.Outcome{Verdict: outbox.Later, Err: errors.New("reset")}
		case f.done:
			return answer(outbox.Delivered, 200, "done")
		}
		return answer(outbox.Later, 503, "down")
	}
}

// TestNothingIsLostOrDoubled has senders crash at any instant, or be taken for dead while they
// live, the store go away, and the provider do what it likes. In the end every letter that was accepted is delivered or dead;
// what cannot be sent twice was not; keys stayed the same; and order was kept.
func TestNothingIsLostOrDoubled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var stopped any // rapid ends a story by a panic, which must not end the bubble
		synctest.Test(t, func(*testing.T) {
			defer func() { stopped = recover() }()
			story(rt)
		})
		if stopped != nil {
			panic(stopped)
		}
	})
}

func story(rt *rapid.T) {
	kept := &outboxtest.Store{}
	rest := make(chan struct{})
	p := &provider{keys: map[string]string{}, effects: map[string]int{}, unsure: map[string]bool{}, before: map[string]string{}}
	faults := rapid.Permutation([]fault{
		{done: true, answer: true}, {done: true}, {}, {known: true}, {answer: true, known: true}, {answer: true},
		{done: true, answer: true, takes: 3 * time.Second}, {done: true, takes: time.Second},
	}).Draw(rt, "faults")
	asked := 0
	p.faults = func() fault { asked++; return faults[asked%len(faults)] }
	settings := func(g *generation) outbox.Settings {
		return outbox.Settings{Store: kept.Open, Send: p.send(g), Jitter: func(time.Duration) time.Duration { return 0 }}
	}
	var generations []*generation
	start := func() *generation {
		ctx, stop := context.WithCancel(context.Background())
		g := &generation{stop: stop, dead: make(chan struct{}), rest: rest, ended: make(chan struct{})}
		l := limits()
		l.Concurrency = rapid.IntRange(1, 4).Draw(rt, "concurrency")
		g.outbox = outbox.New(settings(g), l)
		go func() { defer close(g.ended); g.outbox.Run(ctx) }()
		generations = append(generations, g)
		return g
	}
	defer func() {
		kept.GoAway(nil)
		close(rest)
		for _, g := range generations {
			g.stop()
			<-g.ended
		}
	}()
	current := start()
	p.ended = func(id string) bool {
		stored, err := kept.Get(context.Background(), id)
		return err != nil || stored.State != outbox.StateWaiting // away: nobody knows
	}
	var accepted []string
	last := map[string]string{} // order key → its last letter
	keep := func() {
		l := &outbox.Letter{ID: fmt.Sprintf("l%03d", len(accepted)), Upstream: "crm", Method: "POST"}
		switch rapid.IntRange(0, 2).Draw(rt, "kind") {
		case 0:
			l.KeyHeader = "Idempotency-Key"
		case 1:
			l.Idempotent = true
		}
		l.OrderKey = rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(rt, "order")
		if _, err := current.outbox.Keep(context.Background(), l, nil, outbox.KeepOptions{}); err != nil {
			return // it was not accepted
		}
		accepted = append(accepted, l.ID)
		p.mu.Lock()
		p.before[l.ID] = last[l.OrderKey]
		p.mu.Unlock()
		if l.OrderKey != "" {
			last[l.OrderKey] = l.ID
		}
	}
	for range rapid.IntRange(5, 40).Draw(rt, "steps") {
		switch rapid.IntRange(0, 11).Draw(rt, "step") {
		case 0, 1, 2, 3:
			keep()
		case 4, 5, 6:
			time.Sleep(time.Duration(rapid.IntRange(0, 5000).Draw(rt, "wait")) * time.Millisecond)
		case 7:
			close(current.dead)
			current.stop()
			synctest.Wait() // what is dead claims nothing any more
			kept.Kill()
			current = start()
		case 8:
			kept.GoAway(errAway)
		case 9:
			kept.GoAway(nil)
		case 10:
			kept.Kill() // who lives is taken for dead
		case 11:
			current = start() // beside the one before
		}
	}
	kept.GoAway(nil)
	p.mu.Lock()
	p.well = true
	p.mu.Unlock()
	for range 60 {
		time.Sleep(time.Minute)
		synctest.Wait()
		counts, _ := kept.Counts(context.Background())
		if !slices.ContainsFunc(counts, func(c store.Count) bool { return c.State == store.Waiting }) {
			break
		}
	}
	for _, id := range accepted {
		stored, err := kept.Get(context.Background(), id)
		switch {
		case err != nil:
			rt.Errorf("%s is lost: %v", id, err)
		case stored.State == outbox.StateDelivered && p.effects[id] == 0:
			rt.Errorf("%s is said to be delivered", id)
		case stored.State == outbox.StateWaiting && !stored.Ordered:
			rt.Errorf("%s is not sent", id)
		case p.effects[id] > 1:
			rt.Errorf("%s was done %d times", id, p.effects[id])
		}
	}
	for _, broken := range p.broken {
		rt.Error(broken)
	}
}
