package hedge_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/hedge"
	"outrider/policy/policytest"
)

const ms = time.Millisecond

func TestSlowRequestHasASecondOneWhichWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Hang: true}, policytest.Step{Delay: 30 * ms, Body: "second"})
		r.wants(r.get(), "second", 130*ms, both, hedge.Won)
	})
}

func TestFirstAnswerWinsAndTheSecondRequestIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"}, policytest.Step{Hang: true})
		r.wants(r.get(), "first", 150*ms, both, hedge.Lost)
	})
}

func TestAnswerAsUsualHasNoSecondRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: usual - 1, Body: "first"})
		r.wants(r.get(), "first", usual-1, both[:1])
	})
}

func TestNothingIsSlowBeforeTwentyAnswersAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 19, Delay: usual}, policytest.Step{Delay: time.Minute})
		rt := hedge.New(hedge.Settings{}, nil).Wrap(nil)(wire(upstream))
		for range 20 {
			policytest.Do(rt, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		}
		if n := len(upstream.Requests()); n != 20 {
			t.Errorf("%d requests for 20 calls", n)
		}
	})
}

func TestFastAnswersAreNotHedgedWithinTenMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Times: 256, Delay: ms}, policytest.Step{Hang: true}, policytest.Step{Body: "second"})
		for range 256 {
			r.get()
		}
		if got := r.get(); got.Took != 10*ms || got.Body != "second" {
			t.Errorf("%q in %v, want the second request after 10ms", got.Body, got.Took)
		}
	})
}

// A wait for a turn is not the provider's slowness, and a second request would only wait
// in the same line.
func TestTimeBeforeTheRequestGoesOutDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 90 * ms, Body: "first"})
		line := roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return wire(r.upstream).RoundTrip(req)
		})
		r.wants(r.send(r.request("GET"), line), "first", 1090*ms, both[:1])
		if got := r.stage.State(); got.After != usual {
			t.Errorf("the next is slow after %v, want %v", got.After, usual)
		}
	})
}

// The auth stage sends a request anew where its credential was refused: then the provider
// has as long again.
func TestRequestThatGoesOutAnewHasItsWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 90 * ms, Status: 401}, policytest.Step{Delay: 90 * ms, Body: "first"})
		again := roundTripper(func(req *http.Request) (*http.Response, error) {
			if resp, err := wire(r.upstream).RoundTrip(req); err != nil || resp.StatusCode != 401 {
				return resp, err
			}
			return wire(r.upstream).RoundTrip(req)
		})
		r.wants(r.send(r.request("GET"), again), "first", 180*ms, []time.Duration{0, 90 * ms})
	})
}

// It goes out anew when the second one is on its way, and is slow once more.
func TestRequestThatGoesOutAnewHasNoThirdOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 150 * ms, Status: 401}, policytest.Step{Hang: true}, policytest.Step{Delay: 300 * ms, Body: "first"})
		for range 100 { // for more than one second request
			r.stage.Wrap(nil)(roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF })).RoundTrip(r.request("GET"))
		}
		again := roundTripper(func(req *http.Request) (*http.Response, error) {
			if resp, err := wire(r.upstream).RoundTrip(req); err != nil || resp.StatusCode != 401 {
				return resp, err
			}
			return wire(r.upstream).RoundTrip(req)
		})
		r.wants(r.send(r.request("GET"), again), "first", 450*ms, []time.Duration{0, 100 * ms, 150 * ms}, hedge.Lost)
	})
}

// stubborn sends the second request, or the first, such that it does not hear that it is
// canceled: as where the answer has just come when it is.
func (r *rig) stubborn(second bool) http.RoundTripper {
	return wire(roundTripper(func(req *http.Request) (*http.Response, error) {
		if hedge.Second(req.Context()) == second {
			req = req.WithContext(context.WithoutCancel(req.Context()))
		}
		return r.upstream.RoundTrip(req)
	}))
}

