package breaker_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/breaker"
	"outrider/policy/policytest"
)

func TestOpenCircuitSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, fine)
		r.open()
		req := policytest.NewRequest(t, "POST", target, "x")
		closed := false
		req.Body = closer(func() { closed = true })
		a := policytest.Do(r.rt, req)
		r.wantRefused(a, 5*time.Second)
		if !closed || r.Tries() != 1 {
			t.Errorf("request body closed: %t, sent: %d", closed, r.Tries())
		}
		var refusal interface {
			Refusal() (string, time.Duration)
		}
		if !errors.As(a.Err, &refusal) {
			t.Fatalf("%v is no refusal", a.Err)
		}
		if reason, wait := refusal.Refusal(); reason != "circuit-open" || wait != 5*time.Second {
			t.Errorf("refused for %q, come again in %v", reason, wait)
		}
		time.Sleep(5*time.Second - 1)
		r.wantRefused(r.do(), 1)
		time.Sleep(1)
		r.wantAnswer(r.do(), 200)
		if _, wait := refusal.Refusal(); wait <= 0 {
			t.Errorf("a time that is over reads %v, which means unknown", wait)
		}
	})
}

// Whoever wants to try again asks before: what the circuit would refuse is not tried, and
// what would be its probe is.
func TestRefusesTellsWhatBecomesOfALaterRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, fine)
		key := byHost(r.get())
		refuses := func(when string, delay time.Duration, want bool) {
			t.Helper()
			if got := r.group.Refuses(key, delay); got != want {
				t.Errorf("%s, in %v: refused %t", when, delay, got)
			}
		}
		refuses("before the first request", 0, false)
		r.open()
		refuses("open for 5s", 0, true)
		refuses("open for 5s", 5*time.Second-1, true)
		refuses("open for 5s", 5*time.Second, false)
		r.wantState("open") // asking moves nothing
		if err := r.group.Open(key, time.Time{}); err != nil {
			t.Fatal(err)
		}
		refuses("held open", 24*time.Hour, true)
		if err := r.group.Close(key); err != nil {
			t.Fatal(err)
		}
		refuses("closed", 0, false)
		if err := r.group.Open("", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if another := "another.test"; !r.group.Refuses(another, time.Hour-1) || r.group.Refuses(another, time.Hour) {
			t.Error("a circuit to come is not as all are")
		}
	})
}

// closer is an empty request body.
type closer func()

func (c closer) Read([]byte) (int, error) {
	return 0, errors.New("read a body that was not to be sent")
}
func (c closer) Close() error { c(); return nil }

func TestOpenTimeEscalates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), times(8, failed), fine)
		for _, open := range []int{5, 10, 20, 40, 45, 45, 45} { // the last are half-way from 30 to 60
			r.do() // the failure, and then each probe
			r.wantRefused(r.do(), time.Duration(open)*time.Second)
			time.Sleep(time.Duration(open) * time.Second)
		}
		if got := r.state(); got.Openings != 7 || got.Cause != "probe" {
			t.Errorf("state is %+v", got)
		}
	})
}

func TestOpenTimeIsSpread(t *testing.T) {
	for _, test := range []struct {
		fraction float64
		want     []time.Duration // of the openings in a row
	}{
		{0, []time.Duration{2500, 5000, 10000, 20000, 30000, 30000}},
		{0.25, []time.Duration{3750, 7500, 15000, 30000, 37500, 37500}},
		{0.75, []time.Duration{6250, 12500, 25000, 50000, 52500, 52500}}, // 40 s spreads over 20 to 60
		{1 - 1e-3, []time.Duration{7495, 14990, 29980, 59960, 59970, 59970}},
	} {
		t.Run(fmt.Sprint(test.fraction), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := quick()
				s.Jitter = policytest.Jitter(test.fraction)
				r := newRig(t, s, times(-1, failed))
				for _, want := range test.want {
					r.do()
					r.wantRefused(r.do(), want*time.Millisecond)
					time.Sleep(want * time.Millisecond)
				}
			})
		})
	}
}

func TestWithoutJitterTheOpenTimeIsTheTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		s.Jitter = nil
		r := newRig(t, s, failed)
		r.open()
		r.wantRefused(r.do(), 5*time.Second)
	})
}

