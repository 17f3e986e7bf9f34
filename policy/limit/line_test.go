package limit_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// tenPerSecond is the quota of most tests: a turn each 100 ms, one at once.
func tenPerSecond() limit.Settings {
	return limit.Settings{Count: 10, Per: time.Second, Burst: 1, MaxWait: time.Minute, MaxQueue: 100}
}

func TestSmoothSpreadsCallsEvenlyAfterTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Burst = 3
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a b c d e f")
		time.Sleep(time.Minute)
		c.startAll(t.Context(), "g h i j")
		time.Sleep(time.Minute)

		wantTimes(t, w, append(ms(0, 0, 0, 100, 200, 300), ms(60000, 60000, 60000, 60100)...)...)
	})
}

func TestBurstIsWhatTheRateGivesIn200Milliseconds(t *testing.T) {
	for _, test := range []struct {
		count float64
		want  float64
	}{{1, 1}, {8, 1}, {10, 2}, {100, 20}} {
		synctest.Test(t, func(t *testing.T) {
			s := limit.Settings{Count: test.count, Per: time.Second, MaxWait: time.Minute, MaxQueue: 100}
			g := newGroup(t, s, nil)
			newCaller(t, g, newWire()).call(t.Context(), "a")
			if got := g.Snapshot()[0].Room; got != test.want {
				t.Errorf("%v/s has a burst of %v, want %v", test.count, got, test.want)
			}
		})
	}
}

func TestWindowSpendsAllAndThenWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 2, Per: 10 * time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		time.Sleep(7 * time.Second) // The window starts with its first call.
		c.startAll(t.Context(), "a b c d e")
		time.Sleep(time.Minute)
		c.startAll(t.Context(), "f")
		time.Sleep(4 * time.Second)
		c.startAll(t.Context(), "g h")
		time.Sleep(time.Minute)

		wantTimes(t, w, ms(7000, 7000, 17000, 17000, 27000, 67000, 71000, 77000)...)
	})
}

func TestWindowOfLessThanOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 0.5, Per: time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
		w := newWire()
		newCaller(t, newGroup(t, s, nil), w).startAll(t.Context(), "a b c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 2000, 4000)...)
	})
}

func TestQuotasOfDifferentKeysDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		rt := newGroup(t, tenPerSecond(), nil).Wrap(byHost)(w)
		for _, host := range []string{"one", "two", "one"} {
			req, _ := http.NewRequest("GET", "http://"+host+"/"+host, nil)
			if _, err := rt.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		}
		wantTimes(t, w, ms(0, 0, 100)...)
	})
}

// A reservation in x/time/rate is lost with its owner when somebody reserved
// after it. Here the line closes up.
func TestCanceledWaiterCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, tenPerSecond(), nil)
		c := newCaller(t, g, w)
		c.startAll(t.Context(), "a b")
		gone := errors.New("the client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		x := c.startAll(ctx, "x y z")
		c.startAll(t.Context(), "d e")

		time.Sleep(50 * time.Millisecond)
		cancel(gone)
		for _, done := range x {
			if r := <-done; !errors.Is(r.err, gone) || r.at != 50*time.Millisecond {
				t.Errorf("ended with %v at %v, want the cause of the context at 50ms", r.err, r.at)
			}
		}
		if got := g.Estimate("api.example"); got != 350*time.Millisecond {
			t.Errorf("the next would wait %v, want 350ms", got)
		}
		time.Sleep(time.Second)
		wantTimes(t, w, ms(0, 100, 200, 300)...)
	})
}

func TestCanceledHeadLetsTheNextGoAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, tenPerSecond(), nil), w)
		c.startAll(t.Context(), "a")
		ctx, cancel := context.WithCancel(t.Context())
		c.startAll(ctx, "x")
		c.startAll(t.Context(), "b c")
		time.Sleep(30 * time.Millisecond)
		cancel()
		time.Sleep(time.Second)
		if w.names() != "a b c" {
			t.Errorf("sent %s", w.names())
		}
		wantTimes(t, w, ms(0, 100, 200)...)
	})
}

// endsAt is a context that has ended when it is asked at or after a time, but
// wakes nobody: as a waiter sees it whose turn came in the same instant.
type endsAt struct {
	context.Context
	end time.Time
}

func (c endsAt) Err() error {
	if time.Now().Before(c.end) {
		return nil
	}
	return context.Canceled
}

func TestTurnOfACallThatEndsInTheSameInstantGoesToTheNext(t *testing.T) {
	for _, s := range []limit.Settings{
		tenPerSecond(),
		{Count: 1, Per: 100 * time.Millisecond, Kind: pace.Window, Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire()
			g := newGroup(t, s, nil)
			c := newCaller(t, g, w)
			c.startAll(t.Context(), "a")
			x := c.start(endsAt{t.Context(), w.start.Add(100 * time.Millisecond)}, "x")
			c.startAll(t.Context(), "b c")
			y := c.start(endsAt{t.Context(), w.start.Add(300 * time.Millisecond)}, "y")
			time.Sleep(time.Minute)
			for _, done := range []<-chan result{x, y} {
				if r := <-done; !errors.Is(r.err, context.Canceled) {
					t.Errorf("ended with %v", r.err)
				}
			}
			wantTimes(t, w, ms(0, 100, 200)...)
			if q := g.Snapshot()[0]; q.Active != 0 || q.Tokens != q.Room {
				t.Errorf("left %+v", q)
			}
		})
	}
}

