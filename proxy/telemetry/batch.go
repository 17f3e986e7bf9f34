package telemetry

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// A batch are calls, and requests of calls, that have ended, and are told of together a moment
// later: as spans, in the metrics and in the log. So no client waits for what is told of its
// own call, nor of those that are ready at the same time; and where calls are seldom, code and
// data that have left the caches meanwhile are fetched once for several of them.
//
// They are told of in the order in which they came here, by one goroutine at a time.
type batch struct {
	log func() *slog.Logger // of defects

	mu      sync.Mutex
	waiting []untold
	bytes   int64       // of the bodies that they may hold on to
	due     *time.Timer // has them told of; nil: none has waited yet
	set     bool        // it is to come, or waits for its turn
	hurries bool        // they are many, and somebody is to tell of them at once
	over    bool        // nothing waits any more
	spare   []untold    // empty: waits next

	began   time.Time     // to tell; zero: nobody has
	telling chan struct{} // holds one while somebody tells
}

// untold is what has ended, and is told of once. Nobody changes any more what is told of it.
type untold interface{ tell() }

const (
	// tellAfter is little for somebody who looks on, and much beside a burst of calls.
	tellAfter = 5 * time.Millisecond
	// tellAtOnce is how many of them wait no longer, and tellFirst and tellBytes what a call does
	// not leave waiting when it ends: a log may be a pipe that nobody reads.
	tellAtOnce = 128
	tellFirst  = 8 * tellAtOnce
	tellBytes  = 16 << 20
	// flushFor is how long telling may take before nobody waits for it any more who asks what
	// was told.
	flushFor = time.Second
)

func newBatch(log func() *slog.Logger) *batch {
	return &batch{log: log, telling: make(chan struct{}, 1)}
}

// add has something told of in a moment, which holds on to a body of so many bytes, and reports
// whether that is too much to be left.
func (b *batch) add(e untold, bytes int64) (full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, e)
	b.bytes += bytes
	switch {
	case b.over:
		return true
	case b.set: // and is let come, though it may be soon: to move one has the runtime look through all
	case b.due == nil:
		b.due = time.AfterFunc(tellAfter, b.comes)
	default:
		b.due.Reset(tellAfter)
	}
	b.set = true
	if len(b.waiting) >= tellAtOnce && !b.hurries {
		b.hurries = true
		go b.tellNow()
	}
	return len(b.waiting) >= tellFirst || b.bytes >= tellBytes
}

// leave is add for a request whose call ends in a moment, and has it told of with itself: what
// there is to be done for that is not done while a client waits.
func (b *batch) leave(e untold) {
	b.mu.Lock()
	b.waiting = append(b.waiting, e)
	over := b.over
	b.mu.Unlock()
	if over { // its call may have been told of: a body can be read to its end by others
		b.tellNow()
	}
}

// comes is what the timer does. Until it has its turn it is not set again.
func (b *batch) comes() {
	b.telling <- struct{}{}
	b.mu.Lock()
	b.set = false
	b.mu.Unlock()
	b.tell()
}

// call is add for a call, whose client has its answer by now.
func (b *batch) call(s *Span) {
	if b.add(s, s.outcome.RequestBytes) {
		b.tellNow()
	}
}

// tellNow tells of all that waits, after whoever is at it.
func (b *batch) tellNow() {
	b.telling <- struct{}{}
	b.tell()
}

// end tells of all that waits. What comes later is told of with the next call, at once.
func (b *batch) end() {
	b.mu.Lock()
	b.over = true
	b.mu.Unlock()
	b.flush()
}

// flush is tellNow for somebody who must not wait for ever.
func (b *batch) flush() {
	select {
	case b.telling <- struct{}{}:
		b.tell()
		return
	default:
	}
	patience := flushFor
	b.mu.Lock()
	if !b.began.IsZero() {
		patience -= time.Since(b.began)
	}
	b.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case b.telling <- struct{}{}:
		b.tell()
	case <-late.C:
	}
}

// tell tells of all that waits. Who calls it is the one who tells, and is it no more after it.
func (b *batch) tell() {
	b.mu.Lock()
	b.began = time.Now()
	these := b.waiting
	b.waiting, b.spare, b.bytes, b.hurries = b.spare, nil, 0, false
	b.mu.Unlock()
	defer func() {
		clear(these)
		b.mu.Lock()
		b.began = time.Time{}
		if cap(these) <= tellFirst {
			b.spare = these[:0]
		}
		b.mu.Unlock()
		<-b.telling
	}()
	for _, e := range these {
		b.one(e)
	}
}

// one tells of one that has ended. A defect costs this one, and not the process.
func (b *batch) one(e untold) {
	defer func() {
		if defect := recover(); defect != nil {
			b.log().Error("to tell of a call met a defect", "panic", defect, "stack", string(debug.Stack()))
		}
	}()
	e.tell()
}

// Flush tells of all that has ended. What this package is asked for is as if that were told of at
// once: it asks for this first. Others who look where it is told, at the log, an exporter or
// Settings.Ended, and may not wait for a moment, have to. It waits for a second at most, if a log
// takes nothing.
func (t *Telemetry) Flush() { t.batch.flush() }
