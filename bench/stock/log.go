package main

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// accessLog writes a line for each call.
func accessLog(logger *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		seen := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		logger.LogAttrs(r.Context(), slog.LevelInfo, "call",
			slog.String("method", r.Method),
			slog.String("path", r.URL.Path),
			slog.Int("status", seen.status),
			slog.Int64("bytes", seen.bytes),
			slog.Duration("duration", time.Since(start)),
			slog.String("trace_id", trace.SpanContextFromContext(r.Context()).TraceID().String()))
	})
}

// A recorder sees what is answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	n, err := r.ResponseWriter.Write(data)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find Flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// A buffer gathers lines, and writes them every 100 ms: a write for each line would cost
// more than the line.
type buffer struct {
	stop chan struct{}

	mu  sync.Mutex
	out *bufio.Writer
}

func newBuffer(w io.Writer) *buffer {
	b := &buffer{stop: make(chan struct{}), out: bufio.NewWriterSize(w, 64<<10)}
	go b.flushNowAndThen()
	return b
}

func (b *buffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(line)
}

// Close writes what is left.
func (b *buffer) Close() error {
	close(b.stop)
	return b.flush()
}

func (b *buffer) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Flush()
}

func (b *buffer) flushNowAndThen() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = b.flush()
		case <-b.stop:
			return
		}
	}
}
