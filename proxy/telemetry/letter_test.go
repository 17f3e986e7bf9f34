package telemetry_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A call is kept, and sent an hour later, maybe by another process. Whoever looks at one
// of the two traces finds the other.
func TestLetterAndTheCallThatWasKeptPointToEachOther(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1, AccessLog: true})
	_, accepting := r.StartCall(httptest.NewRequest("POST", "/crm/orders", nil), "base-url")
	accepted := accepting.Traceparent()
	accepting.End(&telemetry.Outcome{Call: &policy.Call{Upstream: "crm"}, Method: "POST", Status: 202, Class: policy.ClassKept, Letter: "letter-1"})

	ctx, sending := r.StartLetter(context.Background(), telemetry.Letter{ID: "letter-1", Upstream: "crm", Attempt: 2, Size: 12, Accepted: accepted})
	if telemetry.TraceID(ctx) != sending.TraceID() || sending.TraceID() == accepting.TraceID() {
		t.Error("the letter is not sent in a trace of its own")
	}
	sending.End(&telemetry.Outcome{Call: &policy.Call{Upstream: "crm"}, Method: "POST", Host: "crm.test", Path: "/orders", Status: 201, Class: policy.ClassOK})

	sent := r.named("deliver crm")[0]
	if sent.SpanKind != trace.SpanKindConsumer || sent.Parent.IsValid() {
		t.Errorf("the span of the letter is %v under %v", sent.SpanKind, sent.Parent)
	}
	if len(sent.Links) != 1 || sent.Links[0].SpanContext.TraceID().String() != accepting.TraceID() {
		t.Errorf("it does not lead to the call that was kept: %v", sent.Links)
	}
	expect(t, attributes(sent), map[string]string{
		"messaging.system": "outrider", "messaging.operation.type": "process", "messaging.operation.name": "deliver",
		"messaging.destination.name": "crm", "messaging.message.id": "letter-1", "messaging.message.body.size": "12",
		"outrider.letter": "letter-1", "outrider.letter.attempt": "2", "outrider.form": "outbox", "outrider.upstream": "crm",
		"http.request.method": "POST", "http.response.status_code": "201", "url.path": "/orders", "server.address": "crm.test",
	})
	left := r.named("sent later")[0]
	if left.Parent.TraceID().String() != accepting.TraceID() || len(left.Links) != 1 || !left.Links[0].SpanContext.Equal(sent.SpanContext) {
		t.Errorf("the call that was kept does not lead to where it was sent: %v", left)
	}
	expect(t, attributes(r.named("POST crm")[0]), map[string]string{"outrider.letter": "letter-1", "outrider.class": "kept"})

	calls := r.Recent(telemetry.Filter{})
	if len(calls) != 2 || calls[0].Form != "outbox" || calls[0].Letter != "letter-1" || calls[1].Letter != "letter-1" {
		t.Errorf("remembered are %+v", calls)
	}
	if n := strings.Count(r.log.String(), `"letter":"letter-1"`); n != 2 {
		t.Errorf("%d lines of the log name the letter, want 2:\n%s", n, r.log)
	}
	// Nobody was served by it: the call was answered when it was kept.
	if page := r.metrics(t); !strings.Contains(page, `http_server_request_duration_seconds_count{`) || strings.Contains(page, `http_response_status_code="201"`) {
		t.Errorf("the metrics of calls count the letter, or not the call:\n%s", page)
	}
}

// What the outbox holds of the trace of a call may be damaged, or of a call that is not
// sampled: then there is nothing to lead to.
func TestLetterOfAnUnknownCallIsSentAllTheSame(t *testing.T) {
	for _, accepted := range []string{"", "nonsense", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"} {
		r := newRig(t, telemetry.Settings{Sample: 1})
		_, sending := r.StartLetter(context.Background(), telemetry.Letter{ID: "letter-1", Upstream: "crm", Attempt: 1, Accepted: accepted})
		sending.End(&telemetry.Outcome{Call: &policy.Call{Upstream: "crm"}, Method: "POST", Status: 200, Class: policy.ClassOK})
		if n := len(r.named("sent later")); n != 0 || len(r.named("deliver crm")) != 1 {
			t.Errorf("accepted %q: %d spans were left", accepted, n)
		}
	}
}
