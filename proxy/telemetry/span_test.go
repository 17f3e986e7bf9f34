package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

func TestOneCallIsOneTrace(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1, AccessLog: true})
	ctx, span, call := r.begin("GET", "github")
	call.Rule = "GET /user/**"
	chain := policy.Passage(r.Transport(answers(503, 200)))
	for range 2 {
		if err := send(t, chain, outbound(ctx, "GET", "https://api.github.com/user/repos?page=2")); err != nil {
			t.Fatal(err)
		}
	}
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Host: "api.github.com", Path: "/user/repos", Status: 200, Class: policy.ClassOK, ResponseBytes: 4})

	servers, clients := r.kind(trace.SpanKindServer), r.kind(trace.SpanKindClient)
	if len(servers) != 1 || len(clients) != 2 {
		t.Fatalf("%d SERVER and %d CLIENT spans, want 1 and 2", len(servers), len(clients))
	}
	server := servers[0]
	if server.Name != "GET github" || server.Status.Code != codes.Unset {
		t.Errorf("SERVER span %q %v", server.Name, server.Status)
	}
	expect(t, attributes(server), map[string]string{
		"http.request.method": "GET", "url.path": "/user/repos", "url.scheme": "http", "server.address": "api.github.com",
		"http.response.status_code": "200", "outrider.upstream": "github", "outrider.rule": "GET /user/**",
		"outrider.attempts": "2", "outrider.wait": "0", "outrider.form": "base-url", "outrider.class": "ok",
		"error.type": "", "outrider.problem": "",
	})
	for i, client := range clients {
		if client.Parent.SpanID() != server.SpanContext.SpanID() || client.SpanContext.TraceID() != server.SpanContext.TraceID() {
			t.Errorf("CLIENT span %d is no child of the SERVER span", i)
		}
		if client.Name != "GET" {
			t.Errorf("CLIENT span %d is called %q", i, client.Name)
		}
		expect(t, attributes(client), map[string]string{
			"http.request.method": "GET", "url.full": "https://api.github.com/user/repos?page=REDACTED",
			"server.address": "api.github.com", "server.port": "443", "network.protocol.version": "1.1",
			"http.response.status_code": []string{"503", "200"}[i], "error.type": []string{"503", ""}[i],
			"http.request.resend_count": []string{"", "1"}[i], "outrider.upstream": "github",
		})
	}
	if clients[0].Status.Code != codes.Error || clients[1].Status.Code != codes.Unset {
		t.Errorf("CLIENT status %v, %v", clients[0].Status, clients[1].Status)
	}
	if span.TraceID() != server.SpanContext.TraceID().String() {
		t.Errorf("TraceID() = %s", span.TraceID())
	}
}

func TestCallerTraceIsContinuedButNotPassedOn(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 0})
	req := httptest.NewRequest("GET", "/x", nil)
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	req.Header.Set("tracestate", "vendor=1")
	ctx, span := r.StartCall(req, "forward")
	next := r.Transport(roundTripper(func(out *http.Request) (*http.Response, error) {
		if got := out.Header.Get("Traceparent"); got != "" {
			t.Errorf("traceparent %q went upstream", got)
		}
		return response(out, 204, ""), nil
	}))
	if err := send(t, next, outbound(ctx, "GET", "http://x.test/")); err != nil {
		t.Fatal(err)
	}
	span.End(&telemetry.Outcome{Method: "GET", Status: 204})

	server := r.kind(trace.SpanKindServer)[0]
	if got := server.SpanContext.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace id %s", got)
	}
	if got := server.Parent.SpanID().String(); got != "b7ad6b7169203331" || !server.Parent.IsRemote() {
		t.Errorf("parent %s", got)
	}
	if got := server.SpanContext.TraceState().String(); got != "vendor=1" {
		t.Errorf("trace state %q", got)
	}
}

// unsentError is an error of a request that never left.
type unsentError struct{ error }

func (unsentError) Unsent() bool    { return true }
func (e unsentError) Unwrap() error { return e.error }