// There is one winner. An answer that comes after it does nothing to it: neither does the
// second cancel a first that has won, whose body is still read, nor is the first taken once
// it was canceled.
func TestAnswerThatComesTooLateIsDropped(t *testing.T) {
	late := policytest.Step{Delay: 250 * ms, Body: "late"}
	t.Run("the first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, late, policytest.Step{Delay: 50 * ms, Body: "second"})
			r.wants(r.send(r.request("GET"), r.stubborn(false)), "second", 250*ms, both, hedge.Won)
		})
	})
	t.Run("the second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"}, late)
			r.wants(r.send(r.request("GET"), r.stubborn(true)), "first", 350*ms, both, hedge.Lost)
		})
	})
}

// It is nobody's fault, and no client has left: whoever judges its end has to know.
func TestRequestThatLostKnowsWhyItEnds(t *testing.T) {
	for name, c := range map[string]struct {
		first, second policytest.Step
		secondLost    bool
	}{
		"the first":  {policytest.Step{Hang: true}, policytest.Step{Delay: 50 * ms}, false},
		"the second": {policytest.Step{Delay: 150 * ms}, policytest.Step{Hang: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.first, c.second)
				var mu sync.Mutex
				lost := map[bool]bool{} // second → as it ended
				r.send(r.request("GET"), wire(roundTripper(func(req *http.Request) (*http.Response, error) {
					resp, err := r.upstream.RoundTrip(req)
					mu.Lock()
					defer mu.Unlock()
					lost[hedge.Second(req.Context())] = hedge.HasLost(req.Context())
					return resp, err
				})))
				if want := map[bool]bool{true: c.secondLost, false: !c.secondLost}; !maps.Equal(lost, want) {
					t.Errorf("of the second and the first, these know that they lost: %v, want %v", lost, want)
				}
			})
		})
	}
}

func TestRequestThatLostIsKnownToHaveBeenSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Hang: true}, policytest.Step{Delay: 30 * ms, Body: "second"})
		r.wants(r.get(), "second", 130*ms, both, hedge.Won)
		if got := r.stage.State().Known; got != 21 {
			t.Errorf("%d requests are known, want 21", got)
		}
	})
}

// All of them are slow, and each asks for a second request in the same moment.
func TestManyCallsAtATimeShareWhatIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 200
		r := newRig(t, policytest.Step{Times: calls, Delay: 500 * ms}, policytest.Step{Times: calls/20 + 1, Delay: 10 * ms})
		rt := r.stage.Wrap(nil)(wire(r.upstream))
		var all sync.WaitGroup
		for range calls {
			all.Go(func() { policytest.Do(rt, r.request("GET")) })
		}
		all.Wait()
		if got := len(r.sent()); got != calls+10 {
			t.Errorf("%d requests for %d calls, want ten more", got, calls)
		}
	})
}

func TestTenSecondRequestsAreSavedAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Times: 300})
		for range 300 {
			r.get()
		}
		r.saved(10)
	})
}

func TestSecondRequestThatFailsIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 300 * ms, Body: "first"}, policytest.Step{Status: 503, Body: "down"})
		r.wants(r.get(), "first", 300*ms, both, hedge.Lost)
	})
}

func TestSecondRequestIsWaitedForWhereTheFirstFails(t *testing.T) {
	for name, first := range map[string]policytest.Step{
		"an error": {Delay: 150 * ms, Err: io.ErrUnexpectedEOF},
		"a 503":    {Delay: 150 * ms, Status: 503, Body: "down"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, first, policytest.Step{Delay: 200 * ms, Body: "second"})
				r.wants(r.get(), "second", 300*ms, both, hedge.Won)
			})
		})
	}
}

func TestFailureBeforeASecondRequestIsDueIsForTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 50 * ms, Status: 503, Body: "down"})
		r.wants(r.get(), "down", 50*ms, both[:1])
	})
}

