package spans_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"outrider/proxy/telemetry/spans"
)

// sending is a queue, and when it sent what.
type sending struct {
	*spans.Queue
	began   time.Time
	sent    []string      // "5s: 2", after which time how many spans
	takes   time.Duration // to send a batch
	dropped int
	tracer  *spans.Tracer
}

func newSending(s spans.QueueSettings, takes time.Duration) *sending {
	q := &sending{began: time.Now(), takes: takes}
	s.Full = func(n int) { q.dropped += n }
	s.Export = func(ctx context.Context, b spans.Batch) {
		q.sent = append(q.sent, fmt.Sprintf("%v: %d", time.Since(q.began), b.Count))
		select {
		case <-time.After(q.takes):
		case <-ctx.Done():
			q.sent = append(q.sent, fmt.Sprintf("%v: %v", time.Since(q.began), context.Cause(ctx)))
		}
	}
	q.Queue = spans.NewQueue(s)
	q.tracer = spans.New(spans.Settings{Sampler: sdktrace.AlwaysSample(), Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) {
		q.Add(d)
		d.Free()
	}})
	return q
}

// spans makes so many.
func (q *sending) spans(n int) {
	for range n {
		_, span := q.tracer.Start(context.Background(), "x")
		span.End()
	}
}

func (q *sending) want(t *testing.T, dropped int, sent ...string) {
	t.Helper()
	synctest.Wait()
	if !slices.Equal(q.sent, sent) || q.dropped != dropped {
		t.Errorf("sent were %q, and dropped %d; want %q and %d", q.sent, q.dropped, sent, dropped)
	}
}

func TestBatchIsSentWhenItIsFullOrAfterADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSending(spans.QueueSettings{Batch: 3, Delay: 5 * time.Second}, 0)
		time.Sleep(time.Hour) // nothing waits, so nothing is due
		q.began = time.Now()
		q.spans(2)
		time.Sleep(5 * time.Second)
		time.Sleep(time.Second)
		q.spans(7) // two batches, and one span that has a delay of its own
		synctest.Wait()
		time.Sleep(10 * time.Second)
		q.spans(1)
		if err := q.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		q.want(t, 0, "5s: 2", "6s: 3", "6s: 3", "11s: 1", "16s: 1")
	})
}

// What is on its way takes room, too: so it is with a collector that does not answer.
func TestQueueDropsWhatItHasNoRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSending(spans.QueueSettings{Spans: 5, Batch: 2, Delay: 5 * time.Second, Timeout: 30 * time.Second}, time.Hour)
		q.spans(9)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		q.spans(3) // two have room again
		time.Sleep(time.Hour)
		const late = ": sending spans took longer than OTEL_BSP_EXPORT_TIMEOUT"
		q.want(t, 5, "0s: 2", "30s"+late, "30s: 2", "1m0s"+late, "1m0s: 1", "1m30s"+late, "1m30s: 2", "2m0s"+late)
		q.Shutdown(t.Context())
	})
}

func TestBatchIsSmallEnoughForAReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSending(spans.QueueSettings{Delay: time.Second}, time.Second)
		long := strings.Repeat("x", 300<<10)
		for range 100 { // 30 MB
			_, span := q.tracer.Start(t.Context(), long)
			span.End()
		}
		q.Shutdown(t.Context())
		if first := q.sent[0]; first != "0s: 4" {
			t.Errorf("the first batch is %s", first)
		}
		if q.dropped != 100-54 { // there is room for 16 MiB
			t.Errorf("%d are dropped", q.dropped)
		}
	})
}

func TestShutdownSendsWhatWaitsForAsLongAsItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSending(spans.QueueSettings{}, time.Minute)
		q.spans(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := q.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		q.spans(3) // nobody sends them, and nobody is told
		if err := q.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		q.want(t, 0, "0s: 1")
	})
}

// What a span has recorded serves another span when it has been sent. Whoever still holds
// the span that ended must not reach that other one, whatever they do.
func TestSpanThatEndedNeverReachesAnother(t *testing.T) {
	var mu sync.Mutex
	var got tracepb.ScopeSpans
	queue := spans.NewQueue(spans.QueueSettings{Spans: 1 << 20, Delay: time.Millisecond, Full: func(int) { t.Error("a span was dropped") },
		Export: func(_ context.Context, b spans.Batch) {
			mu.Lock()
			defer mu.Unlock()
			if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(b.Spans, &got); err != nil {
				t.Error(err)
			}
		}})
	tracer := spans.New(spans.Settings{Sampler: sdktrace.AlwaysSample(), Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) {
		queue.Add(d)
		d.Free()
	}})
	const makers, each = 4, 2000
	var making sync.WaitGroup
	for range makers {
		making.Go(func() {
			for range each {
				_, span := tracer.Start(t.Context(), "x")
				mark := attribute.String("mark", span.SpanContext().SpanID().String())
				write := func() {
					span.SetAttributes(mark)
					span.SetName(mark.Value.AsString())
				}
				write()
				making.Go(write) // while it ends, and after that
				span.End()
				write()
			}
		})
	}
	making.Wait()
	if err := queue.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(got.Spans) != makers*each {
		t.Errorf("%d spans arrived of %d", len(got.Spans), makers*each)
	}
	for _, span := range got.Spans {
		id := fmt.Sprintf("%x", span.SpanId)
		if span.Name != id || len(span.Attributes) != 1 || span.Attributes[0].Value.GetStringValue() != id {
			t.Fatalf("span %s is %v", id, span)
		}
	}
}

func TestIDsAreNeverZeroNorTwiceTheSame(t *testing.T) {
	tracer := spans.New(spans.Settings{Sampler: sdktrace.NeverSample()})
	seen := map[string]bool{}
	for range 10000 {
		ctx, root := tracer.Start(t.Context(), "x")
		_, child := tracer.Start(ctx, "y")
		a, b := root.SpanContext(), child.SpanContext()
		if !a.IsValid() || !b.IsValid() || a.TraceID() != b.TraceID() {
			t.Fatalf("%v, %v", a, b)
		}
		for _, id := range []string{a.TraceID().String(), a.SpanID().String(), b.SpanID().String()} {
			if seen[id] {
				t.Fatalf("%s comes again", id)
			}
			seen[id] = true
		}
	}
}

// The latest spans are put together before they go into their batch. None is left behind, or
// comes twice, however long they are and wherever the batch ends.
func TestBatchesHaveAllSpansInTheirOrder(t *testing.T) {
	var got []string
	queue := spans.NewQueue(spans.QueueSettings{Batch: 7, Delay: time.Hour, Export: func(_ context.Context, b spans.Batch) {
		var list tracepb.ScopeSpans
		if err := proto.Unmarshal(b.Spans, &list); err != nil || len(list.Spans) != b.Count {
			t.Errorf("%d spans are counted, and there are %d: %v", b.Count, len(list.Spans), err)
		}
		for _, span := range list.Spans {
			got = append(got, span.Name)
		}
	}})
	tracer := spans.New(spans.Settings{Sampler: sdktrace.AlwaysSample(), Limits: sdktrace.NewSpanLimits(), Ended: func(d *spans.Data) {
		queue.Add(d)
		d.Free()
	}})
	var want []string
	for i := range 200 {
		name := fmt.Sprint(i, strings.Repeat("x", i*i%3000*(1+i%9)))
		_, span := tracer.Start(t.Context(), name)
		span.End()
		want = append(want, name)
	}
	if err := queue.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d spans arrived, want %d in the order of their ends", len(got), len(want))
	}
}
