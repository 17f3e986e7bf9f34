package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// keeping are settings by which nothing is sampled, and calls are kept that fail or
// whose answer takes 5 s.
func keeping() telemetry.Settings {
	return telemetry.Settings{Sample: 0, KeepErrors: true, KeepSlow: 5 * time.Second}
}

func (r *rig) wantHeld(t testing.TB, calls, spans int) {
	t.Helper()
	if c, s := r.Held(); c != calls || s != spans {
		t.Errorf("%d spans of %d calls are held, want %d of %d", s, c, spans, calls)
	}
}

func TestCallsThatFailOrAreSlowAreKeptWhole(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // until the answer begins
		body  time.Duration // until it has ended
		end   telemetry.Outcome
		why   string // "": it is not kept
	}{
		{"fine", 4999 * time.Millisecond, 0, telemetry.Outcome{Status: 200}, ""},
		{"a mistake of the caller's", 0, 0, telemetry.Outcome{Status: 404}, ""},
		{"streams for an hour", time.Second, time.Hour, telemetry.Outcome{Status: 200}, ""},
		{"slow", 5 * time.Second, 0, telemetry.Outcome{Status: 200}, "slow"},
		{"relayed fault", 0, 0, telemetry.Outcome{Status: 503}, "error"},
		{"refused by us", 0, 0, telemetry.Outcome{Status: 429, Problem: "queue-full"}, "error"},
		{"broken off", 0, 0, telemetry.Outcome{Status: 200, Err: errors.New("x")}, "error"},
		{"the client left", 0, 0, telemetry.Outcome{Class: policy.ClassClientGone, Err: context.Canceled}, ""},
		{"the client left late", 0, time.Minute, telemetry.Outcome{Class: policy.ClassClientGone, Err: context.Canceled}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, keeping())
				ctx, span, _ := r.begin("GET", "crm")
				r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: time.Nanosecond})
				resp, err := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
					time.Sleep(c.after)
					return response(req, 200, ""), nil
				})).RoundTrip(outbound(ctx, "GET", "https://crm.test/"))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.body)
				resp.Body.Close()
				r.Flush()
				r.wantHeld(t, 1, 2)
				span.End(&c.end)
				r.Flush()
				r.wantHeld(t, 0, 0)

				spans := r.spans.GetSpans()
				if c.why == "" {
					if len(spans) != 0 {
						t.Errorf("%d spans are kept", len(spans))
					}
					return
				}
				if len(spans) != 3 {
					t.Fatalf("%d spans are kept, want the call's, its wait and its attempt", len(spans))
				}
				for _, span := range spans {
					if !span.SpanContext.IsSampled() || span.SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
						t.Errorf("%s is no sampled span of the call", span.Name)
					}
				}
				if why := attributes(r.kind(trace.SpanKindServer)[0])["outrider.kept"]; why != c.why {
					t.Errorf("kept for %q, want %q", why, c.why)
				}
			})
		})
	}
}

func TestKeepingIsOffByItsSettings(t *testing.T) {
	for name, c := range map[string]struct {
		s   telemetry.Settings
		end telemetry.Outcome
	}{
		"errors": {telemetry.Settings{KeepSlow: time.Hour}, telemetry.Outcome{Status: 503}},
		"slow":   {telemetry.Settings{KeepErrors: true}, telemetry.Outcome{Status: 200}},
		"both":   {telemetry.Settings{}, telemetry.Outcome{Status: 503}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.s)
			_, span, _ := r.begin("GET", "crm")
			span.End(&c.end)
			if n := len(r.spans.GetSpans()); n != 0 {
				t.Errorf("%d spans are kept", n)
			}
		})
	}
}

// What is sampled is not held, and is not marked: it stands for others, too.
func TestSampledCallIsNotHeld(t *testing.T) {
	s := keeping()
	s.Sample = 0.5
	r := newRig(t, s)
	req := httptest.NewRequest("GET", "/x", nil)
	req.Header.Set("Traceparent", "00-"+callerTrace+"-"+callerSpan+"-01")
	ctx, span := r.StartCall(req, "base-url")
	send(t, r.Transport(answers(503)), outbound(ctx, "GET", "https://crm.test/"))
	r.wantHeld(t, 0, 0)
	if len(r.spans.GetSpans()) != 1 {
		t.Error("an attempt of a sampled call was held back")
	}
	span.End(&telemetry.Outcome{Status: 503})
	if why, there := attributes(r.kind(trace.SpanKindServer)[0])["outrider.kept"]; there {
		t.Errorf("it is marked %q", why)
	}
}

