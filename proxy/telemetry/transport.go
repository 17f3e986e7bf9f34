package telemetry

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// Transport makes a CLIENT span of each request that next puts on the wire. The
// span lasts until the response's body has ended or is closed; it ends with the headers
// where the whole body was there then, however late it is read. A request that
// never reached the wire makes no span: it becomes an event on the call's span.
//
// The request tells of the span only where its call wants that (see policy.Call.Propagate), and
// somebody gets spans. Where nobody does, what the caller said stands: an attempt that is in no
// trace must not come between two that are, and say on the way that it is not sampled.
//
// Idle connections are given back by what it gives, if they can be by next.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{beneath: beneath{next}, t: t}
}

// TokenTransport is Transport for the requests of a credential: each is a span in
// the trace of the refresh, and no attempt of any call.
func (t *Telemetry) TokenTransport(next http.RoundTripper, upstream string) http.RoundTripper {
	return &tokenTransport{beneath{next}, t, upstream}
}

// beneath is the transport below one with spans.
type beneath struct{ next http.RoundTripper }

// CloseIdleConnections gives those of it back, if it has any.
func (b beneath) CloseIdleConnections() {
	if closer, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

type tokenTransport struct {
	beneath
	t        *Telemetry
	upstream string
}

func (x *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &wire{req: req, attempt: policy.AttemptFrom(req.Context())}
	span := &spans.Span{}
	x.t.tracer.Begin(req.Context(), span, &spans.Beginning{Name: spanMethod(req.Method) + " token", Kind: trace.SpanKindClient})
	resp, err := x.next.RoundTrip(req)
	kind := ""
	if err != nil {
		kind = errorKind(err)
	} else {
		w.status, w.protocol = resp.StatusCode, resp.Proto
	}
	if d := span.Take(); d != nil {
		w.describe(d, err, kind, false)
		d.Fields().Word(fieldUpstream, x.upstream)
		d.End(time.Time{})
	}
	return resp, err
}

type transport struct {
	beneath
	t       *Telemetry
	account atomic.Pointer[account] // see accountOf
}

func (x *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := x.begin(req)
	if w.of != nil && w.of.Propagate && x.t.watched {
		req = withTrace(req, w.context())
	}
	resp, err := x.next.RoundTrip(req)
	w.headers = time.Since(w.start)
	if err != nil {
		w.failed(err)
		return resp, err
	}
	w.status, w.protocol = resp.StatusCode, resp.Proto
	w.call.answered(w)
	w.follow(resp)
	return resp, nil
}

// begin begins a request, and its span if somebody gets spans.
func (x *transport) begin(req *http.Request) *wire {
	ctx := req.Context()
	call := spanFrom(ctx)
	w := call.room()
	w.t, w.call, w.req, w.of, w.attempt = x.t, call, req, policy.CallFrom(ctx), policy.AttemptFrom(ctx)
	if w.attempt != nil {
		w.start = w.attempt.Start
	} else {
		w.start = time.Now()
	}
	switch {
	case !x.t.watched:
	case call != nil:
		w.recorded = call.span.Bear()
	default:
		w.alone = &spans.Span{}
		x.t.tracer.Begin(ctx, w.alone, w.beginning())
	}
	w.account = x.accountOf(w.upstream())
	w.account.begin()
	return w
}

// accountOf is the account of an upstream: nearly always the one that it was for the request
// before, since upstreams have a transport each.
func (x *transport) accountOf(upstream string) *account {
	if last := x.account.Load(); last != nil && last.upstream == upstream {
		return last
	}
	one := x.t.metrics.accounts.of(upstream)
	x.account.Store(one)
	return one
}

// wire is one request on its way.
type wire struct {
	t        *Telemetry
	call     *Span // nil outside of a call
	of       *policy.Call
	attempt  *policy.Attempt // nil: nobody knows more of it
	account  *account
	alone    *spans.Span  // outside of a call; nil: its span is a child of that one's, or nobody gets spans
	id       trace.SpanID // of such a child; zero: nobody has asked for it so far
	req      *http.Request
	start    time.Time
	headers  time.Duration // from then until those of the answer came, or an error
	status   int           // 0: there is no answer
	protocol string
	body     io.ReadCloser // of the usual response: see [responseBody]
	try      int32         // place in the call's record
	ended    atomic.Bool
	recorded bool // the child is
	read     bool // the body was read from
	whole    bool // the answer was there as a whole when its headers were: see [Span.ends]

	// Of one that has ended, until it is told of.
	took time.Duration
	err  error  // that broke it off
	kind string // of that
	lost bool
}

// sent reports that the request reached the wire. Without an attempt to ask,
// the error itself may know better.
func (w *wire) sent(err error) bool {
	if w.attempt != nil {
		return w.attempt.Sent()
	}
	unsent, ok := errors.AsType[unsent](err)
	return !ok || !unsent.Unsent()
}

// unsent is implemented by errors of requests that put no byte on the wire.
type unsent interface {
	error
	Unsent() bool
}

// context has the ids of the span.
func (w *wire) context() trace.SpanContext {
	if w.alone != nil {
		return w.alone.SpanContext()
	}
	if !w.id.IsValid() {
		w.id = w.t.tracer.ChildID(&w.call.span)
	}
	return w.call.span.SpanContext().WithSpanID(w.id)
}

// beginning is how the span begins.
func (w *wire) beginning() *spans.Beginning {
	return &spans.Beginning{Name: spanMethod(w.req.Method), Kind: trace.SpanKindClient, Start: w.start}
}

// data is what is told of the request as a span, once it has ended; nil: nobody wants that.
func (w *wire) data() *spans.Data {
	switch {
	case w.alone != nil:
		return w.alone.Take()
	case w.recorded:
		return w.t.tracer.RecordChild(&w.call.span, w.context().SpanID(), w.beginning())
	}
	return nil
}

func (w *wire) reused() bool { return w.attempt != nil && w.attempt.Reused() }

// failed ends a request that got no response.
func (w *wire) failed(err error) {
	sent := w.sent(err)
	w.call.addTry(w, Try{Sent: sent, Reused: w.reused()})
	if sent {
		w.end(err)
		return
	}
	w.account.requests.Add(-1) // and there is no span: it is not ended, and so not exported
	kind, lost := w.broke(err)
	w.call.endTry(w, w.headers, kind, lost)
	if w.call == nil || !w.call.span.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{attribute.Float64("outrider.duration", w.headers.Seconds())}
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

// end has the request told of, once; err broke the request or its body off.
func (w *wire) end(err error) {
	if w.ended.CompareAndSwap(false, true) {
		w.endAfter(time.Since(w.start), err)
	}
}

// endWithHeaders is end of an answer that was there as a whole when its headers were.
func (w *wire) endWithHeaders() {
	switch {
	case !w.ended.CompareAndSwap(false, true):
	case w.call.ends(w):
		w.t.batch.leave(w)
	default:
		w.endAfter(w.headers, nil)
	}
}

func (w *wire) endAfter(took time.Duration, err error) {
	w.took, w.err = took, err
	w.kind, w.lost = w.broke(err)
	w.call.endTry(w, took, w.kind, w.lost)
	w.t.batch.add(w, 0) // its call follows
}

// tell tells of the request, which has ended.
func (w *wire) tell() {
	defer w.account.requests.Add(-1)
	var of trace.SpanContext
	if d := w.data(); d != nil {
		of = d.SpanContext()
		w.describe(d, w.err, w.kind, w.lost)
		d.End(w.start.Add(w.took))
	}
	w.account.client.record(of, w.took, w.labels(w.kind, w.lost), &w.account.sent)
}

// labels are those of a request that has ended. An answer of 400 and above is an error to
// who asked, as it is on the span, unless something worse came after it.
func (w *wire) labels(kind string, lost bool) httpLabels {
	l := httpLabels{
		method: method(w.req.Method), scheme: requestScheme(w.req.URL.Scheme), upstream: w.account.upstream,
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

// upstream is the label of the call's upstream.
func (w *wire) upstream() string {
	if w.of != nil {
		return w.of.Upstream
	}
	return ""
}

// follow arranges for the end to come with the end of the response's body.
func (w *wire) follow(resp *http.Response) {
	body := resp.Body
	if body == nil || body == http.NoBody {
		w.endWithHeaders()
		return
	}
	stream, ok := io.ReadWriteCloser(nil), false
	if resp.StatusCode == http.StatusSwitchingProtocols { // else net/http promises no Write
		stream, ok = body.(io.ReadWriteCloser)
	}
	if !ok {
		w.body = body
		resp.Body = (*responseBody)(w)
		return
	}
	resp.Body = &streamBody{ReadWriteCloser: stream, wire: w}
	if half, ok := body.(closeWriter); ok {
		resp.Body = &halfStreamBody{streamBody{ReadWriteCloser: stream, wire: w}, half}
	}
}

// responseBody ends the span at the end of the body, or when it is closed.
type responseBody wire

func (b *responseBody) Read(p []byte) (int, error) {
	w := (*wire)(b)
	n, err := w.body.Read(p)
	switch {
	case err == io.EOF && !w.read && w.of != nil && w.of.GotBody():
		w.endWithHeaders() // this Read has waited for nothing
	case err == io.EOF:
		w.end(nil)
	case err != nil:
		w.end(err)
	}
	w.read = true
	return n, err
}

func (b *responseBody) Close() error {
	w := (*wire)(b)
	err := w.body.Close()
	w.end(nil)
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
