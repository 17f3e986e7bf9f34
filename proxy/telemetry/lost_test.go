package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/policy/hedge"
	"outrider/proxy/telemetry"
)

// slowOne makes one call of two requests: the first is answered late, and the second 100
// ms after it was due.
func slowOne(t *testing.T, r *rig, late http.RoundTripper) {
	t.Helper()
	stage := hedge.New(hedge.Settings{}, nil)
	var sent atomic.Int32
	provider := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		if sent.Add(1) == hedge.Enough+1 {
			return late.RoundTrip(req)
		}
		wrote(req)
		time.Sleep(100 * time.Millisecond)
		return response(req, 200, "body"), nil
	}))
	for range hedge.Enough { // these are known then, and one second request is saved
		send(t, stage.Wrap(nil)(policy.Passage(provider)), outbound(t.Context(), "GET", "https://crm.test/"))
	}
	r.spans.Reset()
	ctx, span, call := r.begin("GET", "crm")
	err := send(t, stage.Wrap(nil)(policy.Passage(provider)), outbound(ctx, "GET", "https://crm.test/"))
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200, Class: policy.ClassOK, Err: err})
	if err != nil {
		t.Fatal(err)
	}
}

// lostAndWon are the CLIENT spans of the call of slowOne.
func (r *rig) lostAndWon(t *testing.T) (lost, won tracetest.SpanStub) {
	t.Helper()
	clients := r.kind(trace.SpanKindClient)
	if len(clients) != 2 {
		t.Fatalf("%d CLIENT spans", len(clients))
	}
	return clients[0], clients[1]
}

// A request that was canceled on purpose, since the other one of its call had answered, was
// an error "canceled" on its span, in the list of calls and, as one without a status, in the
// metrics: an alert on errors rang for an upstream at which all was well. And the list had
// the attempts in the order of their answers, so that the page counted the second one first.
func TestRequestThatLostIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		slowOne(t, r, roundTripper(func(req *http.Request) (*http.Response, error) {
			wrote(req)
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		}))
		lost, won := r.lostAndWon(t)
		expect(t, attributes(lost), map[string]string{"outrider.lost": "true", "error.type": "", "outrider.upstream": "crm"})
		expect(t, attributes(won), map[string]string{
			"outrider.lost": "", "error.type": "", "http.response.status_code": "200", "http.request.resend_count": "1",
		})
		for _, span := range []tracetest.SpanStub{lost, won} {
			if span.Status.Code != codes.Unset {
				t.Errorf("status %v", span.Status)
			}
		}
		tries := r.Recent(telemetry.Filter{})[0].Tries
		if len(tries) != 2 || !tries[0].Lost || tries[0].Error != "" || tries[0].DurationMS != 200 || tries[1].Lost || tries[1].Status != 200 {
			t.Errorf("tries %+v", tries)
		}
		metrics := r.metrics(t)
		if !strings.Contains(metrics, `_count{http_request_method="GET",status_class="lost",upstream="crm",url_scheme="https"} 1`) || strings.Contains(metrics, `status_class="none"`) {
			t.Errorf("metrics:\n%s", metrics)
		}
	})
}

// An answer that came a moment too late is one all the same.
func TestAnswerThatLostKeepsItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		slowOne(t, r, roundTripper(func(req *http.Request) (*http.Response, error) {
			wrote(req)
			<-req.Context().Done()
			return response(req, 503, "down"), nil
		}))
		lost, _ := r.lostAndWon(t)
		expect(t, attributes(lost), map[string]string{"outrider.lost": "true", "http.response.status_code": "503", "error.type": "503"})
		if try := r.Recent(telemetry.Filter{})[0].Tries[0]; !try.Lost || try.Status != 503 {
			t.Errorf("try %+v", try)
		}
	})
}

// One that failed before the other had its answer has not lost but failed.
func TestRequestThatFailedFirstIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		slowOne(t, r, roundTripper(func(req *http.Request) (*http.Response, error) {
			wrote(req)
			time.Sleep(150 * time.Millisecond)
			return nil, io.ErrUnexpectedEOF
		}))
		failed, _ := r.lostAndWon(t)
		expect(t, attributes(failed), map[string]string{"outrider.lost": "", "error.type": "eof"})
		if failed.Status.Code != codes.Error {
			t.Errorf("status %v", failed.Status)
		}
	})
}

// A request that has no connection yet when the other one is answered never was on the wire:
// it is an event, as any other that was not sent, and says no more of an error.
func TestRequestThatLostBeforeItWasSentIsNoSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		slowOne(t, r, roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done() // dialing
			return nil, context.Cause(req.Context())
		}))
		if n := len(r.kind(trace.SpanKindClient)); n != 1 {
			t.Errorf("%d CLIENT spans", n)
		}
		events := r.kind(trace.SpanKindServer)[0].Events
		if len(events) != 1 || events[0].Name != "outrider.attempt.unsent" {
			t.Fatalf("events %v", events)
		}
		got := attributes(tracetest.SpanStub{Attributes: events[0].Attributes})
		expect(t, got, map[string]string{"outrider.lost": "true", "error.type": "", "outrider.error": ""})
	})
}