// What is given back to a bucket that has filled up since is more than it holds.
func TestTurnGivenBackNeverOverfillsTheBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Burst = 2
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a b")
		c.start(endsAt{t.Context(), w.start.Add(100 * time.Millisecond)}, "x")
		time.Sleep(time.Minute)
		c.startAll(t.Context(), "c d e")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 60000, 60000, 60100)...)
	})
}

func TestContextThatHasEndedIsNotSentAndSpendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, tenPerSecond(), nil), w)
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if r := c.call(ctx, "x"); !errors.Is(r.err, gone) {
			t.Errorf("ended with %v", r.err)
		}
		c.call(t.Context(), "a")
		wantTimes(t, w, 0)
	})
}

func TestCallThatWouldWaitTooLongIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.MaxWait = 200 * time.Millisecond
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a b c") // c waits for exactly MaxWait.
		wantRefusal(t, c.call(t.Context(), "d"), 0, limit.QueueTimeout, 300*time.Millisecond)
		time.Sleep(60 * time.Millisecond)
		wantRefusal(t, c.call(t.Context(), "e"), 60*time.Millisecond, limit.QueueTimeout, 240*time.Millisecond)
		time.Sleep(time.Second)
		wantTimes(t, w, ms(0, 100, 200)...)
	})
}

func TestCallWhoseDeadlineIsBeforeItsTurnIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, tenPerSecond(), nil), w)
		c.startAll(t.Context(), "a b")
		// At its deadline a call has no time left to be sent.
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		wantRefusal(t, c.call(ctx, "x"), 0, limit.QueueTimeout, 200*time.Millisecond)
		later, cancel := context.WithTimeout(t.Context(), 201*time.Millisecond)
		defer cancel()
		if r := c.call(later, "c"); r.err != nil {
			t.Error(r.err)
		}
		wantTimes(t, w, ms(0, 100, 200)...)
	})
}

func TestRefusalOfAWindowTellsTheWindowOfItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 3, Per: 10 * time.Second, Kind: pace.Window, MaxWait: 10 * time.Second, MaxQueue: 100}
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a b c d e f")
		time.Sleep(4 * time.Second)
		wantRefusal(t, c.call(t.Context(), "g"), 4*time.Second, limit.QueueTimeout, 16*time.Second)
	})
}

func TestFullQueueRefusesAndTellsWhenATurnWouldCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.MaxQueue = 2
		w := newWire()
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "a b c")
		wantRefusal(t, c.call(t.Context(), "x"), 0, limit.QueueFull, 300*time.Millisecond)
		time.Sleep(150 * time.Millisecond)
		c.startAll(t.Context(), "d")
		time.Sleep(time.Second)
		wantTimes(t, w, ms(0, 100, 200, 300)...)
	})
}

func TestWithoutMaxWaitNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []limit.Settings{
			{Count: 10, Per: time.Second, Burst: 1, MaxQueue: 100},
			{Concurrency: 1, MaxQueue: 100},
		} {
			w := newWire()
			c := newCaller(t, newGroup(t, s, nil), w)
			c.open(t.Context(), "a")
			wantRefusal(t, c.call(t.Context(), "b"), 0, limit.QueueTimeout, time.Duration(s.Count)*10*time.Millisecond)
		}
	})
}

func TestNobodyOvertakesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := newCaller(t, newGroup(t, tenPerSecond(), nil), w)
		var want []string
		for i := range 100 {
			name := strings.Repeat("i", i+1)
			want = append(want, name)
			go c.call(t.Context(), name)
			time.Sleep(17 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if got := strings.Fields(w.names()); !slices.Equal(got, want) {
			t.Errorf("sent in the order %v", got)
		}
		for i, at := range w.times() {
			if at != time.Duration(i)*100*time.Millisecond {
				t.Errorf("call %d sent at %v", i, at)
			}
		}
	})
}

func TestRefusedRequestBodyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.MaxWait = 0
		c := newCaller(t, newGroup(t, s, nil), newWire())
		c.call(t.Context(), "a")
		body := &closeCounter{Reader: strings.NewReader("x")}
		req, _ := http.NewRequest("POST", "http://api.example/b", body)
		if _, err := c.rt.RoundTrip(req); err == nil {
			t.Error("was sent")
		}
		if body.closed != 1 {
			t.Errorf("closed %d times", body.closed)
		}
	})
}

