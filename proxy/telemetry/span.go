package telemetry

import (
	"cmp"
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"outrider/policy"
	"outrider/proxy/telemetry/spans"
)

// Attributes of our own.
const (
	keyUpstream   = attribute.Key("outrider.upstream")
	keyRule       = attribute.Key("outrider.rule")
	keyConnection = attribute.Key("outrider.connection") // the credential that the caller chose
	keyForm       = attribute.Key("outrider.form")       // how the call came in: base-url, forward, intercepted, connect
	keyClass      = attribute.Key("outrider.class")      // what the end means, a [policy.Class]
	keyAttempts   = attribute.Key("outrider.attempts")   // requests on the wire
	keyWait       = attribute.Key("outrider.wait")       // seconds spent waiting or backing off
	keyProblem    = attribute.Key("outrider.problem")    // slug of an answer of our own
	keyPriority   = attribute.Key("outrider.priority")   // of a call that waits in line: high, normal, low
	keyStale      = attribute.Key("outrider.stale")      // the failure in place of which an earlier answer was given
	keyQuiet      = attribute.Key("outrider.quiet")      // the failure of which the status says nothing
	keyReused     = attribute.Key("outrider.connection.reused")
	keyLost       = attribute.Key("outrider.lost") // another attempt of the call had the answer, and this one was canceled: no error
)

// A Span is one call under way.
type Span struct {
	t     *Telemetry
	ctx   callContext // exemplars and log lines find the trace through it
	span  spans.Span
	start time.Time

	letter  *Letter // that is sent; nil: it is a call of a client
	traceID string
	form    string

	first wire // room for the one request that most calls have
	taken atomic.Bool

	mu      sync.Mutex
	ended   bool
	passed  bool     // see Passed
	latest  *wire    // that was answered, and is not in the record yet; nil: there is none
	account *account // of its upstream, once a request was made; nil: none was
	record  *kept    // complete once told of, and nobody's here from then on: see [recent.add]; nil: there is nothing in it yet

	// Of one that has ended, until it is told of.
	outcome *Outcome
	took    time.Duration
	data    *spans.Data // what is told of it as a span; nil: nobody wants that
}

// An Outcome is how a call ended.
type Outcome struct {
	Call   *policy.Call // nil when the call never came to an upstream
	Method string
	Host   string // where the call wanted to go
	Path   string // without the query, never the query
	Status int    // what the client got; 0 when it got no answer
	Class  policy.Class
	// Problem is the slug of an answer that we made ourselves, else "".
	Problem string
	// Letter is the id of the letter that the call was kept as, else "".
	Letter string
	// Err ended the call. Its kind is recorded, and of its text only what is
	// known to be harmless.
	Err error
	// Passing says that this was no call, but the way of calls to come: a
	// connection that was opened. They are told, each by itself, and this is not.
	Passing       bool
	Own           bool  // what the client got is ours, and no problem: it is told of a letter
	RequestBytes  int64 // of the body that the client sent
	ResponseBytes int64 // of the body that the client got
}

// A callContext carries a call and its span. It is a part of the call, and so costs nothing.
type callContext struct {
	context.Context
	call *Span
}

type spanKey struct{}

// Value gives the call, and its span to whoever asks package trace for that.
func (c *callContext) Value(key any) any {
	switch key {
	case spanKey{}:
		return c.call
	case spans.ContextKey:
		return &c.call.span
	}
	return c.Context.Value(key)
}

// carry makes the context of the call, whose span has begun.
func (s *Span) carry(ctx context.Context, form string) context.Context {
	var digits [2 * len(trace.TraceID{})]byte
	id := s.span.TraceID()
	hex.Encode(digits[:], id[:])
	s.traceID, s.form = string(digits[:]), form
	s.ctx = callContext{Context: ctx, call: s}
	return &s.ctx
}

// room is for a request of the call, or of none.
func (s *Span) room() *wire {
	if s != nil && s.taken.CompareAndSwap(false, true) {
		return &s.first
	}
	return new(wire)
}

// spanFrom returns the call's span, or nil outside of a call.
func spanFrom(ctx context.Context) *Span {
	if ctx == nil {
		return nil
	}
	s, _ := ctx.Value(spanKey{}).(*Span)
	return s
}

// StartCall begins the SERVER span of a call, continuing the trace of a caller that sent a
// traceparent (https://www.w3.org/TR/trace-context/); one that is malformed is as none. Only
// the caller can say what its call is part of. form says how the call came in: "base-url",
// "forward", "intercepted" or "connect". The context goes with the call; the span must be
// ended.
func (t *Telemetry) StartCall(r *http.Request, form string) (context.Context, *Span) {
	ctx := r.Context()
	s := &Span{t: t, start: time.Now()}
	if len(r.Header["Traceparent"]) > 0 {
		ctx = s.join(ctx, r)
	} else {
		t.tracer.BeginTrace(&s.span, spanMethod(r.Method), trace.SpanKindServer, s.start)
	}
	t.tail.begin(&s.span)
	ctx = s.carry(ctx, form)
	t.metrics.calls.Add(1) // last, since it waits until all that is new here is in the cache
	return ctx, s
}

// join begins the span of a call whose caller has sent a traceparent, and gives the context
// which that is in.
func (s *Span) join(ctx context.Context, r *http.Request) context.Context {
	ctx = traceContext.Extract(ctx, callerHeader(r.Header))
	s.t.tracer.Begin(ctx, &s.span, &spans.Beginning{Name: spanMethod(r.Method), Kind: trace.SpanKindServer, Start: s.start})
	return ctx
}

// TraceID is the id of the call's trace, also when the trace is not sampled.
func (s *Span) TraceID() string { return s.traceID }

