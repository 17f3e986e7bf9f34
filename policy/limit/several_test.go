package limit_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// through sends calls through several limits of one upstream at once.
func through(t testing.TB, w *wire, groups ...*group) *caller {
	way := limit.Way{Scope: byHost}
	for _, g := range groups {
		way.Stops = append(way.Stops, limit.Stop{Table: g.table, Key: byHost})
	}
	return &caller{t: t, wire: w, rt: groups[0].Quotas.Wrap(way)(w)}
}

// throughAll is through for all tables.
func throughAll(t testing.TB, w *wire, tables ...limit.Settings) *caller {
	return through(t, w, newGroups(t, tables...)...)
}

func onePerTenSeconds() limit.Settings {
	return limit.Settings{Count: 1, Per: 10 * time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
}

// One limit around another would let the calls that wait at the inner one hold the
// slots and the tokens of the outer one: writes, of which few may be sent, would
// stop the reads.
func TestCallThatWaitsForOneQuotaHoldsNothingOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Concurrency = 2
		w := newWire()
		groups := newGroups(t, s, onePerTenSeconds())
		read, write := newCaller(t, groups[0], w), through(t, w, groups...)
		write.startAll(t.Context(), "write1 write2 write3 write4")
		read.startAll(t.Context(), "read1 read2")
		time.Sleep(time.Minute)
		wantNames(t, w, "write1 read1 read2 write2 write3 write4")
		wantTimes(t, w, ms(0, 100, 200, 10000, 20000, 30000)...)
	})
}

// When the window of the inner one ends, all who wait for it have long had a token
// of the outer one, and would be sent at once.
func TestWindowThatOpensDoesNotBreakTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		window := onePerTenSeconds()
		window.Count = 3
		w := newWire()
		c := throughAll(t, w, tenPerSecond(), window)
		c.startAll(t.Context(), "a b c d e f g")
		time.Sleep(time.Minute)
		wantNames(t, w, "a b c d e f g")
		wantTimes(t, w, ms(0, 100, 200, 10000, 10100, 10200, 20000)...)
	})
}

// Two windows of which now the one and now the other is spent.
func TestCallKeepsItsPlaceWhenAnotherQuotaStopsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		short := limit.Settings{Count: 1, Per: time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
		long := limit.Settings{Count: 3, Per: 10 * time.Second, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 100}
		groups := newGroups(t, short, long)
		both := through(t, w, groups...)
		both.startAll(t.Context(), "a b c d e f g h")
		time.Sleep(1500 * time.Millisecond)
		newCaller(t, groups[0], w).startAll(t.Context(), "i j")
		time.Sleep(time.Minute)
		wantNames(t, w, "a b c i j d e f g h")
		wantTimes(t, w, ms(0, 1000, 2000, 3000, 4000, 10000, 11000, 12000, 20000, 21000)...)
	})
}

func TestRefusalOfOneQuotaSpendsNothingOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		groups := newGroups(t, tenPerSecond(), limit.Settings{Count: 1, Per: time.Hour, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 9})
		rate, c := groups[0], through(t, w, groups...)
		c.call(t.Context(), "a")
		time.Sleep(time.Second)
		wantRefusal(t, c.call(t.Context(), "b"), time.Second, limit.QueueTimeout, time.Hour-time.Second)
		if q := rate.Snapshot()[0]; q.Tokens != 1 || q.Active != 0 {
			t.Errorf("left %+v", q)
		}
	})
}

func TestCallIsRefusedAtOnceByAQuotaThatItHasNotComeToYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		groups := newGroups(t, tenPerSecond(), limit.Settings{Count: 1, Per: time.Hour, Kind: pace.Window, MaxWait: time.Minute, MaxQueue: 9})
		rate, c := groups[0], through(t, w, groups...)
		c.call(t.Context(), "a")
		newCaller(t, rate, w).startAll(t.Context(), "x y") // wait for the rate
		wantRefusal(t, c.call(t.Context(), "b"), 0, limit.QueueTimeout, time.Hour)
	})
}

