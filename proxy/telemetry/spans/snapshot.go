package spans

import (
	"slices"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Snapshot is a copy for what reads spans as the SDK has them. It is not cheap.
func (d *Data) Snapshot() sdktrace.ReadOnlySpan {
	// The interface has a method of the SDK's own, so that nobody else can have its type:
	// this is the only way to make one.
	return tracetest.SpanStub{
		Name: d.name, SpanContext: d.context, Parent: d.parent, SpanKind: d.kind, StartTime: d.start, EndTime: d.end,
		Attributes: append(d.fields.attributes(), d.attributes...), Events: slices.Clone(d.events), Links: slices.Clone(d.links), Status: d.status,
		DroppedAttributes: d.droppedAttributes, DroppedEvents: d.lostEvents(), DroppedLinks: d.lostLinks(),
		ChildSpanCount: d.children, Resource: d.tracer.Resource, InstrumentationScope: d.tracer.Scope,
	}.Snapshot()
}