// TraceID is the id of the trace of the call that ctx belongs to; "": to none.
func TraceID(ctx context.Context) string {
	if s := spanFrom(ctx); s != nil {
		return s.TraceID()
	}
	return ""
}

// End finishes the call: it ends the span, records the metrics, writes the access log line and
// remembers the call, all of it a moment later: see [Telemetry.Flush]. Only the first End
// counts. What o says is not to be changed any more.
func (s *Span) End(o *Outcome) {
	took := time.Since(s.start)
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.noted()
	s.ended = true
	s.mu.Unlock()
	if o.Passing {
		s.t.tail.forget(&s.span)
		s.over()
		return // a span that is never ended is never sent
	}
	s.outcome, s.data, s.took = o, s.span.Take(), took
	s.t.batch.call(s)
}

// over counts the call as one that is not under way any more: all of it is told.
func (s *Span) over() {
	if s.letter == nil {
		s.t.metrics.calls.Add(-1)
	}
}

// tell tells of the call, which has ended.
func (s *Span) tell() {
	defer s.over()
	o, d, elapsed := s.outcome, s.data, s.took
	s.outcome, s.data = nil, nil // are nobody's after this
	ended := s.start.Add(elapsed)
	s.fill(o, elapsed)
	done, account := s.record, s.account
	kind := serverError(o)
	if account == nil || account.upstream != done.Upstream {
		account = s.t.metrics.accounts.of(done.Upstream)
	}
	if d != nil {
		if s.t.tail.judge(d, kind != "" || o.Problem != "" || done.Quiet != "", done.answered()) {
			s.describe(d, account, o.Method, kind)
		}
		d.End(ended)
	}
	if s.letter == nil {
		s.t.metrics.served(s, account, &done.Record, kind, elapsed)
	} else {
		s.leaveTrace(ended)
	}
	if s.t.accessLog {
		s.t.logAccess(&s.ctx, &done.Record, ended)
	}
	account.traffic.count(&done.Record, ended)
	s.t.ended(&done.Record, s.now(ended))
	s.t.recent.add(done, &s.t.feed)
}

// now is the time by the clock that may be set: when the call ended, unless it was so long
// that the clock may have been set meanwhile, or the machine have slept.
func (s *Span) now(ended time.Time) time.Time {
	if ended.Sub(s.start) > time.Minute {
		return time.Now()
	}
	return ended
}

// fill completes the record of the call, whose method, host and path are those of the request
// still: see [kept.holdNothing].
func (s *Span) fill(o *Outcome, elapsed time.Duration) {
	r := s.recording()
	r.Time, r.TraceID, r.Form = s.start, s.traceID, s.form
	if o.Call != nil {
		r.Upstream = o.Call.Upstream
	}
	r.Method, r.Host = clip(o.Method, 32), clip(o.Host[strings.LastIndexByte(o.Host, '@')+1:], 255)
	r.Path = clip(pathOnly(o.Path), 1024)
	r.Status, r.Class, r.Problem, r.own = o.Status, o.Class, o.Problem, o.Own
	r.RequestBytes, r.ResponseBytes = o.RequestBytes, o.ResponseBytes
	r.DurationMS = ms(elapsed)
	if r.Letter = o.Letter; s.letter != nil {
		r.Letter = s.letter.ID
	}
	if o.Err != nil {
		r.Error = errorText(o.Err)
	}
	if c := o.Call; c != nil {
		r.Rule, r.Connection = c.Rule, strings.Clone(clip(c.Connection, 128))
		r.Attempts, r.WaitedMS = c.Attempts(), ms(c.Waited())
		if failed := c.Stale(); failed != nil {
			r.Stale = clip(failed.Reason, 64)
		}
		if r.Stale == "" && r.Problem == "" { // else the client got another answer
			r.Quiet = clip(c.Quiet(), 64)
		}
	}
	// Two at a time came here in the order in which they were answered.
	if len(r.Tries) > 1 {
		slices.SortStableFunc(r.Tries, func(a, b Try) int { return cmp.Compare(a.StartMS, b.StartMS) })
	}
	for i := range r.Tries {
		if try := &r.Tries[i]; try.DurationMS == 0 {
			try.DurationMS = max(0, r.DurationMS-try.StartMS)
		}
	}
}

// scheme is how a client spoke to us: TLS only where it believed to speak to the
// provider.
func scheme(form string) string {
	if form == "intercepted" {
		return "https"
	}
	return "http"
}

// serverError is the error.type of a call, "" when it is no error of ours or of
// the upstream: a 4xx is the caller's, and a client that left is nobody's.
func serverError(o *Outcome) string {
	switch {
	case o.Class == policy.ClassClientGone:
		return ""
	case o.Call.Stale() != nil && o.Err == nil: // what the client got hides what the upstream said
		if o.Call.Stale().Status < 400 {
			return o.Call.Stale().Reason // a good status says nothing of it
		}
		return strconv.Itoa(o.Call.Stale().Status)
	case o.Class == policy.ClassFault && o.Problem == "" && o.Call.Quiet() != "":
		return "fault"
	case o.Status >= 500 && o.Problem != "":
		return o.Problem
	case o.Status >= 500:
		return strconv.Itoa(o.Status)
	case o.Err != nil && (o.Status == 0 || o.Status < 400): // no answer, or one that broke off
		return errorKind(o.Err)
	}
	return ""
}

// answered is how long the answer took to begin. What streams for an hour is not slow.
func (r *Record) answered() time.Duration {
	after := r.DurationMS
	if n := len(r.Tries); n > 0 && r.Tries[n-1].Status != 0 && r.Problem == "" && r.Stale == "" {
		after = r.Tries[n-1].StartMS + r.Tries[n-1].HeadersMS
	}
	return time.Duration(after * float64(time.Millisecond))
}