func TestWhereBothFailAnAnswerGoesBeforeAnError(t *testing.T) {
	down := policytest.Step{Delay: 150 * ms, Status: 503, Body: "first"}
	broken := policytest.Step{Delay: 150 * ms, Err: io.ErrUnexpectedEOF}
	second := policytest.Step{Delay: 150 * ms, Status: 503, Body: "second"}
	for _, c := range []struct {
		name          string
		first, second policytest.Step
		body, outcome string
	}{
		{"the first alone has an answer", down, broken, "first", hedge.Lost},
		{"the second alone has an answer", broken, second, "second", hedge.Won},
		{"both have", down, second, "first", hedge.Lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.first, c.second)
				r.wants(r.get(), c.body, 250*ms, both, c.outcome)
			})
		})
	}
	t.Run("none has", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, broken, broken)
			if got := r.get(); !errors.Is(got.Err, io.ErrUnexpectedEOF) || got.Took != 250*ms {
				t.Errorf("%v after %v", got.Err, got.Took)
			}
			r.saw(both, hedge.Lost)
		})
	})
}

// What came as TLS early data was sent a second time all the same, though whoever forwards
// it must send it once (RFC 8470 section 5.2). And so was what asks for a stream of events,
// of which a provider may allow one at a time, and ends the older one.
func TestOnlyGETAndHEADThatMayBeSentTwiceAreHedged(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		header             http.Header
		hedged             bool
	}{
		{"GET", "GET", "", nil, true},
		{"HEAD", "HEAD", "", nil, true},
		{"GET of a part, if it is new", "GET", "", http.Header{"Range": {"bytes=0-9"}, "If-None-Match": {`"1"`}}, true},
		{"GET of JSON", "GET", "", http.Header{"Accept": {"application/json", "*/*"}}, true},
		{"GET with a body", "GET", "query", nil, false},
		{"upgrade", "GET", "", http.Header{"Upgrade": {"websocket"}}, false},
		{"early data", "GET", "", http.Header{"Early-Data": {"1"}}, false},
		{"stream of events", "GET", "", http.Header{"Accept": {"application/json, Text/Event-Stream;q=0.9"}}, false},
		{"POST", "POST", "", nil, false},
		{"DELETE", "DELETE", "", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, policytest.Step{Delay: 150 * ms}, policytest.Step{Hang: true})
				req := policytest.NewRequest(t, c.method, "https://api.test/x", c.body)
				maps.Copy(req.Header, c.header)
				r.send(req, wire(r.upstream))
				if got := len(r.sent()) == 2; got != c.hedged {
					t.Errorf("a second request: %v, want %v", got, c.hedged)
				}
			})
		})
	}
}

func TestOtherAttemptsOfACallAreNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 500 * ms, Body: "again"}).with(func(s *hedge.Settings) {
			s.Begins = func(context.Context) bool { return false }
		})
		r.wants(r.get(), "again", 500*ms, both[:1])
	})
}

func TestSecondRequestThatIsNotAllowedIsNotSent(t *testing.T) {
	no := func() bool { return false }
	t.Run("by permit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"})
			rt := r.stage.Wrap(func(*http.Request) bool { return no() })(wire(r.upstream))
			r.wants(policytest.Do(rt, r.request("GET")), "first", 150*ms, both[:1], hedge.Refused)
			r.saved(1.05)
		})
	})
	t.Run("by what it costs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"}).with(func(s *hedge.Settings) { s.Pay = no })
			r.wants(r.get(), "first", 150*ms, both[:1], hedge.Refused)
			r.saved(1.05)
		})
	})
}

func (r *rig) saved(want float64) {
	r.t.Helper()
	if got := r.stage.State().Saved; got != want {
		r.t.Errorf("%v second requests are saved, want %v", got, want)
	}
}

// A queue refuses what will not wait: that is nothing to the call, and costs nothing.
func TestSecondRequestThatIsRefusedBelowCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		price := 0
		r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"}).with(func(s *hedge.Settings) {
			s.Pay = func() bool { price++; return true }
			s.GiveBack = func() { price-- }
		})
		full := roundTripper(func(req *http.Request) (*http.Response, error) {
			if hedge.Second(req.Context()) {
				return nil, errors.New("the queue is full")
			}
			return wire(r.upstream).RoundTrip(req)
		})
		r.wants(r.send(r.request("GET"), full), "first", 150*ms, both[:1], hedge.Refused)
		r.saved(1.05)
		if price != 0 {
			t.Errorf("it cost %d", price)
		}
	})
}

func TestClientThatLeavesCancelsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Hang: true}, policytest.Step{Hang: true})
		ctx, leave := context.WithTimeout(t.Context(), 140*ms)
		defer leave()
		got := r.send(r.request("GET").WithContext(ctx), wire(r.upstream))
		if !errors.Is(got.Err, context.DeadlineExceeded) || got.Took != 140*ms {
			t.Errorf("%v after %v", got.Err, got.Took)
		}
		r.saw(both, hedge.Lost)
	})
}

func TestContextOfTheWinnerEndsWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Hang: true}, policytest.Step{Body: "second"})
		var winner context.Context
		resp, err := r.stage.Wrap(nil)(roundTripper(func(req *http.Request) (*http.Response, error) {
			winner = req.Context()
			return wire(r.upstream).RoundTrip(req)
		})).RoundTrip(r.request("GET"))
		if err != nil {
			t.Fatal(err)
		}
		if winner.Err() != nil {
			t.Error("it ended before the body")
		}
		resp.Body.Close()
		if winner.Err() == nil {
			t.Error("it outlives the body")
		}
	})
}

func TestCallReturnsWhenTheLoserHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.Step{Delay: 150 * ms, Body: "first"}, policytest.Step{Hang: true})
		under := 0
		slow := roundTripper(func(req *http.Request) (*http.Response, error) {
			under++
			resp, err := wire(r.upstream).RoundTrip(req)
			if err != nil {
				time.Sleep(5 * ms) // it takes its time to clean up
			}
			under--
			return resp, err
		})
		got := r.send(r.request("GET"), slow)
		if under != 0 {
			t.Errorf("%d requests are under way", under)
		}
		r.wants(got, "first", 155*ms, both, hedge.Lost)
	})
}

func TestPanicOfEitherIsOneOfTheCall(t *testing.T) {
	crash := func(after time.Duration) policytest.Step {
		return policytest.Step{Do: func(*http.Request) { time.Sleep(after); panic("crash") }}
	}
	for name, steps := range map[string][]policytest.Step{
		"the first":                          {crash(150 * ms), {Hang: true}},
		"the second":                         {{Hang: true}, crash(50 * ms)},
		"the second, as the first has ended": {{Delay: 150 * ms, Body: "first"}, crash(50 * ms)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, steps...)
				defer func() {
					if got := recover(); got != "crash" {
						t.Errorf("recovered %v", got)
					}
					r.saw(both, hedge.Lost)
				}()
				r.get()
			})
		})
	}
}

// What the call goes by is what is noted of the request that won.
func TestRequestsAreNotedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		names := []string{"first", "second"}
		var chosen []string
		r := newRig(t, policytest.Step{Hang: true}, policytest.Step{Delay: 10 * ms, Body: "second"}).with(func(s *hedge.Settings) {
			s.Apart = func(ctx context.Context) (context.Context, func()) {
				name := names[0]
				names = names[1:]
				return context.WithValue(ctx, key{}, name), func() { chosen = append(chosen, name) }
			}
		})
		var seen []string
		r.send(r.request("GET"), roundTripper(func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.Context().Value(key{}).(string))
			return wire(r.upstream).RoundTrip(req)
		}))
		if got := strings.Join(seen, " "); got != "first second" {
			t.Errorf("requests of %q", got)
		}
		if got := strings.Join(chosen, " "); got != "second" {
			t.Errorf("chosen: %q", got)
		}
	})
}

func TestReloadKeepsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		before := r.stage.State()
		if got := hedge.New(r.settings, r.stage).State(); got != before || got.Known != 20 {
			t.Errorf("%+v after a reload, %+v before", got, before)
		}
	})
}