func TestUnsentAttemptIsAnEventAndNoSpan(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}, Err: syscall.ECONNREFUSED}
	for _, withAttempt := range []bool{true, false} {
		r := newRig(t, telemetry.Settings{Sample: 1})
		ctx, span, call := r.begin("GET", "crm")
		next := r.Transport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, unsentError{refused} }))
		if withAttempt {
			next = policy.Passage(next)
		}
		if err := send(t, next, outbound(ctx, "GET", "https://crm.test/")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("the error did not pass: %v", err)
		}
		span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 502, Problem: "upstream-unreachable", Class: policy.ClassFault, Err: refused})

		if n := len(r.kind(trace.SpanKindClient)); n != 0 {
			t.Errorf("%d CLIENT spans for a request that was never sent", n)
		}
		server := r.kind(trace.SpanKindServer)[0]
		if len(server.Events) != 1 || server.Events[0].Name != "outrider.attempt.unsent" {
			t.Fatalf("events %v", server.Events)
		}
		expect(t, attributes(server), map[string]string{
			"error.type": "upstream-unreachable", "outrider.problem": "upstream-unreachable", "outrider.attempts": "0",
		})
		if server.Status.Code != codes.Error || server.Status.Description != "connection_refused: dial tcp 10.0.0.1:443: connection refused" {
			t.Errorf("status %v", server.Status)
		}
		try := r.Recent(telemetry.Filter{})[0].Tries[0]
		if try.Sent || try.Error != "connection_refused" {
			t.Errorf("try %+v", try)
		}
		if strings.Contains(r.metrics(t), "http_client_request_duration_seconds_count") {
			t.Error("an unsent attempt was counted as a request on the wire")
		}
	}
}

func TestAttemptThatFailsOnTheWireIsASpan(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	ctx, span, call := r.begin("POST", "crm")
	next := policy.Passage(r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		wrote(req)
		return nil, fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
	})))
	send(t, next, outbound(ctx, "POST", "https://crm.test:8443/"))
	span.End(&telemetry.Outcome{Call: call, Method: "POST", Status: 502, Problem: "upstream-reset"})
	clients := r.kind(trace.SpanKindClient)
	if len(clients) != 1 || clients[0].Status.Code != codes.Error {
		t.Fatalf("CLIENT spans %v", clients)
	}
	expect(t, attributes(clients[0]), map[string]string{"error.type": "eof", "server.port": "8443"})
}

func TestClientSpanEndsWithTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{Sample: 1})
		ctx, span, _ := r.begin("GET", "stream")
		resp, err := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return response(req, 200, "stream"), nil
		})).RoundTrip(outbound(ctx, "GET", "https://stream.test/"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(r.kind(trace.SpanKindClient)) != 0 {
			t.Fatal("the span ended before the body")
		}
		io.Copy(io.Discard, resp.Body)
		time.Sleep(time.Second)
		resp.Body.Close()
		clients := r.kind(trace.SpanKindClient)
		if len(clients) != 1 {
			t.Fatalf("%d CLIENT spans", len(clients))
		}
		if d := clients[0].EndTime.Sub(clients[0].StartTime); d != 1100*time.Millisecond {
			t.Errorf("the span took %v", d)
		}
		span.End(&telemetry.Outcome{Method: "GET", Status: 200})
		rec := r.Recent(telemetry.Filter{})[0]
		if try := rec.Tries[0]; try.HeadersMS != 100 || try.DurationMS != 1100 || rec.DurationMS != 2100 {
			t.Errorf("record %+v", rec)
		}
	})
}

