package telemetry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// Transport makes a CLIENT span of each request that next puts on the wire. The
// span lasts until the response's body has ended or is closed. A request that
// never reached the wire makes no span: it becomes an event on the call's span.
//
// The request tells of the span only where its call wants that (see policy.Call.Propagate), and
// somebody gets spans. Where nobody does, what the caller said stands: an attempt that is in no
// trace must not come between two that are, and say on the way that it is not sampled.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{t: t, next: next}
}

// TokenTransport is Transport for the requests of a credential: each is a span in
// the trace of the refresh, and no attempt of any call.
func (t *Telemetry) TokenTransport(next http.RoundTripper, upstream string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		w := &wire{t: t}
		w.ctx = t.tracer.Begin(req.Context(), &w.span, spans.Beginning{Name: spanMethod(req.Method) + " token", Kind: trace.SpanKindClient})
		defer w.span.End()
		w.req = req.WithContext(policy.WithCall(w.ctx, nil))
		resp, err := next.RoundTrip(req)
		if w.span.IsRecording() {
			w.describe(resp)
			w.span.SetAttributes(keyUpstream.String(upstream))
		}
		if err != nil {
			w.span.SetAttributes(semconv.ErrorTypeKey.String(errorKind(err)))
			w.span.SetStatus(codes.Error, errorText(err))
		}
		return resp, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type transport struct {
	t    *Telemetry
	next http.RoundTripper
}

func (x *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &wire{t: x.t, call: spanFrom(req.Context()), req: req, start: time.Now()}
	w.ctx = x.t.tracer.Begin(req.Context(), &w.span, spans.Beginning{Name: spanMethod(req.Method), Kind: trace.SpanKindClient, Start: w.start})
	w.active = x.t.metrics.requests.at(upstreamOf(req.Context()))
	w.active.Add(1)

	if c := policy.CallFrom(req.Context()); c != nil && c.Propagate && x.t.watched {
		req = withTrace(req, &w.span)
	}
	resp, err := x.next.RoundTrip(req)
	headers := time.Since(w.start)
	if err != nil {
		w.failed(err, headers)
		return resp, err
	}
	w.try = w.call.addTry(w.start, Try{
		HeadersMS: ms(headers), Status: resp.StatusCode, Sent: true, Reused: w.reused(),
	})
	w.status = resp.StatusCode
	if w.span.IsRecording() {
		w.describe(resp)
	}
	w.follow(resp)
	return resp, nil
}

// wire is one request on its way.
type wire struct {
	t      *Telemetry
	call   *Span           // nil outside of a call
	ctx    context.Context // carries span: exemplars find the trace through it
	span   spans.Span
	req    *http.Request
	start  time.Time
	try    int // place in the call's record
	status int
	active *atomic.Int64 // requests under way to its upstream, this among them until it ends
	once   sync.Once
	body   responseBody // of the usual response
}

// sent reports that the request reached the wire. Without an attempt to ask,
// the error itself may know better.
func (w *wire) sent(err error) bool {
	if a := policy.AttemptFrom(w.req.Context()); a != nil {
		return a.Sent()
	}
	unsent, ok := errors.AsType[unsent](err)
	return !ok || !unsent.Unsent()
}

// unsent is implemented by errors of requests that put no byte on the wire.
type unsent interface {
	error
	Unsent() bool
}

func (w *wire) reused() bool {
	a := policy.AttemptFrom(w.req.Context())
	return a != nil && a.Reused()
}

// failed ends a request that got no response.
func (w *wire) failed(err error, d time.Duration) {
	sent := w.sent(err)
	w.try = w.call.addTry(w.start, Try{Sent: sent, Reused: w.reused()})
	if sent {
		if w.span.IsRecording() {
			w.describe(nil)
		}
		w.end(err)
		return
	}
	w.active.Add(-1)
	// The span is dropped without being ended: it is not exported.
	kind, lost := w.broke(err)
	w.call.endTry(w.try, d, kind, lost)
	if w.call == nil || !w.call.span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{attribute.Float64("outrider.duration", d.Seconds())}
	if lost {
		attrs = append(attrs, keyLost.Bool(true))
	} else {
		attrs = append(attrs, semconv.ErrorTypeKey.String(kind), attribute.String("outrider.error", errorText(err)))
	}
	w.call.span.AddEvent("outrider.attempt.unsent", trace.WithAttributes(appendServer(attrs, w.req.URL.Host)...))
}

// broke says what broke a request off that ended with err: an error of some kind, or that
// it has lost, and what came of that is no error.
func (w *wire) broke(err error) (kind string, lost bool) {
	switch {
	case policy.HasLost(w.req.Context()):
		return "", true
	case err != nil:
		return errorKind(err), false
	}
	return "", false
}

// describe puts request and response on the span; resp may be nil.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
func (w *wire) describe(resp *http.Response) {
	attrs := make([]attribute.KeyValue, 0, 16)
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(method(w.req.Method)),
		semconv.URLFull(fullURL(w.req.URL)),
	)
	host, port := splitPort(w.req.URL.Host)
	if port == 0 {
		port = defaultPort(w.req.URL.Scheme)
	}
	attrs = append(attrs, semconv.ServerAddress(host), semconv.ServerPort(port))
	if a := policy.AttemptFrom(w.req.Context()); a != nil {
		attrs = append(attrs, keyReused.Bool(a.Reused()))
		if n := a.Number(); n > 1 {
			attrs = append(attrs, semconv.HTTPRequestResendCount(n-1))
		}
		if peer, port := splitPort(a.Remote()); peer != "" {
			attrs = append(attrs, semconv.NetworkPeerAddress(peer), semconv.NetworkPeerPort(port))
		}
	}
	if c := policy.CallFrom(w.req.Context()); c != nil {
		attrs = append(attrs, keyUpstream.String(c.Upstream))
		if c.Rule != "" {
			attrs = append(attrs, keyRule.String(c.Rule))
		}
	}
	if resp != nil {
		attrs = append(attrs,
			semconv.HTTPResponseStatusCode(resp.StatusCode),
			semconv.NetworkProtocolVersion(protocolVersion(resp)))
		if resp.StatusCode >= 400 {
			attrs = append(attrs, semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
			w.span.SetStatus(codes.Error, "")
		}
	}
	w.span.SetAttributes(attrs...)
}

// protocolVersion is "1.1" or "2".
func protocolVersion(resp *http.Response) string {
	return strings.TrimSuffix(strings.TrimPrefix(resp.Proto, "HTTP/"), ".0")
}

// end finishes span and metrics once; err broke the request or its body off.
func (w *wire) end(err error) {
	w.once.Do(func() {
		d := time.Since(w.start)
		kind, lost := w.broke(err)
		switch {
		case lost:
			w.span.SetAttributes(keyLost.Bool(true))
		case err != nil:
			w.span.SetAttributes(semconv.ErrorTypeKey.String(kind))
			w.span.SetStatus(codes.Error, errorText(err))
		}
		w.span.EndAt(w.start.Add(d))
		w.call.endTry(w.try, d, kind, lost)
		w.active.Add(-1)
		w.t.metrics.sent(w.span.SpanContext(), w.labels(kind, lost), d)
	})
}

// labels are those of a request that has ended. An answer of 400 and above is an error to
// who asked, as it is on the span, unless something worse came after it.
func (w *wire) labels(kind string, lost bool) httpLabels {
	l := httpLabels{
		method: method(w.req.Method), scheme: w.req.URL.Scheme, upstream: upstreamOf(w.req.Context()),
		status: w.status, class: statusClass(w.status), kind: kind,
	}
	if kind == "" && w.status >= 400 {
		l.kind = strconv.Itoa(w.status)
	}
	if lost && w.status == 0 {
		l.class = classLost
	}
	return l
}

// upstreamOf is the label of the call's upstream.
func upstreamOf(ctx context.Context) string {
	if c := policy.CallFrom(ctx); c != nil {
		return c.Upstream
	}
	return ""
}

// follow arranges for the end to come with the end of the response's body.
func (w *wire) follow(resp *http.Response) {
	body := resp.Body
	if body == nil || body == http.NoBody {
		w.end(nil)
		return
	}
	stream, ok := body.(io.ReadWriteCloser)
	if !ok {
		w.body = responseBody{ReadCloser: body, wire: w}
		resp.Body = &w.body
		return
	}
	resp.Body = &streamBody{ReadWriteCloser: stream, wire: w}
	if half, ok := body.(closeWriter); ok {
		resp.Body = &halfStreamBody{streamBody{ReadWriteCloser: stream, wire: w}, half}
	}
}

// responseBody ends the span at the end of the body, or when it is closed.
type responseBody struct {
	io.ReadCloser
	wire *wire
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.wire.end(nil)
	} else if err != nil {
		b.wire.end(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	b.wire.end(nil)
	return err
}

// streamBody is the connection behind a 101. One direction may end long before
// the other, so only Close ends the span.
type streamBody struct {
	io.ReadWriteCloser
	wire *wire
}

func (b *streamBody) Close() error {
	err := b.ReadWriteCloser.Close()
	b.wire.end(nil)
	return err
}

// closeWriter can end its sending side alone.
type closeWriter interface{ CloseWrite() error }

// halfStreamBody is a streamBody that can.
type halfStreamBody struct {
	streamBody
	closeWriter
}
