package telemetry_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/policy/policytest"
	"outrider/policy/retry"
	"outrider/proxy/telemetry"
)

// during tells when a span began and ended, since the one around it began.
func during(outer, inner tracetest.SpanStub) [2]time.Duration {
	return [2]time.Duration{inner.StartTime.Sub(outer.StartTime), inner.EndTime.Sub(outer.StartTime)}
}

func TestWaitIsASpanOfTheTimeThatItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		ctx, span, call := r.begin("GET", "crm")
		ctx = policy.WithControls(ctx, policy.Controls{Priority: policy.PriorityHigh})
		time.Sleep(250 * time.Millisecond)
		r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Key: "crm.test", Reason: "rate", Delay: 200 * time.Millisecond})
		r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Key: "crm.test", Reason: "rate"}) // no wait at all
		r.Observe(ctx, policy.Event{Kind: policy.EventGiveUp, Upstream: "crm", Attempt: 1, Reason: "client gone"})
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Class: policy.ClassClientGone})

		server, waits := r.kind(trace.SpanKindServer)[0], r.kind(trace.SpanKindInternal)
		if len(waits) != 1 || waits[0].Name != "queue wait" || waits[0].Parent.SpanID() != server.SpanContext.SpanID() {
			t.Fatalf("waits %v", waits)
		}
		if got, want := during(server, waits[0]), [2]time.Duration{50 * time.Millisecond, 250 * time.Millisecond}; got != want {
			t.Errorf("the call waited %v, want %v", got, want)
		}
		expect(t, attributes(waits[0]), map[string]string{
			"outrider.reason": "rate", "outrider.key": "crm.test", "outrider.upstream": "crm", "outrider.priority": "high", "outrider.delay": "",
		})
		if len(server.Events) != 1 || server.Events[0].Name != "outrider.give-up" {
			t.Errorf("events %v: the wait is told twice, or the end is not", server.Events)
		}
		if got, want := r.Recent(telemetry.Filter{})[0].Waits, []telemetry.Wait{{StartMS: 50, DurationMS: 200, Kind: "turn", Reason: "rate"}}; !slices.Equal(got, want) {
			t.Errorf("recorded are %+v, want %+v", got, want)
		}
	})
}

// A backoff is announced with its whole length, and a client may leave in the middle of
// it. What is told afterwards is how long it was.
func TestBackoffEndsWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		ctx, span, call := r.begin("GET", "crm")
		told := func(kind policy.EventKind) func(context.Context, retry.Event) {
			return func(ctx context.Context, e retry.Event) {
				r.Observe(ctx, policy.Event{Kind: kind, Upstream: "crm", Attempt: e.Attempt, Reason: e.Reason, Delay: e.Delay})
			}
		}
		stage, err := retry.New(retry.Settings{
			Attempts: 2, Base: time.Second, Cap: time.Second, Statuses: []int{500}, Jitter: policytest.Jitter(0.9999),
			OnRetry: told(policy.EventRetry), OnBackoff: told(policy.EventBackoff), OnGiveUp: told(policy.EventGiveUp),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(ctx)
		time.AfterFunc(400*time.Millisecond, leave)
		_, err = stage.Wrap(r.Transport(answers(500))).RoundTrip(outbound(ctx, "GET", "https://crm.test/"))
		if err == nil {
			t.Fatal("the call was not broken off")
		}
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Class: policy.ClassClientGone})

		server, waits := r.kind(trace.SpanKindServer)[0], r.kind(trace.SpanKindInternal)
		if len(waits) != 1 || waits[0].Name != "backoff" {
			t.Fatalf("waits %v", waits)
		}
		if got, want := during(server, waits[0]), [2]time.Duration{0, 400 * time.Millisecond}; got != want {
			t.Errorf("the call backed off %v, want %v", got, want)
		}
		expect(t, attributes(waits[0]), map[string]string{"outrider.reason": "status 500", "outrider.attempt": "2"})
		if got, want := r.Recent(telemetry.Filter{})[0].Waits, []telemetry.Wait{{DurationMS: 400, Kind: "backoff", Reason: "status 500"}}; !slices.Equal(got, want) {
			t.Errorf("recorded are %+v, want %+v", got, want)
		}
	})
}

func TestRetryWithoutABackoffIsAnEvent(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	ctx, span, call := r.begin("GET", "crm")
	r.Observe(ctx, policy.Event{Kind: policy.EventRetry, Upstream: "crm", Attempt: 2, Reason: "status 421"})
	r.Observe(ctx, policy.Event{Kind: policy.EventBackoff, Upstream: "crm", Attempt: 2, Reason: "status 421"})
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
	server := r.kind(trace.SpanKindServer)[0]
	if len(server.Events) != 1 || server.Events[0].Name != "outrider.retry" || len(r.kind(trace.SpanKindInternal)) != 0 {
		t.Errorf("events %v, waits %v", server.Events, r.kind(trace.SpanKindInternal))
	}
}

func TestWaitOfACallThatIsNotRecordedIsNoSpan(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 0})
	ctx, span, _ := r.begin("GET", "crm")
	r.Observe(ctx, policy.Event{Kind: policy.EventWait, Upstream: "crm", Reason: "rate", Delay: time.Nanosecond})
	span.End(&telemetry.Outcome{Method: "GET", Status: 200})
	if spans := r.spans.GetSpans(); len(spans) != 0 {
		t.Errorf("spans %v", spans)
	}
}