// What a client of ours takes to read is not the upstream's time: an answer that came as a
// whole with its headers has ended with them, whenever it is read. Of any other the end is
// known when it comes. Where it is known that the call ends with one of the first kind, it is the end
// of the call that has it told of, unless somebody asks.
func TestAnswerThatCameWithItsHeadersEndedWithThem(t *testing.T) {
	for name, c := range map[string]struct {
		body     io.ReadCloser
		cameWith bool
		passed   bool
		want     time.Duration
		told     int // before the call has ended, and without being asked
	}{
		"it came":                      {io.NopCloser(iotest.DataErrReader(strings.NewReader("body"))), true, false, time.Second, 1},
		"it came, but its end":         {io.NopCloser(strings.NewReader("body")), true, false, time.Minute + time.Second, 1},
		"it had not begun":             {io.NopCloser(iotest.DataErrReader(strings.NewReader("body"))), false, false, time.Minute + time.Second, 1},
		"there is none":                {http.NoBody, false, false, time.Second, 1},
		"passed, it came":              {io.NopCloser(iotest.DataErrReader(strings.NewReader("body"))), true, true, time.Second, 0},
		"passed, it came, but its end": {io.NopCloser(strings.NewReader("body")), true, true, time.Minute + time.Second, 1},
		"passed, it had not begun":     {io.NopCloser(iotest.DataErrReader(strings.NewReader("body"))), false, true, time.Minute + time.Second, 1},
		"passed, there is none":        {http.NoBody, false, true, time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, telemetry.Settings{Sample: 1})
				ctx, span, call := r.begin("GET", "crm")
				resp, err := policy.Passage(r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
					wrote(req)
					time.Sleep(time.Second)
					if c.cameWith {
						req.Context().(interface{ GotBody() }).GotBody()
					}
					resp := response(req, 200, "")
					resp.Body = c.body
					return resp, nil
				}))).RoundTrip(outbound(ctx, "GET", "https://crm.test/"))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if c.passed {
					span.Passed()
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				time.Sleep(time.Second)
				synctest.Wait()
				if n := len(r.spans.InMemoryExporter.GetSpans()); n != c.told {
					t.Errorf("%d requests are told of before the end of the call, want %d", n, c.told)
				}
				if n := len(r.kind(trace.SpanKindClient)); n != 1 {
					t.Errorf("%d requests are told of to who asks before the end of the call", n)
				}
				span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
				if n := len(r.kind(trace.SpanKindClient)); n != 1 || r.spans.GetSpans()[1].SpanKind != trace.SpanKindServer {
					t.Fatalf("%d requests are told of, want one, and then the call", n)
				}
				told := r.kind(trace.SpanKindClient)[0]
				if got := told.EndTime.Sub(told.StartTime); got != c.want {
					t.Errorf("the request took %v, want %v", got, c.want)
				}
				if got := r.Recent(telemetry.Filter{})[0].Tries[0].DurationMS; got != telemetry.MS(c.want) {
					t.Errorf("it is remembered with %v ms, want %v", got, telemetry.MS(c.want))
				}
			})
		})
	}
}

func TestBodyThatBreaksOffIsAnError(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	ctx, span, _ := r.begin("GET", "crm")
	defer span.End(&telemetry.Outcome{})
	next := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		resp := response(req, 200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), brokenReader{}))
		return resp, nil
	}))
	if err := send(t, next, outbound(ctx, "GET", "https://crm.test/")); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	client := r.kind(trace.SpanKindClient)[0]
	expect(t, attributes(client), map[string]string{"error.type": "connection_reset", "http.response.status_code": "200"})
	if client.Status.Code != codes.Error {
		t.Errorf("status %v", client.Status)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, syscall.ECONNRESET }

// pipe is the body of a 101; half also ends its sending side alone.
type pipe struct{ net.Conn }
type half struct{ pipe }

func (half) CloseWrite() error { return errors.New("half closed") }

func TestUpgradedBodyStaysAStream(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	ctx, span, _ := r.begin("GET", "ws")
	defer span.End(&telemetry.Outcome{})
	for _, body := range []io.ReadWriteCloser{pipe{}, half{}} {
		r.spans.Reset()
		ours, theirs := net.Pipe()
		switch b := body.(type) {
		case pipe:
			b.Conn, body = ours, pipe{ours}
		case half:
			b.Conn, body = ours, half{pipe{ours}}
		}
		resp, err := r.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
			resp := response(req, 101, "")
			resp.Body = body
			return resp, nil
		})).RoundTrip(outbound(ctx, "GET", "https://ws.test/"))
		if err != nil {
			t.Fatal(err)
		}
		stream, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("%T is no stream", resp.Body)
		}
		_, wantHalf := body.(half)
		closer, canHalf := resp.Body.(interface{ CloseWrite() error })
		if canHalf != wantHalf {
			t.Errorf("%T: CloseWrite %v, want %v", body, canHalf, wantHalf)
		}
		if canHalf && closer.CloseWrite().Error() != "half closed" {
			t.Error("CloseWrite went elsewhere")
		}
		go io.Copy(theirs, theirs)
		fmt.Fprint(stream, "ping")
		echo := make([]byte, 4)
		if _, err := io.ReadFull(stream, echo); err != nil || string(echo) != "ping" {
			t.Errorf("%q, %v", echo, err)
		}
		theirs.Close()
		stream.Read(echo)
		if len(r.kind(trace.SpanKindClient)) != 0 {
			t.Error("the span ended while one direction was still open")
		}
		stream.Close()
		if len(r.kind(trace.SpanKindClient)) != 1 {
			t.Error("closing the stream did not end the span")
		}
	}
}

