package spans

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// QueueSettings say how much waits, and for how long. Only Export and Full may not be zero.
type QueueSettings struct {
	Spans   int           // most that wait or are being sent; 0 means 2048
	Batch   int           // most in one batch; 0 means 512; no more than Spans
	Delay   time.Duration // until a batch is sent that is not full, from its first span on; below 0 means 5 s
	Timeout time.Duration // of sending one; 0: there is none
	// Export sends a batch. It must not keep the bytes. One runs at a time.
	Export func(context.Context, Batch)
	// Full is told that spans are dropped for which there is no room.
	Full func(spans int)
}

// Defaults of the specification:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
const (
	DefaultSpans   = 2048
	DefaultBatch   = 512
	DefaultDelay   = 5 * time.Second
	DefaultTimeout = 30 * time.Second
)

// What is held is bounded by bytes, too, whatever a span is made of. A batch is closed in
// good time before the 4 MiB that a receiver of gRPC takes by default.
const (
	mostBytes  = 16 << 20
	batchBytes = 1 << 20

	latestBytes = 8 << 10 // see [Queue.gather]
)

// A Batch are encoded spans.
type Batch struct {
	Spans []byte // the field spans of a ScopeSpans, many times
	Count int
}

// A Queue has spans sent, in batches, by a goroutine of its own. To add one takes no longer
// if nobody can be reached: what there is no room for is dropped.
type Queue struct {
	settings QueueSettings
	full     atomic.Bool // there is no room for another span: what is to be encoded need not be
	wake     chan struct{}
	done     chan struct{} // closed when all is sent after Shutdown
	due      *time.Timer   // closes the batch that fills

	mu      sync.Mutex
	pending int // spans that wait or are being sent
	filling Batch
	latest  []byte   // the end of it: see gather
	closed  []Batch  // that wait to be sent, the oldest first
	bytes   int      // of all that waits
	spare   [][]byte // of batches that were sent
	usual   int      // bytes of a full batch
	stopped bool
}

// NewQueue starts a queue. It must be shut down.
func NewQueue(s QueueSettings) *Queue {
	if s.Spans <= 0 {
		s.Spans = DefaultSpans
	}
	if s.Batch <= 0 || s.Batch > s.Spans {
		s.Batch = min(DefaultBatch, s.Spans)
	}
	if s.Delay < 0 {
		s.Delay = DefaultDelay
	}
	q := &Queue{settings: s, wake: make(chan struct{}, 1), done: make(chan struct{})}
	q.due = time.AfterFunc(s.Delay, q.sendSoon)
	q.due.Stop() // nothing waits
	go q.run()
	return q
}

// Add queues what a span has recorded, or drops it. It keeps nothing of d, which must not be
// written to meanwhile by anybody else.
func (q *Queue) Add(d *Data) {
	if q.full.Load() {
		q.settings.Full(1)
		return
	}
	if !q.put(d.encode()) {
		q.settings.Full(1)
	}
}

// put adds an encoded span to the batch that fills, and reports whether there was room.
// After the end there is, and nobody sends what goes there.
func (q *Queue) put(span []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return true
	case q.pending >= q.settings.Spans || q.bytes+len(span) > mostBytes:
		return false
	}
	if q.pending++; q.pending == q.settings.Spans {
		q.full.Store(true)
	}
	b := &q.filling
	if b.Count == 0 {
		b.Spans = q.buffer()
		q.due.Reset(q.settings.Delay)
	}
	before := len(q.latest)
	q.latest = appendBytes(q.latest, 2, span)
	b.Count++
	q.bytes += len(q.latest) - before
	if len(q.latest) >= latestBytes {
		q.gather()
	}
	if b.Count >= q.settings.Batch || len(b.Spans) >= batchBytes {
		q.gather()
		q.usual = len(b.Spans) + len(b.Spans)/8
		q.close()
	}
	return true
}

// gather puts the latest spans into the batch that fills. The memory of that is so large that
// each part of it has left the caches before its turn comes again, and the lock is held until
// it is back: for many spans that takes little longer than for one. The lock is held.
func (q *Queue) gather() {
	q.filling.Spans = append(q.filling.Spans, q.latest...)
	q.latest = q.latest[:0]
	if cap(q.latest) > 2*latestBytes { // one of them was very long
		q.latest = nil
	}
}

// buffer is an empty one for a batch. The lock is held.
func (q *Queue) buffer() []byte {
	last := len(q.spare) - 1
	if last < 0 {
		return make([]byte, 0, q.usual)
	}
	b := q.spare[last]
	q.spare = q.spare[:last]
	return b
}

// sendSoon has sent what waits.
func (q *Queue) sendSoon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stopped {
		q.close()
	}
}

// close has the batch that fills be sent next. The lock is held.
func (q *Queue) close() {
	if q.filling.Count > 0 {
		q.gather()
		q.closed = append(q.closed, q.filling)
		q.filling = Batch{}
	}
	select {
	case q.wake <- struct{}{}:
	default: // it is awake
	}
}

// run sends what is full until the queue is shut down.
func (q *Queue) run() {
	defer close(q.done)
	for range q.wake {
		for {
			batch, ok := q.next()
			if !ok {
				break
			}
			q.export(batch)
			q.sent(batch)
		}
	}
}

func (q *Queue) next() (batch Batch, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.closed) == 0 {
		return Batch{}, false
	}
	batch, q.closed[0] = q.closed[0], Batch{}
	q.closed = q.closed[1:]
	return batch, true
}

func (q *Queue) export(batch Batch) {
	ctx := context.Background()
	if q.settings.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, q.settings.Timeout, errExportTimeout)
		defer cancel()
	}
	q.settings.Export(ctx, batch)
}

var errExportTimeout = errors.New("sending spans took longer than OTEL_BSP_EXPORT_TIMEOUT")

// sent makes room for others. Two buffers serve by turns: one fills while the other is sent.
func (q *Queue) sent(batch Batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending -= batch.Count
	q.full.Store(false)
	q.bytes -= len(batch.Spans)
	if len(q.spare) < 2 {
		q.spare = append(q.spare, batch.Spans[:0])
	}
}

// Shutdown sends what waits, and takes nothing more. It returns when all is sent, or when
// ctx ends, with its error.
func (q *Queue) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	if !q.stopped {
		q.due.Stop()
		q.close()
		q.stopped = true
		close(q.wake)
	}
	q.mu.Unlock()
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
