package limit_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// throttles answers 429 with a Retry-After of so many seconds to the calls of
// these names, and 200 to others.
func throttles(seconds int, names ...string) func(string) *http.Response {
	return func(name string) *http.Response {
		if slices.Contains(names, name) {
			return respond(429, "Retry-After", strconv.Itoa(seconds))
		}
		return nil
	}
}

func learning() limit.Settings {
	s := tenPerSecond()
	s.Learn = true
	return s
}

func TestGateMovesEverybodyInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = throttles(5, "b")
		g := newGroup(t, learning(), nil)
		newCaller(t, g, w).startAll(t.Context(), "a b c d e")
		time.Sleep(150 * time.Millisecond)

		q := g.Snapshot()[0]
		if want := w.start.Add(5100 * time.Millisecond); !q.Gate.Equal(want) {
			t.Errorf("gate closed until %v, want %v", q.Gate, want)
		}
		if want := 4950*time.Millisecond + 300*time.Millisecond; q.Wait != want || q.Waiting != 3 {
			t.Errorf("%d wait, the next would wait %v, want 3, %v", q.Waiting, q.Wait, want)
		}
		time.Sleep(time.Minute)
		// They go through the bucket: no burst when the gate opens.
		wantTimes(t, w, ms(0, 100, 5100, 5200, 5300)...)
	})
}

func TestGateOpensLaterByTheJitterAndNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ seconds, most int }{{1, 100}, {2, 200}, {10, 250}} {
			var asked time.Duration
			var told []time.Duration
			w := newWire()
			w.answer = throttles(test.seconds, "a")
			s := learning()
			s.Jitter = func(most time.Duration) time.Duration { asked = most; return most / 2 }
			s.OnGate = func(_ context.Context, key string, until time.Time) { told = append(told, until.Sub(w.start)) }
			c := newCaller(t, newGroup(t, s, nil), w)
			c.call(t.Context(), "a")
			c.call(t.Context(), "b")
			want := time.Duration(test.seconds)*time.Second + time.Duration(test.most)*time.Millisecond/2
			if asked != time.Duration(test.most)*time.Millisecond {
				t.Errorf("jitter up to %v for %d s, want %d ms", asked, test.seconds, test.most)
			}
			if !slices.Equal(told, []time.Duration{want}) {
				t.Errorf("told of gates until %v, want %v", told, want)
			}
			wantTimes(t, w, 0, want)
		}
	})
}

func TestWhatClosesTheGate(t *testing.T) {
	for _, test := range []struct {
		name   string
		resp   *http.Response
		closed time.Duration
	}{
		{"429 with a time", respond(429, "Retry-After", "7"), 7 * time.Second},
		{"429 without", respond(429), 111111111}, // 0.9 of the rate: see pace.Adaptive
		{"429 at once", respond(429, "Retry-After", "0"), 0},
		{"503 with a time", respond(503, "Retry-After", "7"), 7 * time.Second},
		{"503 without", respond(503), 0},
		{"500 with a time", respond(500, "Retry-After", "7"), 0},
		{"301 with a time", respond(301, "Retry-After", "7"), 0},
		{"absurd", respond(429, "Retry-After", "1763852400"), 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := learning()
				s.Burst, s.MaxWait = 2, 100*time.Hour
				w := newWire()
				w.answer = func(string) *http.Response { return test.resp }
				c := newCaller(t, newGroup(t, s, nil), w)
				c.call(t.Context(), "a")
				c.call(t.Context(), "b")
				wantTimes(t, w, 0, test.closed)
			})
		})
	}
}

func TestWithoutLearnNoAnswerClosesTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.answer = throttles(5, "a")
		c := newCaller(t, newGroup(t, tenPerSecond(), nil), w)
		c.startAll(t.Context(), "a b")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 100)...)
	})
}

func TestLaterAnswerNeverShortensTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := learning()
		s.Burst = 2
		gates := 0
		s.OnGate = func(context.Context, string, time.Time) { gates++ }
		w := newWire()
		w.answer = func(name string) *http.Response {
			switch name {
			case "a":
				return respond(429, "Retry-After", "10")
			case "b":
				time.Sleep(time.Second)
				return respond(429, "Retry-After", "2")
			}
			return nil
		}
		c := newCaller(t, newGroup(t, s, nil), w)
		c.startAll(t.Context(), "b a c")
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 0, 10000)...)
		if gates != 1 {
			t.Errorf("told of %d gates", gates)
		}
	})
}