type closeCounter struct {
	*strings.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

// A stage below, another limit perhaps, refused the call: the provider has not
// seen it, and it has not counted.
func TestCallRefusedBelowSpendsNothing(t *testing.T) {
	for _, s := range []limit.Settings{
		tenPerSecond(),
		{Count: 1, Per: time.Second, Kind: pace.Window, Concurrency: 1, MaxWait: time.Minute, MaxQueue: 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			below := newGroup(t, limit.Settings{Count: 1, Per: time.Hour, Burst: 1}, nil)
			w := newWire()
			c := newCaller(t, below, w)
			c.call(t.Context(), "spends the hour")
			g := newGroup(t, s, nil)
			c.rt = g.Wrap(byHost)(c.rt)
			for range 3 {
				wantRefusal(t, c.call(t.Context(), "x"), 0, limit.QueueTimeout, time.Hour)
			}
			if q := g.Snapshot()[0]; q.Tokens != 1 || q.Active != 0 {
				t.Errorf("left %+v", q)
			}
		})
	}
}

func TestEveryWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type ctxKey struct{}
		var mu sync.Mutex // guards told
		var told []string
		s := tenPerSecond()
		s.MaxWait = 250 * time.Millisecond
		s.Concurrency = 2
		s.OnWait = func(ctx context.Context, key string, waited time.Duration, reason string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, ctx.Value(ctxKey{}).(string)+" "+key+" "+waited.String()+" "+reason)
		}
		g := newGroup(t, s, nil)
		w := newWire()
		c := newCaller(t, g, w)
		as := func(name string) context.Context { return context.WithValue(t.Context(), ctxKey{}, name) }

		a := c.open(as("a"), "a") // does not wait
		c.startAll(as("b"), "b")
		ctx, cancel := context.WithTimeout(as("c"), 40*time.Millisecond)
		defer cancel()
		c.call(ctx, "c") // is refused, does not wait
		time.Sleep(110 * time.Millisecond)
		d := c.open(as("d"), "d")
		c.startAll(as("e"), "e") // no slot; gives up after MaxWait
		canceled, cancel := context.WithCancel(as("f"))
		c.startAll(canceled, "f")
		time.Sleep(10 * time.Millisecond)
		cancel()
		time.Sleep(time.Second)
		a.resp.Body.Close()
		d.resp.Body.Close()

		mu.Lock()
		defer mu.Unlock()
		want := []string{"b api.example 100ms rate", "d api.example 90ms rate", "f api.example 10ms canceled", "e api.example 250ms queue-timeout"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q\nwant %q", told, want)
		}
	})
}

// Who the caller is was found out before the clock of the wait was started: of a turn that came
// after half a second, the 17 ms that it took to look for the caller's process were in no span.
func TestFindingOutWhoseCallItIsIsAPartOfTheWait(t *testing.T) {
	for _, tt := range []struct {
		asked time.Duration // how long it takes to say whose call it is
		told  string
	}{{17 * time.Millisecond, "100ms rate"}, {130 * time.Millisecond, "130ms rate"}} {
		synctest.Test(t, func(t *testing.T) {
			var told []string
			s := tenPerSecond()
			s.Claim = func(context.Context) limit.Claim { time.Sleep(tt.asked); return limit.Claim{} }
			s.OnWait = func(_ context.Context, _ string, waited time.Duration, reason string) {
				told = append(told, waited.String()+" "+reason)
			}
			w := newWire()
			c := newCaller(t, newGroup(t, s, nil), w)
			c.call(t.Context(), "a")
			c.call(t.Context(), "b")
			if want := []string{tt.told}; !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
			wantTimes(t, w, 0, max(100*time.Millisecond, tt.asked))
		})
	}
}

// What a call had waited for was looked for when it had come into line: by then the slot that
// there was none of may be there.
func TestSlotThatIsGivenBackWhileTheCallerIsAskedIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := limit.Settings{Concurrency: 1, MaxWait: time.Second, MaxQueue: 1}
		s.Claim = func(context.Context) limit.Claim { time.Sleep(30 * time.Millisecond); return limit.Claim{} }
		s.OnWait = func(_ context.Context, _ string, waited time.Duration, reason string) {
			told = append(told, waited.String()+" "+reason)
		}
		c := newCaller(t, newGroup(t, s, nil), newWire())
		a := c.open(t.Context(), "a")
		b := c.start(t.Context(), "b")
		time.Sleep(10 * time.Millisecond)
		a.resp.Body.Close()
		if r := <-b; r.err != nil || r.at != 30*time.Millisecond {
			t.Errorf("it ended after %v: %v", r.at, r.err)
		}
		if want := []string{"30ms concurrency"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestSettingsThatMakeNoSenseAreAllReported(t *testing.T) {
	_, err := limit.New([]limit.Table{{Settings: limit.Settings{Count: 1, Burst: -1, Concurrency: -1, MaxWait: -1, MaxQueue: -1}}}, nil)
	for _, field := range []string{"Per", "Burst", "Concurrency", "MaxWait", "MaxQueue"} {
		if err == nil || !strings.Contains(err.Error(), field+" = ") {
			t.Errorf("%s is not in: %v", field, err)
		}
	}
	for _, s := range []limit.Settings{{Count: -1, Per: 1}, {Count: 2, Per: 1}} {
		if _, err := limit.New([]limit.Table{{Settings: s}}, nil); err == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}