// A quota without max_wait once refused every call that had to wait for another one,
// with a turn free: by the time that it was asked, some had passed since the call
// began to wait, if only what it takes to learn whose call it is.
func TestQuotaWithoutMaxWaitLetsACallWaitForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tenPerSecond()
		s.Claim = func(context.Context) limit.Claim {
			time.Sleep(time.Millisecond)
			return limit.Claim{}
		}
		w := newWire()
		c := throughAll(t, w, limit.Settings{Concurrency: 1}, s)
		c.call(t.Context(), "a")
		if r := c.call(t.Context(), "b"); r.err != nil {
			t.Errorf("refused: %v", r.err)
		}
		wantTimes(t, w, ms(0, 100)...)
	})
}

func TestCanceledWaitOfSeveralQuotasCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		s := tenPerSecond()
		s.Concurrency = 1
		groups := newGroups(t, s, onePerTenSeconds())
		c := through(t, w, groups...)
		c.call(t.Context(), "a")
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := c.startAll(ctx, "b c")
		time.Sleep(5 * time.Second)
		cancel(gone)
		for _, b := range done {
			if r := <-b; !errors.Is(r.err, gone) || r.at != 5*time.Second {
				t.Errorf("ended at %v: %v", r.at, r.err)
			}
		}
		c.startAll(t.Context(), "d")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 10000)...)
		for _, g := range groups {
			if q := g.Snapshot()[0]; q.Active != 0 || q.Waiting != 0 || q.Tokens != q.Room {
				t.Errorf("left %+v", q)
			}
		}
	})
}

// The one whose turn comes as its client leaves must not keep the others from trying.
func TestCallThatEndsWithItsTurnLetsTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		c := throughAll(t, w, tenPerSecond(), onePerTenSeconds())
		c.startAll(t.Context(), "a")
		x := c.start(endsAt{t.Context(), w.start.Add(10 * time.Second)}, "x")
		c.startAll(t.Context(), "b c")
		if r := <-x; !errors.Is(r.err, context.Canceled) {
			t.Errorf("ended with %v", r.err)
		}
		time.Sleep(time.Minute)
		wantNames(t, w, "a b c")
		wantTimes(t, w, ms(0, 10000, 20000)...)
	})
}

// A call waits once, whatever stops it on the way: it is told of the one that lets it go
// last.
func TestWaitForSeveralQuotasIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		telling := func(name string, s limit.Settings) limit.Settings {
			s.OnWait = func(_ context.Context, _ string, waited time.Duration, reason string) {
				told = append(told, name+" "+waited.String()+" "+reason)
			}
			return s
		}
		w := newWire()
		c := throughAll(t, w, telling("rate", tenPerSecond()), telling("window", onePerTenSeconds()))
		c.call(t.Context(), "a")
		c.call(t.Context(), "b")
		if want := []string{"window 10s rate"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestAnswerOfSeveralQuotasFreesEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		groups := newGroups(t, twoAtOnce(), twoAtOnce())
		one, two := groups[0], groups[1]
		c := through(t, w, groups...)
		resp := c.open(t.Context(), "a").resp
		active := func() [2]int { return [2]int{one.Snapshot()[0].Active, two.Snapshot()[0].Active} }
		if got := active(); got != [2]int{1, 1} {
			t.Errorf("%v are on their way", got)
		}
		resp.Body.Close()
		resp.Body.Close()
		if got := active(); got != [2]int{} {
			t.Errorf("%v are on their way", got)
		}
	})
}

// More quotas than a passage has room for need memory, and nothing else.
func TestManyQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		throughAll(t, w, slices.Repeat([]limit.Settings{tenPerSecond()}, 9)...).startAll(t.Context(), "a b c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 100, 200)...)
	})
}

// Each 429 closes the gates of all quotas that the call spent from.
func TestGateClosesAllQuotasOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = func(name string) *http.Response { return throttles(10, "a")(name) }
		c := throughAll(t, w, learning(), learning())
		c.startAll(t.Context(), "a b")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 10000)...)
	})
}
