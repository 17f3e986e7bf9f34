// Package spans records spans and sends them, for a small part of what the tracer of
// OpenTelemetry's SDK costs. It takes the place of that tracer, and of its batch processor
// and the making of messages behind it; what is recorded, within which limits, and what
// arrives at a collector is the same, field by field, which a test holds against the SDK.
//
//	tracer.Start, Begin       a Span: the handle that others write through
//	span.Bear                 a child of which there is only the Data, once it has ended
//	    span.SetAttributes    goes into the Data of the span
//	span.End                  the Data leaves the span, and belongs to Settings.Ended
//	span.Take, data.End       the same, with last words by who ends the span: its Fields
//	    queue.Add(data)       is encoded as OTLP, into the batch that is filling
//	    data.Free()           serves another span
//	uploader.Upload           a batch, as it is, within the message of an official client
//
// # Why it is cheap
//
// A span is encoded once, at its end, into bytes that are sent as they are: no message of
// many small objects is made of it. Who knows all that there is to be said when it ends writes
// that as [Fields], which are such bytes already. All that a span records is in one [Data], of
// a pool.
//
// # Why a pool is safe
//
// A context may hold a [Span] long after its end, and whoever has the context may write to
// it or ask it for its ids. So a Span is never used again. Its Data is, but nobody else has
// ever seen that: a Span gives it away when it ends, under its lock, and writes nowhere
// from then on. Who has a Data without a Span gives it away when it ends or frees it, and so
// must do that once.
//
// # What is left out
//
// A panic that passes a deferred End is not recorded, as the SDK does: the text of a panic
// may hold anything of a call. There are no processors, but whoever gets what has ended
// can have it as the SDK has spans: see [Data.Snapshot].
package spans
