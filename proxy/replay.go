package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"outrider/policy"
)

// replayTotal bounds what all request bodies that are kept for a replay may
// take together, in bytes. Past it, bodies stream and are sent once.
const replayTotal = 256 << 20

// kept counts the bytes that are held for replays, over all calls.
type kept struct{ bytes atomic.Int64 }

func (k *kept) take(n int64) bool {
	if k.bytes.Add(n) > replayTotal {
		k.bytes.Add(-n)
		return false
	}
	return true
}

func (k *kept) give(n int64) { k.bytes.Add(-n) }

var (
	errBodyGone  = errors.New("request body is larger than replay_body, and was sent already")
	errBodyStale = errors.New("request body is being sent by a later attempt")
)

// prepareBody gives the outbound request a body that the retry stage may send
// again, as long as that is possible within limit bytes. release ends it, when
// the call is over; nil: there is nothing to end.
//
// A body that is small and whose length is known is read whole before anything
// is sent: a client that breaks off never reaches the upstream. All others are
// passed on as they come, and remembered on the way up to limit; so is a body
// that waits for 100 Continue, because reading it would be the promise that
// only the upstream can give, and one with trailers, which come at its end.
func prepareBody(ctx context.Context, in, out *http.Request, limit int64, total *kept) (release func(), err error) {
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		out.Body = http.NoBody
		return nil, nil
	}
	call := policy.CallFrom(ctx)
	n := in.ContentLength
	small := n > 0 && n <= limit && in.Header.Get("Expect") == "" && len(in.Trailer) == 0
	if small && total.take(n) {
		data := make([]byte, n)
		if _, err := io.ReadFull(in.Body, data); err != nil {
			total.give(n)
			call.BodyEnded(true)
			return nil, err
		}
		out.Body = newBytesBody(data)
		out.GetBody = func() (io.ReadCloser, error) { return newBytesBody(data), nil }
		return func() { total.give(n) }, nil
	}
	s := &stream{source: in.Body, limit: limit, total: total, call: call, came: in.Trailer, trailer: out.Trailer}
	s.changed.L, s.filling = &s.mu, s.fill
	call.Uploading()
	out.Body, _ = s.open()
	if !small { // else there was no room, and who needs it whole has to know beforehand
		out.GetBody = s.open
	}
	return s.release, nil
}

// bytesBody is a body that is in memory.
type bytesBody struct {
	data []byte
	at   int // read so far
}

func newBytesBody(data []byte) *bytesBody { return &bytesBody{data: data} }

func (b *bytesBody) Read(p []byte) (int, error) {
	n := copy(p, b.data[b.at:])
	b.at += n
	if b.at == len(b.data) {
		return n, io.EOF
	}
	return n, nil
}

// Held is the whole body, for those who know a request again by it.
func (b *bytesBody) Held() []byte { return b.data }

func (b *bytesBody) Close() error { return nil }

// A stream is a request body on its way through. Each attempt reads it from the
// beginning: first what is remembered, then what the client sends. Reading from
// the client happens beside the attempt's goroutine, so that an attempt that
// ends does not have to wait for a client that is silent. Each read costs a change of
// goroutines.
type stream struct {
	source  io.Reader
	limit   int64
	total   *kept
	call    *policy.Call
	came    http.Header // trailers, as the server fills them in at the body's end
	trailer http.Header // trailers of the outbound request

	filling func() // fill; made once

	mu       sync.Mutex
	changed  sync.Cond     // a read has ended, or an attempt; on mu
	memory   pieces        // all that was read so far, unless forgotten
	forgot   bool          // more than limit came: sent once
	fresh    []byte        // read, forgotten, not handed on yet
	err      error         // how the body ended
	reading  bool          // a read is under way
	room     []byte        // of memory: where that puts what comes
	current  *streamReader // the attempt that may read on
	released bool
}

func (s *stream) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgot {
		return nil, errBodyGone
	}
	s.current = &streamReader{stream: s}
	return s.current, nil
}

// release forgets the body: the call is over.
func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.give(int64(s.memory.length))
	s.memory.empty()
	s.forgot, s.released, s.fresh, s.current = true, true, nil, nil
	if !s.reading { // else it is about to
		s.memory.free()
	}
}

// fill reads once from the client. It runs on a goroutine of its own.
func (s *stream) fill() {
	n, err := s.source.Read(s.room)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.released {
		s.memory.free()
	} else {
		s.keep(s.room[:n])
		s.call.Uploading()
		s.call.BodyEnded(err != nil && err != io.EOF && err != http.ErrBodyReadAfterClose) // of a body that we left it is no fault
	}
	s.err = err
	s.reading = false
	s.changed.Broadcast()
}

// keep remembers data, where it lies, or hands it on as fresh once more than limit
// came. What an attempt still has to read of the memory stays until it has.
func (s *stream) keep(data []byte) {
	n := len(data)
	if !s.forgot && int64(s.memory.length+n) <= s.limit && s.total.take(int64(n)) {
		s.memory.length += n
		return
	}
	s.forgot = true
	s.fresh = data
	s.forget()
}

// forget drops the memory of a body that will not be sent again, when the
// current attempt has read it.
func (s *stream) forget() {
	if s.forgot && s.current.at == s.memory.length {
		s.total.give(int64(s.memory.length))
		s.memory.empty()
		s.current.at = 0
	}
}

// streamReader is the body of one attempt.
type streamReader struct {
	stream *stream
	at     int  // read so far, while the stream remembers
	closed bool // guarded by the stream's mu
}

func (r *streamReader) Read(p []byte) (int, error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		n, ready, err := r.next(p)
		switch {
		case ready:
			return n, err
		case r.closed:
			return 0, errBodyStale
		}
		s.read()
		s.changed.Wait()
	}
}

// next copies what is there. It reports whether there is something, be it the end.
func (r *streamReader) next(p []byte) (n int, ready bool, err error) {
	s := r.stream
	switch {
	case s.current != r:
		return 0, true, errBodyStale
	case len(p) == 0:
		return 0, true, nil
	case r.at < s.memory.length:
		n = s.memory.read(p, r.at)
		r.at += n
		s.forget()
		return n, true, nil
	case len(s.fresh) > 0:
		n = copy(p, s.fresh)
		s.fresh = s.fresh[n:]
		return n, true, nil
	case s.err != nil:
		// Only here, where the attempt reads: while others still write their
		// heads, the map must not change under them.
		for name := range s.trailer {
			s.trailer[name] = s.came[name]
		}
		return 0, true, s.err
	}
	return 0, false, nil
}

// read has more come, unless that is under way.
func (s *stream) read() {
	if s.reading {
		return
	}
	s.room, s.reading = s.memory.room(), true
	s.call.Awaiting()
	go s.filling()
}

func (r *streamReader) Close() error {
	r.stream.mu.Lock()
	defer r.stream.mu.Unlock()
	r.closed = true
	r.stream.changed.Broadcast()
	return nil
}
