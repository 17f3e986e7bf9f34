package cli

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/letters"
	"outrider/proxy/outbox"
)

// A stood is an outbox that can only be asked how it stands.
type stood struct {
	letters.Outbox
	asked atomic.Int64

	mu       sync.Mutex
	standing outbox.Standing
	err      error
	takes    time.Duration
}

// drop has its letters gone.
func (s *stood) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standing.Upstreams = nil
}

// turn has it answer otherwise from now on.
func (s *stood) turn(err error, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.takes = err, takes
}

func (s *stood) Standing(ctx context.Context) (outbox.Standing, error) {
	s.asked.Add(1)
	s.mu.Lock()
	standing, err, takes := s.standing, s.err, s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
		return standing, err
	case <-ctx.Done():
		return outbox.Standing{}, ctx.Err()
	}
}

func watching(t *testing.T, s *stood) *outboxWatch {
	w := watchOutbox(func() letters.Outbox { return s })
	t.Cleanup(w.close)
	return w
}

// However many look at it, the database is asked once in two seconds, and less often when it
// takes long to answer.
func TestOutboxIsAskedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stood{standing: outbox.Standing{Size: 7}}
		w := watching(t, s)
		time.Sleep(10*time.Second - 1)
		for range 100 {
			if got := w.standing(); got.Size != 7 {
				t.Fatalf("it stands so: %+v", got)
			}
		}
		if n := s.asked.Load(); n != 5 {
			t.Errorf("asked %d times in ten seconds, want 5", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &stood{takes: time.Second}
		watching(t, s)
		time.Sleep(42*time.Second - 1)
		if n := s.asked.Load(); n != 2 {
			t.Errorf("of answers that take a second %d were asked for in 42 seconds, want 2", n)
		}
	})
}

// Two dead letters were dropped, and told of as dead for as long as the last look was old: two
// seconds, and a minute where a look takes three.
func TestOutboxThatIsAskedAnewKnowsOfNoLetterThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stood{standing: outbox.Standing{Upstreams: []outbox.UpstreamStanding{{Upstream: "crm", Dead: 2, Reasons: map[string]int{"refused": 2}}}}, takes: 3 * time.Second}
		w := watching(t, s)
		time.Sleep(10 * time.Second)
		s.drop()
		if seen, _ := alarming(w.standing(), time.Hour); len(seen.Letters) != 1 {
			t.Fatalf("the last look knows of %+v", seen)
		}
		began := time.Now()
		if seen, used := alarming(w.anew(), time.Hour); !used || seen.Err != nil || len(seen.Letters) != 0 || time.Since(began) != 3*time.Second {
			t.Errorf("anew it is known after %v: %+v", time.Since(began), seen)
		}
		// A look that was under way does not know what became of the letters meanwhile.
		time.Sleep(60*time.Second + 1)
		if n := s.asked.Load(); n != 3 {
			t.Fatalf("looked %d times, want that the third look is under way", n)
		}
		began = time.Now()
		w.anew()
		if took := time.Since(began); took != 6*time.Second-1 || s.asked.Load() != 4 {
			t.Errorf("it took %v and %d looks", took, s.asked.Load())
		}
	})
}

// Who waits for a look when Outrider ends does not wait for a database that does not answer.
func TestOutboxThatIsNotLookedAtAnyMoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stood{takes: time.Hour}
		w := watchOutbox(func() letters.Outbox { return s })
		known := make(chan *outbox.Standing)
		for range 2 {
			go func() { known <- w.anew() }()
		}
		time.Sleep(time.Second)
		began := time.Now()
		w.close()
		for range 2 {
			if got := <-known; got.Away == "" {
				t.Errorf("it stands so: %+v", got)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it was waited for, for %v", took)
		}
	})
}

// What was known of an outbox that is away is not true any more.
func TestOutboxThatDoesNotAnswerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stood{standing: outbox.Standing{Upstreams: []outbox.UpstreamStanding{{Upstream: "crm", Waiting: 3, Sending: 1, Dead: 2,
			Reasons: map[string]int{"refused": 2}, Oldest: time.Now().Add(-time.Hour)}}, Size: 5, MaxSize: 10}}
		w := watching(t, s)
		synctest.Wait()
		time.Sleep(time.Second)
		seen, used := alarming(w.standing(), time.Hour)
		if !used || seen.Err != nil || seen.Letters[0].Oldest != time.Hour+time.Second || seen.Letters[0].Dead["refused"] != 2 || seen.Most != 10 {
			t.Errorf("alerts see %+v", seen)
		}
		measured, _ := w.measured()
		if states := measured.Upstreams[0].States; states["waiting"] != 2 || states["sending"] != 1 || states["dead"] != 2 {
			t.Errorf("metrics see %v", states)
		}
		s.turn(errors.New("the disk is full"), 0)
		time.Sleep(2 * time.Second)
		if seen, _ := alarming(w.standing(), time.Hour); seen.Err == nil || seen.Err.Error() != "the disk is full" {
			t.Errorf("alerts see %+v", seen)
		}
		s.turn(nil, time.Hour)
		time.Sleep(13 * time.Second)
		if away := w.standing().Away; away != "it does not answer in time" {
			t.Errorf("away: %s", away)
		}
		if measured, used := w.measured(); !used || !measured.Away || len(measured.Upstreams) > 0 {
			t.Errorf("metrics see %+v", measured)
		}
	})
}
