package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/proxy"
	"outrider/proxy/egress"
	"outrider/proxy/telemetry"
)

// TestVectorsInVirtualTime plays every vector through the server, the whole chain and
// telemetry, with a provider that follows the script: what the client gets, and every span
// with its time to the nanosecond.
func TestVectorsInVirtualTime(t *testing.T) {
	clearTelemetryVariables(t)
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) { synctest.Test(t, v.playInBubble) })
	}
}

// A bubble is a sidecar in virtual time, in front of a provider that follows a script.
type bubble struct {
	upstream *policytest.Upstream
	tokens   *policytest.Upstream // their place
	live     policy.Live
	server   *proxy.Server
	watch    *telemetry.Telemetry
	spans    *tracetest.InMemoryExporter
	client   *http.Client
}

const bubbleAddress = "127.0.0.1:8080"

func (v *vector) newBubble(t *testing.T) *bubble {
	t.Helper()
	b := &bubble{upstream: policytest.NewUpstream(t, v.steps(t)...), tokens: policytest.NewUpstream(t, token("1"), token("2")), spans: tracetest.NewInMemoryExporter()}
	var err error
	b.watch, err = telemetry.New(t.Context(), telemetry.Settings{
		Sample: 1, SpanProcessors: []sdktrace.SpanProcessor{sdktrace.NewSimpleSpanProcessor(b.spans)}, LogOutput: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	more := map[string]string{"url": `"https://api.test"`}
	if v.Settings.OAuth2 {
		more = oauth2("https://login.test/token", "client")
		more["url"] = `"https://api.test"`
	}
	file, err := config.Parse("vector.toml", []byte(v.document("api", more)))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, v.outside(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.live.Publish(set)
	b.server = proxy.New(proxy.Settings{Live: &b.live, Telemetry: b.watch, Log: b.watch.Logger()})
	net := policytest.NewNet()
	listener, err := net.Listen(bubbleAddress)
	if err != nil {
		t.Fatal(err)
	}
	b.server.Serve(listener, "", bubbleAddress)
	transport := net.Transport(t)
	transport.DisableKeepAlives = true
	b.client = &http.Client{Transport: transport}
	return b
}

// token is what a token endpoint gives out.
func token(name string) policytest.Step {
	return policytest.Step{
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   fmt.Sprintf(`{"access_token":"token-%s","token_type":"Bearer","expires_in":3600}`, name),
	}
}

// outside is the world of a bubble.
func (v *vector) outside(b *bubble) policy.Env {
	keys, fraction := 0, 0.5
	if v.Jitter != nil {
		fraction = *v.Jitter
	}
	return policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return b.watch.Transport(b.upstream), nil },
		TokenTransport: func(u *config.Upstream) (http.RoundTripper, error) {
			return b.watch.TokenTransport(b.tokens, u.Name), nil
		},
		Jitter:  policytest.Jitter(fraction),
		NewKey:  func() string { keys++; return fmt.Sprint("minted-", keys) },
		Secret:  func(config.Reference) (string, error) { return "secret", nil },
		Work:    b.watch.StartWork,
		Observe: b.watch.Observe,
	}
}

// steps are what the provider does. What we refuse ourselves never reaches it.
func (v *vector) steps(t *testing.T) []policytest.Step {
	t.Helper()
	var steps []policytest.Step
	for _, s := range v.Upstream {
		step := policytest.Step{Status: s.Status, Header: http.Header{}, Body: s.Body, Delay: s.After, Do: wrote}
		for name, value := range s.Header {
			step.Header.Set(name, value)
		}
		if s.Broken {
			step.BodyErr = &egress.Error{Kind: egress.Truncated, Sent: true, Err: io.ErrUnexpectedEOF}
		}
		switch s.Error {
		case "":
		case "local":
			continue
		case "timeout":
			step.Delay, step.Hang = 0, true
		default:
			lost := lostBy(t, s.Error)
			step.Err, step.Unsent = lost, lost.Unsent()
		}
		steps = append(steps, step)
	}
	return steps
}

// wrote tells whoever traces a request that it is on the wire.
func wrote(req *http.Request) { httptrace.ContextClientTrace(req.Context()).WroteHeaders() }

// lostBy is how the network side tells of an error of the vectors.
func lostBy(t *testing.T, name string) *egress.Error {
	t.Helper()
	switch name {
	case "refused":
		return &egress.Error{Kind: egress.DialFailed, Err: syscall.ECONNREFUSED}
	case "unsent":
		return &egress.Error{Kind: egress.ProxyFailed, Err: &egress.ProxyError{Proxy: "proxy.test:3128", Status: http.StatusBadGateway}}
	case "permanent":
		return &egress.Error{Kind: egress.ProxyFailed, Err: &egress.ProxyError{Proxy: "proxy.test:3128", Status: http.StatusProxyAuthRequired}}
	case "handshake":
		return &egress.Error{Kind: egress.TLSFailed, Err: io.ErrUnexpectedEOF}
	case "stream":
		return &egress.Error{Kind: egress.Reset, Err: errors.New("the stream was refused")}
	case "certificate":
		return &egress.Error{Kind: egress.TLSFailed, Err: &tls.CertificateVerificationError{Err: errors.New("unknown authority")}}
	case "reset":
		return &egress.Error{Kind: egress.Reset, Sent: true, Err: syscall.ECONNRESET}
	}
	t.Fatalf("unknown error %q", name)
	return nil
}

func (v *vector) playInBubble(t *testing.T) {
	b := v.newBubble(t)
	defer b.end(t)
	if v.Settings.Open {
		if _, err := b.live.Load().OrderCircuits(t.Context(), policy.CircuitOrder{Upstream: "api", Open: true}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if v.Call.Leaves > 0 {
		time.AfterFunc(v.Call.Leaves, leave)
	}
	first, answer := v.calls(ctx, t, b.client, "http://"+bubbleAddress+"/api/x")
	synctest.Wait() // the call ends a moment after its answer

	v.checkAnswer(t, answer)
	v.checkWait(t, answer)
	if v.Want.Error == "" && (answer.body != v.Want.Body || answer.header.Get("Idempotency-Key") != v.Want.Echo) {
		t.Errorf("answered %q under the key %q, want %q under %q", answer.body, answer.header.Get("Idempotency-Key"), v.Want.Body, v.Want.Echo)
	}
	v.checkArrived(t, b.upstream.Requests())
	var spans []told
	for _, span := range b.told() {
		if span.trace != first.header.Get("Outrider-Trace") {
			spans = append(spans, span)
		}
	}
	if story := storyOf(t, spans); !slices.Equal(story, v.Spans) {
		t.Errorf("spans:\n%s\nwant:\n%s", strings.Join(story, "\n"), strings.Join(v.Spans, "\n"))
	}
	if n := b.upstream.OpenBodies(); n != 0 {
		t.Errorf("%d response bodies were not closed", n)
	}
}

// checkWait looks at what we say of the waits: their sum, in seconds.
func (v *vector) checkWait(t *testing.T, answer vectorAnswer) {
	t.Helper()
	var waited time.Duration
	for _, line := range v.Spans {
		if wait := waits.FindStringSubmatch(line); wait != nil {
			d, err := time.ParseDuration(wait[1])
			if err != nil {
				t.Fatal(err)
			}
			waited += d
		}
	}
	want := ""
	if waited > 0 && answer.status > 0 {
		want = fmt.Sprintf("%.3f", waited.Seconds())
	}
	if got := answer.header.Get("Outrider-Wait"); got != want {
		t.Errorf("Outrider-Wait is %q, want %q", got, want)
	}
}

// waits finds the waits in the spans of a vector.
var waits = regexp.MustCompile(`^(?:retry \d+ after|wait) (\S+):`)

// checkArrived looks at what the provider got, of a call before this one too.
func (v *vector) checkArrived(t *testing.T, arrived []policytest.Request) {
	t.Helper()
	var bodies, keys []string
	for _, r := range arrived {
		if r.Body != "" {
			bodies = append(bodies, r.Body)
		}
		keys = append(keys, r.Header["Idempotency-Key"]...)
	}
	if !slices.Equal(bodies, v.Want.Bodies) || !slices.Equal(keys, v.Want.Keys) {
		t.Errorf("bodies %q under the keys %q arrived, want %q under %q", bodies, keys, v.Want.Bodies, v.Want.Keys)
	}
}

// told are the spans that have ended.
func (b *bubble) told() []told {
	var spans []told
	b.watch.Flush()
	for _, stub := range b.spans.GetSpans() {
		s := told{
			name: stub.Name, at: stub.StartTime, took: stub.EndTime.Sub(stub.StartTime), attributes: make(map[string]string),
			server: stub.SpanKind == trace.SpanKindServer, failed: stub.Status.Code == codes.Error,
			trace: stub.SpanContext.TraceID().String(), id: stub.SpanContext.SpanID().String(), parent: stub.Parent.SpanID().String(),
		}
		for _, kv := range stub.Attributes {
			s.attributes[string(kv.Key)] = kv.Value.String()
		}
		for _, event := range stub.Events {
			e := told{name: event.Name, at: event.Time, attributes: make(map[string]string)}
			for _, kv := range event.Attributes {
				e.attributes[string(kv.Key)] = kv.Value.String()
			}
			s.events = append(s.events, e)
		}
		spans = append(spans, s)
	}
	return spans
}

func (b *bubble) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(b.server.Shutdown(ctx), b.live.Close(ctx), b.watch.Shutdown(ctx)); err != nil {
		t.Error(err)
	}
}
