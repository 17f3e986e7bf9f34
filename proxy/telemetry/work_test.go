package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// Two calls need a token, and one request brings it. It is in neither's trace, and both
// lead to it.
func TestRefreshIsATraceOfItsOwnToWhichItsCallsAreLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		refresh := policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "default", From: "first"}
		first, firstSpan, _ := r.begin("GET", "crm")
		second, secondSpan, _ := r.begin("GET", "crm")
		work, ended := r.StartWork(first, refresh)
		if policy.CallFrom(work) != nil {
			t.Error("the refresh is taken for a part of the call that caused it")
		}
		endpoint := r.TokenTransport(roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return response(req, 200, "{}"), nil
		}), "crm")
		if err := send(t, endpoint, outbound(work, "POST", "https://login.test/token")); err != nil {
			t.Fatal(err)
		}
		ended(nil)
		for ctx, span := range map[context.Context]*telemetry.Span{first: firstSpan, second: secondSpan} {
			r.Observe(ctx, policy.Event{Kind: policy.EventTokenWait, Upstream: "crm", Key: "default", Reason: "first", Delay: time.Second, Work: work})
			span.End(&telemetry.Outcome{Method: "GET", Status: 200})
		}

		roots, waits := r.named("token refresh"), r.named("token wait")
		if len(roots) != 1 || len(waits) != 2 {
			t.Fatalf("%d refreshes and %d waits for one", len(roots), len(waits))
		}
		root := roots[0]
		calls := map[string]bool{firstSpan.TraceID(): true, secondSpan.TraceID(): true}
		if root.Parent.IsValid() || root.SpanKind != trace.SpanKindInternal || calls[root.SpanContext.TraceID().String()] {
			t.Errorf("the refresh is a child, or in the trace of a call: %v", root)
		}
		if len(root.Links) != 1 || root.Links[0].SpanContext.TraceID().String() != firstSpan.TraceID() {
			t.Errorf("the refresh does not lead to the call that caused it: %v", root.Links)
		}
		for _, wait := range waits {
			if !calls[wait.SpanContext.TraceID().String()] || len(wait.Links) != 1 || !wait.Links[0].SpanContext.Equal(root.SpanContext) {
				t.Errorf("a wait does not lead from its call to the refresh: %v", wait)
			}
		}
		request := r.named("POST token")[0]
		if request.Parent.SpanID() != root.SpanContext.SpanID() || request.SpanKind != trace.SpanKindClient {
			t.Errorf("the token request is no child of the refresh: %v", request)
		}
		expect(t, attributes(root), map[string]string{"outrider.upstream": "crm", "outrider.key": "default", "outrider.from": "first", "error.type": ""})
		if got := r.Recent(telemetry.Filter{})[0].Waits; len(got) != 1 || got[0] != (telemetry.Wait{DurationMS: 1000, Kind: "token", Reason: "first"}) {
			t.Errorf("recorded are %+v", got)
		}
	})
}

func TestRefreshThatFailedSaysWhy(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	_, ended := r.StartWork(context.Background(), policy.Event{Kind: policy.EventRefresh, Upstream: "crm", Key: "default", From: "ahead"})
	ended(errors.New("oauth2: invalid_grant"))
	root := r.named("token refresh")[0]
	if root.Status.Code != codes.Error || root.Status.Description != "oauth2: invalid_grant" || len(root.Links) != 0 {
		t.Errorf("status %v, links %v", root.Status, root.Links)
	}
}
