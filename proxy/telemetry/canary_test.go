package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// What is secret in a call stands in its query, its header values and its
// bodies, and comes back to us in the texts of errors. None of it may be found
// in anything that we tell.
func TestNoSecretIsTold(t *testing.T) {
	const canary = "c4n4ry"
	c := newCollector(t)
	r := exporting(t, telemetry.Settings{Endpoint: c.URL, AccessLog: true, LogLevel: "debug", ExportLogs: true}, map[string]string{"OTEL_METRICS_EXPORTER": "otlp"})

	target := "https://user-" + canary + ":pw-" + canary + "@crm.test/path?token=" + canary + "&" + canary
	errs := []error{
		&url.Error{Op: "Get", URL: target, Err: errors.New("dial " + canary)},
		fmt.Errorf("attempt 2: %w", &url.Error{Op: "Get", URL: target, Err: io.EOF}),
		textproto.ProtocolError("malformed MIME header line: Authorization: " + canary),
		errors.New(canary),
		fmt.Errorf("refusing: %w", refusal(canary)),
		nil,
	}
	for _, failure := range errs {
		in := httptest.NewRequest("POST", "/crm/path?token="+canary, strings.NewReader(canary))
		in.Header.Set("Authorization", "Bearer "+canary)
		in.Header.Set("Tracestate", canary+"="+canary) // without a traceparent it means nothing
		ctx, span := r.StartCall(in, "base-url")
		call := &policy.Call{Upstream: "crm"}
		ctx = policy.WithCall(ctx, call)
		chain := policy.Passage(r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
			wrote(req)
			if failure != nil {
				return nil, failure
			}
			resp := response(req, 500, canary)
			resp.Header.Set("Set-Cookie", canary)
			resp.Status = "500 " + canary
			return resp, nil
		})))
		out := outbound(ctx, "POST", "https://crm.test/path?token="+canary+"&"+canary)
		out.URL.User = url.UserPassword(canary, canary)
		out.URL.Opaque = "//" + canary + ":" + canary + "@crm.test/path"
		out.Header.Set("Authorization", "Bearer "+canary)
		send(t, chain, out)
		span.End(&telemetry.Outcome{
			Call: call, Method: "POST", Host: "user:" + canary + "@crm.test", Path: "/path?token=" + canary, Status: 502,
			Problem: "upstream-reset", Class: policy.ClassFault, Err: failure,
		})
	}
	recent, err := json.Marshal(r.Recent(telemetry.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	page := r.metrics(t)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	spans, lines := fmt.Sprint(c.traces, c.metrics), fmt.Sprint(c.logs)
	c.mu.Unlock()
	for place, text := range map[string]string{"log": r.log.String(), "recent": string(recent), "metrics": page, "spans": spans, "exported log": lines} {
		if !strings.Contains(text, "crm") {
			t.Errorf("%s: nothing told at all: %s", place, text)
		}
		for i := strings.Index(text, canary); i >= 0; i = -1 {
			t.Errorf("%s: …%s…", place, text[max(0, i-80):min(len(text), i+40)])
		}
	}
}

// refusal is a Refusal whose text is not to be trusted.
type refusal string

func (e refusal) Error() string                  { return string(e) }
func (refusal) Refusal() (string, time.Duration) { return "credential-unavailable", 0 }