func TestEndCountsOnce(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1, AccessLog: true})
	_, span, call := r.begin("GET", "crm")
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 200})
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 500})
	if n := len(r.kind(trace.SpanKindServer)); n != 1 {
		t.Errorf("%d SERVER spans", n)
	}
	if recent := r.Recent(telemetry.Filter{}); len(recent) != 1 || recent[0].Status != 200 {
		t.Errorf("recent %+v", recent)
	}
	if n := strings.Count(r.log.String(), `"msg":"call"`); n != 1 {
		t.Errorf("%d access log lines", n)
	}
}

func TestServerStatusIsAnErrorOnlyWhenItIsOurs(t *testing.T) {
	for _, c := range []struct {
		name string
		o    telemetry.Outcome
		kind string // of the error, "" for none
	}{
		{"the caller's mistake", telemetry.Outcome{Status: 404}, ""},
		{"refused by us, to be tried later", telemetry.Outcome{Status: 429, Problem: "queue-full", Err: errors.New("x")}, ""},
		{"relayed fault", telemetry.Outcome{Status: 503}, "503"},
		{"our own fault", telemetry.Outcome{Status: 504, Problem: "upstream-timeout"}, "upstream-timeout"},
		{"client gone", telemetry.Outcome{Class: policy.ClassClientGone, Err: context.Canceled}, ""},
		{"answer broken off", telemetry.Outcome{Status: 200, Err: io.ErrUnexpectedEOF}, "eof"},
		{"no answer", telemetry.Outcome{Err: &policy.TimeoutError{Clock: "idle_timeout", Limit: time.Minute}}, "idle_timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, telemetry.Settings{Sample: 1})
			_, span, _ := r.begin("GET", "crm")
			span.End(&c.o)
			server := r.kind(trace.SpanKindServer)[0]
			if got := attributes(server)["error.type"]; got != c.kind {
				t.Errorf("error.type = %q, want %q", got, c.kind)
			}
			if (server.Status.Code == codes.Error) != (c.kind != "") {
				t.Errorf("status %v", server.Status)
			}
		})
	}
}

func TestStateChangesAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, telemetry.Settings{LogLevel: "info"})
		gate := func(after time.Duration) {
			r.Observe(context.Background(), policy.Event{Kind: policy.EventGate, Upstream: "crm", Key: "crm.test", Until: time.Now().Add(after)})
		}
		gate(time.Second)
		gate(2 * time.Second) // moved while closed
		time.Sleep(3 * time.Second)
		gate(time.Second)
		r.Observe(context.Background(), policy.Event{Kind: policy.EventCircuit, Upstream: "crm", Key: "crm.test", From: "closed", To: "open", Until: time.Now(), Reason: "silent"})
		r.Observe(context.Background(), policy.Event{Kind: policy.EventGiveUp, Upstream: "crm", Reason: "attempts"})
		log := r.log.String()
		if n := strings.Count(log, "gate closed"); n != 2 {
			t.Errorf("%d lines for a gate that closed twice:\n%s", n, log)
		}
		if strings.Count(log, `"level":"WARN","msg":"circuit changed"`) != 1 || !strings.Contains(log, `"reason":"silent"`) || strings.Contains(log, "no further attempt") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestAccessLogLine(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true})
	_, span, call := r.begin("GET", "crm")
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Host: "crm.test", Path: "/a?secret", Status: 200, Class: policy.ClassOK, RequestBytes: 1, ResponseBytes: 2})
	var line map[string]any
	if err := json.Unmarshal([]byte(r.log.String()), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msg": "call", "level": "INFO", "trace_id": span.TraceID(), "upstream": "crm", "rule": "", "method": "GET",
		"host": "crm.test", "path": "/a", "status": 200.0, "class": "ok", "problem": "", "attempts": 0.0,
		"waited_ms": 0.0, "request_bytes": 1.0, "response_bytes": 2.0,
	} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{"time", "span_id", "duration_ms"} {
		if line[key] == nil {
			t.Errorf("no %s", key)
		}
	}
}

