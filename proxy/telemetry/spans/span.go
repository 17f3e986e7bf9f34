package spans

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// A Span is the handle of one span: its ids, and, while it is recorded and has not ended,
// a place to write to. Its methods are safe for concurrent use.
type Span struct {
	embedded.Span
	context  trace.SpanContext // never changes once the span has begun
	children atomic.Int32      // that had it for a parent

	mu   sync.Mutex
	late late  // of which data is made; zero: it was, or never is
	data *Data // nil: it is not recorded, or has ended, or is late
}

// late is what is known of a trace that begins, of which there is nothing else to be recorded
// yet. Most calls have that only when they end, and nobody waits for them any more.
type late struct {
	tracer *Tracer
	name   string
	kind   trace.SpanKind
	start  time.Time
}

var _ trace.Span = (*Span)(nil)

// SpanContext has the ids of the span. It holds after the end, too.
func (s *Span) SpanContext() trace.SpanContext { return s.context }

// TraceID is the id of its trace, of which there is need more often than of the others.
func (s *Span) TraceID() trace.TraceID { return s.context.TraceID() }

// IsRecording reports whether what is written to the span is kept: it is recorded, and has
// not ended.
func (s *Span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data != nil || s.late.tracer != nil
}

// recorded is where the span is written to; nil: it is not recorded, or has ended. The lock is
// held.
func (s *Span) recorded() *Data {
	if l := s.late; l.tracer != nil {
		s.late = late{}
		s.data = l.tracer.record(&s.context, &trace.SpanContext{}, &Beginning{Name: l.name, Kind: l.kind, Start: l.start})
	}
	return s.data
}

// Bear counts a child that is recorded and sampled as the span is: nobody is asked. It is for
// who keeps the child to itself and so needs no handle of it, but its id, where that is sent on,
// and its Data once it has ended: see [Tracer.ChildID] and [Tracer.RecordChild]. It reports
// whether the child is recorded.
func (s *Span) Bear() bool {
	s.children.Add(1)
	return s.context.IsSampled() || s.IsRecording()
}

// SetStatus says how the operation went, unless something better was said already: ok is
// final, and an error is more than nothing. Only an error has a description.
func (s *Span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.recorded(); d != nil {
		d.SetStatus(code, description)
	}
}

// SetName gives the span another name.
func (s *Span) SetName(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.recorded(); d != nil {
		d.SetName(name)
	}
}

// SetAttributes adds attributes. One that is there already has its value replaced; those
// that there is no room for are counted.
func (s *Span) SetAttributes(attributes ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.recorded(); d != nil {
		d.setAttributes(attributes)
	}
}

// AddEvent adds something that happened at one time.
func (s *Span) AddEvent(name string, options ...trace.EventOption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.recorded()
	if d == nil {
		return
	}
	how := trace.NewEventConfig(options...)
	d.addEvent(name, how.Timestamp(), how.Attributes())
}

// AddLink adds a link to another span. One that says nothing is left out.
func (s *Span) AddLink(link trace.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.recorded(); d != nil {
		d.addLink(link)
	}
}

// RecordError adds an event that has the type of an error and its text, and the stack if an
// option asks for that. It does not change the status. Whoever calls it answers for the
// text holding no secret.
// https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/
func (s *Span) RecordError(err error, options ...trace.EventOption) {
	if err == nil || !s.IsRecording() {
		return
	}
	options = append(slices.Clip(options), trace.WithAttributes(
		semconv.ExceptionType(typeName(err)), semconv.ExceptionMessage(err.Error())))
	how := trace.NewEventConfig(options...)
	if how.StackTrace() {
		stack := make([]byte, 2048)
		stack = stack[:runtime.Stack(stack, false)]
		options = append(options, trace.WithAttributes(semconv.ExceptionStacktrace(string(stack))))
	}
	s.AddEvent(semconv.ExceptionEventName, options...)
}

func typeName(err error) string {
	t := reflect.TypeOf(err)
	if t.PkgPath() == "" && t.Name() == "" { // such as a pointer
		return t.String()
	}
	return fmt.Sprintf("%s.%s", t.PkgPath(), t.Name())
}

// End ends the span, now or when an option says. Only the first End counts.
func (s *Span) End(options ...trace.SpanEndOption) {
	var at time.Time
	if len(options) > 0 {
		how := trace.NewSpanEndConfig(options...)
		at = how.Timestamp()
	}
	s.EndAt(at)
}

// EndAt is End where who ends the span knows the time; the zero Time means now.
func (s *Span) EndAt(at time.Time) {
	if d := s.Take(); d != nil {
		d.End(at)
	}
}

// Take gives what was recorded to who ends the span, so that it can write what there is to
// be said at the end, which nobody else can from now on, and then end the Data in place of
// the span. It is nil where nothing is recorded, or the span has ended.
func (s *Span) Take() *Data {
	s.mu.Lock()
	d := s.recorded()
	s.data = nil
	s.mu.Unlock()
	if d != nil {
		d.children = int(s.children.Load())
	}
	return d
}

// ContextKey is the key by which package trace looks for the span of a context: a context of
// another make that carries one has to know it.
var ContextKey = keyAsked(func(ctx context.Context) { trace.SpanFromContext(ctx) })

// keyAsked gives the key by which ask asks a context for a value.
func keyAsked(ask func(context.Context)) any {
	asked := &eavesdropper{Context: context.Background()}
	ask(asked)
	return asked.key
}

// An eavesdropper is a context that has no values.
type eavesdropper struct {
	context.Context
	key any
}

// Value notes the key.
func (e *eavesdropper) Value(key any) any {
	e.key = key
	return nil
}

// TracerProvider gives one whose spans are not recorded: all that are recorded here belong
// to one scope.
func (s *Span) TracerProvider() trace.TracerProvider { return noop.NewTracerProvider() }
