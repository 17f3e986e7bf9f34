package spans

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Data is what a span has recorded. It has one owner at a time: the span until that has
// ended, then Settings.Ended and whoever that hands it to.
type Data struct {
	said
	fields     Fields               // that who ends the span has written: see [Data.Fields]
	attributes []attribute.KeyValue // no two of one key
	events     []sdktrace.Event
	links      []sdktrace.Link
}

// said is of a Data what holds no room that the next span could use.
type said struct {
	tracer            *Tracer
	context           trace.SpanContext
	parent            trace.SpanContext // zero: it has none
	name              string
	kind              trace.SpanKind
	start             time.Time
	end               time.Time
	status            sdktrace.Status
	children          int
	droppedAttributes int
	droppedEvents     int
	droppedLinks      int
}

// Room that a Data has from the first, and how much of it is kept for the next span.
const (
	usualAttributes = 24
	mostAttributes  = 128
	mostEncoded     = 64 << 10
)

// pool has those that wait for a span.
var pool = sync.Pool{New: func() any {
	return &Data{attributes: make([]attribute.KeyValue, 0, usualAttributes)}
}}

// Free lets another span have d, which its owner must not touch from then on. One that is
// not freed is the garbage collector's.
func (d *Data) Free() {
	if cap(d.attributes) > mostAttributes || cap(d.fields.encoded) > mostEncoded {
		return
	}
	clear(d.attributes) // nothing of a call is held on to
	clear(d.events)
	clear(d.links)
	d.attributes, d.events, d.links = d.attributes[:0], d.events[:0], d.links[:0]
	d.fields.encoded = d.fields.encoded[:0]
	d.said = said{}
	pool.Put(d)
}

// Fields takes attributes from who has taken the span to end it: see [Span.Take].
func (d *Data) Fields() *Fields { return &d.fields }

// SetName gives the span another name.
func (d *Data) SetName(name string) { d.name = name }

// SetStatus says how the operation went: see [Span.SetStatus].
func (d *Data) SetStatus(code codes.Code, description string) {
	if d.status.Code > code {
		return
	}
	if code != codes.Error {
		description = ""
	}
	d.status = sdktrace.Status{Code: code, Description: description}
}

// End ends the span at some time, or now if that is zero, and gives it to Settings.Ended.
func (d *Data) End(at time.Time) {
	if at.IsZero() {
		at = d.start.Add(time.Since(d.start)) // by the clock that nobody sets
	}
	d.end = at
	if len(d.fields.encoded) > 0 && (len(d.attributes) > 0 || !d.tracer.wide) {
		d.setAttributes(d.fields.attributes())
		d.fields.encoded = d.fields.encoded[:0]
	}
	d.tracer.Ended(d)
}

// SpanContext has the ids of the span.
func (d *Data) SpanContext() trace.SpanContext { return d.context }

// Parent has the ids of its parent; zero: it has none.
func (d *Data) Parent() trace.SpanContext { return d.parent }

// Keep has the span be one that is sampled, although that was not settled at its start.
func (d *Data) Keep() {
	d.context = d.context.WithTraceFlags(d.context.TraceFlags() | trace.FlagsSampled)
}

// addEvent adds an event, in place of the oldest if there is no room.
func (d *Data) addEvent(name string, at time.Time, attributes []attribute.KeyValue) {
	limits := &d.tracer.Limits
	event := sdktrace.Event{Name: name, Time: at, Attributes: shallow(attributes, limits.AttributeValueDepthLimit)}
	event.Attributes, event.DroppedAttributeCount = cut(event.Attributes, limits.AttributePerEventCountLimit)
	d.events, d.droppedEvents = push(d.events, event, limits.EventCountLimit, d.droppedEvents)
}

// addLink adds a link, in place of the oldest if there is no room.
func (d *Data) addLink(to trace.Link) {
	if !to.SpanContext.IsValid() && len(to.Attributes) == 0 && to.SpanContext.TraceState().Len() == 0 {
		return
	}
	limits := &d.tracer.Limits
	link := sdktrace.Link{SpanContext: to.SpanContext, Attributes: shallow(to.Attributes, limits.AttributeValueDepthLimit)}
	link.Attributes, link.DroppedAttributeCount = cut(link.Attributes, limits.AttributePerLinkCountLimit)
	d.links, d.droppedLinks = push(d.links, link, limits.LinkCountLimit, d.droppedLinks)
}

// cut leaves as many attributes as a limit allows, and counts the others. Below 0 there is
// no limit.
func cut(attributes []attribute.KeyValue, limit int) (left []attribute.KeyValue, dropped int) {
	if limit < 0 || len(attributes) <= limit {
		return attributes, 0
	}
	return attributes[:limit], len(attributes) - limit
}

// push appends one, and lets the oldest go where there would be more than a limit allows.
func push[T any](list []T, one T, limit, dropped int) ([]T, int) {
	switch {
	case limit == 0:
		return list, dropped + 1
	case limit > 0 && len(list) == limit:
		list = slices.Delete(list, 0, 1)
		dropped++
	}
	return append(list, one), dropped
}
