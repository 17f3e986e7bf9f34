package spans

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// randomIDs makes ids at random, none of which is zero: that one means that there is none.
// They are no secrets. All 56 bits that W3C Trace Context Level 2 wants to be random are.
type randomIDs struct{}

var _ sdktrace.IDGenerator = (*randomIDs)(nil)

// NewIDs makes those of a new trace.
func (r *randomIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	first, last := rand.Uint64(), rand.Uint64()
	for first|last == 0 {
		last = rand.Uint64()
	}
	var id trace.TraceID
	binary.NativeEndian.PutUint64(id[:8], first)
	binary.NativeEndian.PutUint64(id[8:], last)
	return id, r.NewSpanID(ctx, id)
}

// NewSpanID makes that of a new span in a trace that there is.
func (*randomIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	number := rand.Uint64()
	for number == 0 {
		number = rand.Uint64()
	}
	var id trace.SpanID
	binary.NativeEndian.PutUint64(id[:], number)
	return id
}
