package spans

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// encode gives d as a Span of OTLP, in room of its own. In what order the fields of a message
// come means nothing, so those that are encoded already stay where they are, and the others
// come behind them.
func (d *Data) encode() []byte {
	span := d.appendOthers(d.fields.encoded)
	d.fields.encoded = span[:len(d.fields.encoded)] // as it was: who is next encodes d, too
	return span
}

// appendOthers writes a Span but for its [Fields]. Field numbers are those of
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
func (d *Data) appendOthers(b []byte) []byte {
	traceID, spanID, parentID := d.context.TraceID(), d.context.SpanID(), d.parent.SpanID()
	b = append(append(b, 1<<3|delimited, byte(len(traceID))), traceID[:]...)
	b = append(append(b, 2<<3|delimited, byte(len(spanID))), spanID[:]...)
	b = appendText(b, 3, d.context.TraceState().String())
	if parentID.IsValid() {
		b = append(append(b, 4<<3|delimited, byte(len(parentID))), parentID[:]...)
	}
	b = appendText(b, 5, d.name)
	b = appendVarint(b, 6, uint64(d.kind)) // numbered as there
	b = appendFixed64(b, 7, unixNano(d.start))
	b = appendFixed64(b, 8, unixNano(d.end))
	b = appendAttributes(b, 9, d.attributes)
	b = appendVarint(b, 10, uint64(d.droppedAttributes))
	for i := range d.events {
		b = appendEvent(b, 11, &d.events[i])
	}
	b = appendVarint(b, 12, uint64(d.lostEvents()))
	for i := range d.links {
		b = appendLink(b, 13, &d.links[i])
	}
	b = appendVarint(b, 14, uint64(d.lostLinks()))
	b = appendStatus(b, 15, d.status)
	return appendFlags(b, 16, d.context.TraceFlags(), d.parent)
}

// lostEvents counts those that had no room. As the SDK has it, none are lost where none are
// kept.
func (d *Data) lostEvents() int { return d.droppedEvents * min(1, len(d.events)) }

// lostLinks is as lostEvents.
func (d *Data) lostLinks() int { return d.droppedLinks * min(1, len(d.links)) }

func appendEvent(b []byte, field int, e *sdktrace.Event) []byte {
	b, at := open(b, field)
	b = appendFixed64(b, 1, unixNano(e.Time))
	b = appendText(b, 2, e.Name)
	b = appendAttributes(b, 3, e.Attributes)
	b = appendVarint(b, 4, uint64(e.DroppedAttributeCount))
	return closed(b, at)
}

func appendLink(b []byte, field int, l *sdktrace.Link) []byte {
	traceID, spanID := l.SpanContext.TraceID(), l.SpanContext.SpanID()
	b, at := open(b, field)
	b = appendBytes(b, 1, traceID[:])
	b = appendBytes(b, 2, spanID[:])
	b = appendAttributes(b, 4, l.Attributes)
	b = appendVarint(b, 5, uint64(l.DroppedAttributeCount))
	b = appendFlags(b, 6, l.SpanContext.TraceFlags(), l.SpanContext)
	return closed(b, at)
}

// appendStatus writes a status, which is there even if nothing was said.
func appendStatus(b []byte, field int, s sdktrace.Status) []byte {
	b, at := open(b, field)
	b = appendText(b, 2, s.Description)
	switch s.Code { // numbered otherwise there
	case codes.Ok:
		b = appendVarint(b, 3, 1)
	case codes.Error:
		b = appendVarint(b, 3, 2)
	}
	return closed(b, at)
}

// Bits of the flags of OTLP, above the eight of W3C Trace Context.
const (
	hasIsRemote = 1 << 8 // the next bit says something
	isRemote    = 1 << 9 // the span that they tell of is of another process
)

// appendFlags writes the flags of a trace, and whether from is known to be remote.
func appendFlags(b []byte, field int, flags trace.TraceFlags, from trace.SpanContext) []byte {
	all := uint32(flags) | hasIsRemote
	if from.IsRemote() {
		all |= isRemote
	}
	return binary.LittleEndian.AppendUint32(appendTag(b, field, fixed32), all)
}

// unixNano is a time of OTLP, which has none before 1970.
func unixNano(t time.Time) uint64 { return uint64(max(0, t.UnixNano())) }

func appendAttributes(b []byte, field int, list []attribute.KeyValue) []byte {
	for i := range list {
		b = appendAttribute(b, field, &list[i])
	}
	return b
}

// appendAttribute writes a KeyValue of
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto
func appendAttribute(b []byte, field int, a *attribute.KeyValue) []byte {
	b, at := open(b, field)
	b = appendText(b, 1, string(a.Key))
	b = appendValue(b, 2, a.Value)
	return closed(b, at)
}

// appendValue writes an AnyValue. An empty one is a message without fields; in any other,
// the field says of which type it is, and is written whatever it holds.
func appendValue(b []byte, field int, v attribute.Value) []byte {
	b, at := open(b, field)
	switch v.Type() {
	case attribute.STRING:
		b = appendString(b, 1, v.AsString())
	case attribute.BOOL:
		b = append(appendTag(b, 2, varint), truth(v.AsBool()))
	case attribute.INT64:
		b = appendNumber(appendTag(b, 3, varint), uint64(v.AsInt64()))
	case attribute.FLOAT64:
		b = binary.LittleEndian.AppendUint64(appendTag(b, 4, fixed64), math.Float64bits(v.AsFloat64()))
	case attribute.BYTESLICE:
		b = appendBytes(b, 7, v.AsByteSlice())
	case attribute.MAP:
		inner, list := open(b, 6)
		b = closed(appendAttributes(inner, 1, v.AsMap()), list)
	case attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE, attribute.STRINGSLICE, attribute.SLICE:
		inner, list := open(b, 5)
		b = closed(appendElements(inner, 1, v), list)
	}
	return closed(b, at)
}

func appendElements(b []byte, field int, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.BOOLSLICE:
		for _, one := range v.AsBoolSlice() {
			b = appendValue(b, field, attribute.BoolValue(one))
		}
	case attribute.INT64SLICE:
		for _, one := range v.AsInt64Slice() {
			b = appendValue(b, field, attribute.Int64Value(one))
		}
	case attribute.FLOAT64SLICE:
		for _, one := range v.AsFloat64Slice() {
			b = appendValue(b, field, attribute.Float64Value(one))
		}
	case attribute.STRINGSLICE:
		for _, one := range v.AsStringSlice() {
			b = appendValue(b, field, attribute.StringValue(one))
		}
	case attribute.SLICE:
		for _, one := range v.AsSlice() {
			b = appendValue(b, field, one)
		}
	}
	return b
}

func truth(b bool) byte {
	if b {
		return 1
	}
	return 0
}