// TestEscalationBeginsAgainAfterAWindowClosed: a circuit that closes and fails
// again within a window has not recovered.
func TestEscalationBeginsAgainAfterAWindowClosed(t *testing.T) {
	for _, test := range []struct {
		closedFor, want time.Duration
	}{
		{30*time.Second - 1, 20 * time.Second},
		{30 * time.Second, 5 * time.Second},
	} {
		t.Run(test.closedFor.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, quick(), times(2, failed), fine, failed)
				r.open()
				time.Sleep(5 * time.Second)
				r.do()
				r.wantRefused(r.do(), 10*time.Second)
				time.Sleep(10 * time.Second)
				r.wantAnswer(r.do(), 200)
				time.Sleep(test.closedFor)
				r.calls(1)
				if test.closedFor < 30*time.Second {
					// The probe's success is still in the window: one of two failed.
					r.wantState("open")
				}
				r.wantRefused(r.do(), test.want)
			})
		})
	}
}

func unavailable(retryAfter string) policytest.Step {
	return policytest.Step{Status: 503, Header: http.Header{"Retry-After": {retryAfter}}}
}

func TestRetryAfterOf503HoldsTheCircuitOpen(t *testing.T) {
	for name, test := range map[string]struct {
		step policytest.Step
		want time.Duration
	}{
		"longer":       {unavailable("7"), 7 * time.Second},
		"beyond max":   {unavailable("3600"), time.Hour},
		"shorter":      {unavailable("4"), 5 * time.Second},
		"nonsense":     {unavailable("soon"), 5 * time.Second},
		"of a 500":     {policytest.Step{Status: 500, Header: http.Header{"Retry-After": {"7"}}}, 5 * time.Second},
		"for a minute": {unavailable(time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Format(http.TimeFormat)), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, quick(), test.step)
				r.open()
				r.wantRefused(r.do(), test.want)
				r.wantChanges(fmt.Sprintf("0s closed→open until %v", test.want))
			})
		})
	}
}

// TestRetryAfterNeedNotComeLast: the hint of an earlier answer holds although
// another failure opened the circuit.
func TestRetryAfterNeedNotComeLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := settings()
		s.MinCalls = 2
		r := newRig(t, s, unavailable("60"), failed)
		r.do()
		time.Sleep(time.Second)
		r.open()
		r.wantRefused(r.do(), 59*time.Second)
	})
}

// TestRetryAfterOfALateAnswerIsObeyed: it was sent before the circuit opened,
// but the provider's word about the time to come is never too late.
func TestRetryAfterOfALateAnswerIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		late := unavailable("60")
		late.Delay = time.Second
		r := newRig(t, quick(), late, failed)
		ended := make(chan bool)
		go func() { r.do(); close(ended) }()
		time.Sleep(time.Millisecond)
		r.open()
		<-ended
		r.wantRefused(r.do(), 60*time.Second)
	})
}

func TestProbeThatIsToldToWaitIsObeyed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, unavailable("90"), fine, failed)
		r.open()
		time.Sleep(5 * time.Second)
		r.do()
		r.wantRefused(r.do(), 90*time.Second)
		time.Sleep(90 * time.Second)
		r.wantAnswer(r.do(), 200)
		r.calls(1)
		r.wantRefused(r.do(), 20*time.Second) // not by the old hint
	})
}

func TestSettingsAreCheckedAllAtOnce(t *testing.T) {
	_, err := breaker.New(breaker.Settings{
		Window: -1, MinCalls: -1, FailureRatio: 1.5, Slow: -1, SlowRatio: -0.1, Consecutive: -1,
		Open: time.Microsecond, OpenMax: 0, Ramp: -1,
	}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, field := range []string{"Window", "MinCalls", "FailureRatio", "Slow ", "SlowRatio", "Consecutive", "Open ", "OpenMax", "Ramp", "Outcome"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not speak of %s", err, field)
		}
	}
}

func TestVeryLongOpenTimesDoNotOverflow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := quick()
		s.OpenMax = 1<<63 - 1
		s.Open = s.OpenMax/2 + 1
		s.Jitter = policytest.Jitter(0)
		r := newRig(t, s, times(2, failed))
		r.open()
		r.wantRefused(r.do(), s.Open/2)
	})
}