func TestTextLogAndLevels(t *testing.T) {
	r := newRig(t, telemetry.Settings{AccessLog: true, LogFormat: "text", LogLevel: "warn"})
	_, span, _ := r.begin("GET", "crm")
	span.End(&telemetry.Outcome{Method: "GET"})
	r.Logger().With("a", 1).WithGroup("g").Warn("careful", "b", 2)
	if got := r.log.String(); !strings.Contains(got, "level=WARN msg=careful a=1 g.b=2") || strings.Contains(got, "msg=call") {
		t.Errorf("log %q", got)
	}
}

func TestWrongSettingsNameTheirKey(t *testing.T) {
	clearEnvironment(t)
	for _, c := range []struct {
		s    telemetry.Settings
		want string
	}{
		{telemetry.Settings{Sample: 1.5}, "telemetry.sample = 1.5"},
		{telemetry.Settings{LogLevel: "loud"}, `telemetry.log_level = "loud"`},
		{telemetry.Settings{LogFormat: "xml"}, `telemetry.log_format = "xml"`},
		{telemetry.Settings{Endpoint: "localhost:4318"}, "telemetry.endpoint"},
	} {
		if _, err := telemetry.New(context.Background(), c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %s", c.s, err, c.want)
		}
	}
}

func TestURLOnTheSpanHoldsNoValues(t *testing.T) {
	for _, c := range []struct{ scheme, host, opaque, path, query, want string }{
		{"https", "h.test", "", "/a b", "", "https://h.test/a%20b"},
		{"https", "h.test", "//h.test/a%2Fb;x", "/a/b", "k=v&k=&bare&=v", "https://h.test/a%2Fb;x?k=REDACTED&k=REDACTED&REDACTED&=REDACTED"},
		{"http", "h.test", "*", "", "", "http://h.test"},
		{"https", "h.test", "//user:pw@h.test/x?y=1", "", "", "https://h.test/x"},
		{"https", "h.test", "//h.test/\xff", "", "", "https://h.test/\uFFFD"},
		{"https", "h.test", "//h.test/" + strings.Repeat("x", 4000), "", "a=b", "https://h.test/" + strings.Repeat("x", 2048-15)},
	} {
		r := newRig(t, telemetry.Settings{Sample: 1})
		ctx, span, _ := r.begin("GET", "crm")
		req := outbound(ctx, "GET", "https://h.test/")
		req.URL.Scheme, req.URL.Host, req.URL.Opaque, req.URL.Path, req.URL.RawQuery = c.scheme, c.host, c.opaque, c.path, c.query
		send(t, r.Transport(answers(200)), req)
		span.End(&telemetry.Outcome{})
		if got := attributes(r.kind(trace.SpanKindClient)[0])["url.full"]; got != c.want {
			t.Errorf("url.full = %q, want %q", got, c.want)
		}
	}
}

func TestUnknownMethodIsOther(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	ctx, span, call := r.begin("BREW", "pot")
	send(t, r.Transport(answers(418)), outbound(ctx, "BREW", "https://pot.test/"))
	span.End(&telemetry.Outcome{Call: call, Method: "BREW", Status: 418})
	if server := r.kind(trace.SpanKindServer)[0]; server.Name != "HTTP pot" || attributes(server)["http.request.method"] != "_OTHER" {
		t.Errorf("%s %v", server.Name, attributes(server))
	}
	if strings.Contains(r.metrics(t), "BREW") {
		t.Error("a caller's method became a label")
	}
}

func TestRecentIsBoundedAndNewestFirst(t *testing.T) {
	r := newRig(t, telemetry.Settings{Recent: 3})
	for i := range 5 {
		_, span, _ := r.begin("GET", "crm")
		span.End(&telemetry.Outcome{Status: 200 + i})
	}
	var got []int
	for _, rec := range r.Recent(telemetry.Filter{}) {
		got = append(got, rec.Status)
	}
	if fmt.Sprint(got) != "[204 203 202]" {
		t.Errorf("recent %v", got)
	}
}

func TestTransportOutsideOfACall(t *testing.T) {
	r := newRig(t, telemetry.Settings{Sample: 1})
	if err := send(t, r.Transport(answers(200)), outbound(context.Background(), "POST", "https://idp.test/token")); err != nil {
		t.Fatal(err)
	}
	if n := len(r.kind(trace.SpanKindClient)); n != 1 {
		t.Errorf("%d CLIENT spans", n)
	}
}