func TestGateBeyondMaxWaitOrDeadlineRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := learning()
		s.MaxWait = 10 * time.Second
		w := newWire()
		w.answer = throttles(30, "b")
		c := newCaller(t, newGroup(t, s, nil), w)
		inLine := c.startAll(t.Context(), "a b c d")
		time.Sleep(time.Second)
		for _, done := range inLine[2:] { // those in line, when the gate closes
			wantRefusal(t, <-done, 100*time.Millisecond, limit.QuotaExhausted, 30*time.Second)
		}
		wantRefusal(t, c.call(t.Context(), "e"), time.Second, limit.QuotaExhausted, 29100*time.Millisecond)
		time.Sleep(20 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		wantRefusal(t, c.call(ctx, "f"), 21*time.Second, limit.QuotaExhausted, 9100*time.Millisecond)
		if r := c.call(t.Context(), "g"); r.err != nil || r.at != 30100*time.Millisecond {
			t.Errorf("ended at %v: %v", r.at, r.err)
		}
	})
}

// The gate alone is near enough, but with the line behind it it is not.
func TestGateRefusesTheEndOfTheLineThatCannotGoInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := learning()
		s.MaxWait = 5200 * time.Millisecond
		w := newWire()
		w.answer = throttles(5, "b")
		c := newCaller(t, newGroup(t, s, nil), w)
		inLine := c.startAll(t.Context(), "a b c d e")
		time.Sleep(time.Second)
		wantRefusal(t, <-inLine[4], 100*time.Millisecond, limit.QueueTimeout, 5200*time.Millisecond)
		time.Sleep(time.Minute)
		wantTimes(t, w, ms(0, 100, 5100, 5200)...)
	})
}

func TestGateOverAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Count: 2, Per: 10 * time.Second, Kind: pace.Window, Learn: true, MaxWait: time.Hour, MaxQueue: 100}
		w := newWire()
		w.answer = throttles(13, "b")
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "a")
		c.startAll(t.Context(), "b c d e f g")
		if got := g.Estimate("api.example"); got != 33*time.Second {
			t.Errorf("the next would wait %v, want 33s", got)
		}
		time.Sleep(time.Minute)
		// The window after the gate starts with the first call behind it.
		wantTimes(t, w, ms(0, 0, 13000, 13000, 23000, 23000, 33000)...)
	})
}

// Without a rate the answers are all there is to go by: one call, then twice as
// many each round trip.
func TestGateOfAQuotaWithoutRateOpensStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Learn: true, MaxWait: time.Minute, MaxQueue: 1000}
		w := newWire()
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second) // the round trip
			return throttles(10, "x")(name)
		}
		c := newCaller(t, newGroup(t, s, nil), w)
		c.call(t.Context(), "x")
		for range 20 {
			c.start(t.Context(), "a")
		}
		time.Sleep(time.Minute)

		want := ms(0, 11000, 12000, 12000, 13000, 13000, 13000, 13000)
		want = append(want, slices.Repeat(ms(14000), 8)...)
		want = append(want, slices.Repeat(ms(15000), 5)...)
		wantTimes(t, w, want...)

		c.startAll(t.Context(), strings.Repeat("b ", 50)) // It is wide open again.
		wantTimes(t, w, append(want, slices.Repeat(ms(61000), 50)...)...)
		time.Sleep(time.Minute)
	})
}

func TestThrottledAnswerWhileTheGateOpensStartsFromOneAgain(t *testing.T) {
	for _, test := range []struct {
		name  string
		again *http.Response
		want  []time.Duration
	}{
		{"with a time", respond(429, "Retry-After", "10"), ms(0, 11000, 12000, 12000, 23000, 24000, 24000)},
		// A refusal that names no time slows the calls down, too: see pace.Adaptive.
		{"without", respond(429), append(ms(0, 11000, 12000, 12000), 13428571429, 14428571429, 14727205372)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := limit.Settings{Learn: true, MaxWait: time.Minute, MaxQueue: 1000}
				w := newWire()
				var sent atomic.Int32
				w.answer = func(name string) *http.Response {
					n := sent.Add(1)
					time.Sleep(time.Second)
					switch n {
					case 1:
						return respond(429, "Retry-After", "10")
					case 3, 4:
						return test.again
					}
					return nil
				}
				c := newCaller(t, newGroup(t, s, nil), w)
				c.call(t.Context(), "x")
				for range 6 {
					c.start(t.Context(), "a")
				}
				time.Sleep(time.Minute)
				wantTimes(t, w, test.want...)
			})
		})
	}
}

// The one that went first is gone; somebody else has to go first.
func TestFirstThroughTheGateThatFailsIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.Settings{Learn: true, MaxWait: time.Minute, MaxQueue: 1000}
		w := newWire()
		w.answer = throttles(10, "x")
		g := newGroup(t, s, nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "x")
		failing := &caller{t: t, wire: w, rt: g.Wrap(byHost)(roundTripper(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return nil, http.ErrHandlerTimeout
		}))}
		failing.start(t.Context(), "fails")
		c.startAll(t.Context(), "b c d")
		time.Sleep(time.Minute)
		// What goes out behind the gate is slowed down, too: see pace.Adaptive.
		wantTimes(t, w, 0, 11*time.Second, 11360576923, 11610576923)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