// Who calls us may have left its call out. By the usual samplers that counts; by those of
// OTEL_TRACES_SAMPLER that ask nobody, it does not.
func TestCallerThatLeftItsCallOutIsHeard(t *testing.T) {
	for _, c := range []struct {
		sampler string
		kept    bool
	}{{"", false}, {"parentbased_always_off", false}, {"traceidratio", true}, {"always_off", false}} {
		t.Run(c.sampler, func(t *testing.T) {
			r := newRig(t, keeping(), "OTEL_TRACES_SAMPLER", c.sampler, "OTEL_TRACES_SAMPLER_ARG", "0")
			req := httptest.NewRequest("GET", "/x", nil)
			req.Header.Set("Traceparent", "00-"+callerTrace+"-"+callerSpan+"-00")
			ctx, span := r.StartCall(req, "base-url")
			send(t, r.Transport(answers(503)), outbound(ctx, "GET", "https://crm.test/"))
			span.End(&telemetry.Outcome{Status: 503})
			if got := len(r.spans.GetSpans()) == 2; got != c.kept {
				t.Errorf("kept: %v, want %v", got, c.kept)
			}
		})
	}
}

// While a call is under way nobody knows yet that it will be kept.
func TestHeldCallIsNotToldToBeSampled(t *testing.T) {
	r := newRig(t, keeping())
	sent := r.exchange(t, http.Header{}, true, 200)[0].Get("Traceparent")
	if sent[len(sent)-3:] != "-00" {
		t.Errorf("the upstream was told %s", sent)
	}
}

func TestRefreshIsKeptWhereItFailedOrACallOfItIsSampled(t *testing.T) {
	refresh := policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "default", From: "expired"}
	for _, c := range []struct {
		name string
		flag string // of the call that needs it
		err  error
		kept bool
	}{
		{"fine", "", nil, false},
		{"failed", "", errors.New("invalid_grant"), true},
		{"of a sampled call", "01", nil, true},
		{"of a call that was left out", "00", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, keeping())
			req := httptest.NewRequest("GET", "/x", nil)
			if c.flag != "" {
				req.Header.Set("Traceparent", "00-"+callerTrace+"-"+callerSpan+"-"+c.flag)
			}
			ctx, span := r.StartCall(req, "base-url")
			work, ended := r.StartWork(ctx, refresh)
			send(t, r.TokenTransport(answers(200), "crm"), outbound(work, "POST", "https://login.test/token"))
			ended(c.err)
			span.End(&telemetry.Outcome{Status: 200})
			if got := len(r.named("token refresh")) + len(r.named("POST token")); got != map[bool]int{true: 2, false: 0}[c.kept] {
				t.Errorf("%d spans of the refresh are kept: %v", got, c.kept)
			}
		})
	}
}

// A call that never ends, as a stream may, holds little, and all of them together hold no
// more than there is room for: the oldest give way.
func TestWhatIsHeldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, keeping())
		wait := func(ctx context.Context) {
			r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: time.Nanosecond})
		}
		const endless = telemetry.MaxHeldSpans/telemetry.MaxCallSpans + 10
		for range endless {
			ctx, _, _ := r.begin("GET", "crm")
			for range telemetry.MaxCallSpans + 1 {
				wait(ctx)
			}
		}
		r.wantHeld(t, endless, telemetry.MaxHeldSpans)
		lost := r.Losses()
		if want := int64(endless*(telemetry.MaxCallSpans+1) - telemetry.MaxHeldSpans); len(lost) != 1 || lost[0].Signal != "traces" || lost[0].Dropped != want {
			t.Errorf("lost are %+v, want %d spans", lost, want)
		}

		ctx, span, _ := r.begin("GET", "crm")
		wait(ctx)
		span.End(&telemetry.Outcome{Status: 503})
		if n := len(r.spans.GetSpans()); n != 2 {
			t.Errorf("a call that failed has %d spans of 2", n)
		}
		_, tunnel, _ := r.begin("CONNECT", "crm")
		tunnel.End(&telemetry.Outcome{Passing: true})
		r.wantHeld(t, endless, telemetry.MaxHeldSpans-telemetry.MaxCallSpans)
	})
}

// However calls overlap, those that are kept are whole, and of the others nothing is there.
func TestCallsThatOverlapAreKeptOneByOne(t *testing.T) {
	r := newRig(t, keeping())
	var mu sync.Mutex
	want := map[string]int{} // trace → spans
	var making sync.WaitGroup
	for i := range 200 {
		making.Go(func() {
			chance := rand.New(rand.NewPCG(1, uint64(i)))
			ctx, span, _ := r.begin("GET", "crm")
			attempts := 1 + chance.IntN(4)
			for range attempts {
				send(t, r.Transport(answers(503)), outbound(ctx, "GET", "https://crm.test/"))
			}
			status := 200
			if chance.IntN(2) == 0 {
				status = 503
				mu.Lock()
				want[span.TraceID()] = attempts + 1
				mu.Unlock()
			}
			span.End(&telemetry.Outcome{Status: status})
		})
	}
	making.Wait()
	got := map[string]int{}
	for _, span := range r.spans.GetSpans() {
		got[span.SpanContext.TraceID().String()]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
	r.wantHeld(t, 0, 0)
}
