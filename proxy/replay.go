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
// the call is over.
//
// A body that is small and whose length is known is read whole before anything
// is sent: a client that breaks off never reaches the upstream. All others are
// passed on as they come, and remembered on the way up to limit; so is a body
// that waits for 100 Continue, because reading it would be the promise that
// only the upstream can give, and one with trailers, which come at its end.
func prepareBody(ctx context.Context, in, out *http.Request, limit int64, total *kept) (release func(), err error) {
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		out.Body = http.NoBody
		return func() {}, nil
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
	s := &stream{source: in.Body, limit: limit, total: total, call: call, came: in.Trailer, trailer: out.Trailer, piece: pieceOf(n)}
	call.Uploading()
	out.Body, _ = s.open()
	if !small { // else there was no room, and who needs it whole has to know beforehand
		out.GetBody = s.open
	}
	return s.release, nil
}

// pieceOf is how much of a streamed body is read at once, in bytes: n is its
// length, where that is known. Each piece costs a change of goroutines.
func pieceOf(n int64) int {
	if n > 1<<20 {
		return 64 << 10
	}
	return 32 << 10
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
// ends does not have to wait for a client that is silent.
type stream struct {
	source  io.Reader
	limit   int64
	total   *kept
	call    *policy.Call
	came    http.Header // trailers, as the server fills them in at the body's end
	trailer http.Header // trailers of the outbound request

	mu       sync.Mutex
	memory   []byte        // all that was read so far, unless forgotten
	forgot   bool          // more than limit came: sent once
	fresh    []byte        // read, forgotten, not handed on yet
	err      error         // how the body ended
	reading  chan struct{} // closed when the read under way has ended; nil: none is
	buffer   []byte
	piece    int           // its size
	current  *streamReader // the attempt that may read on
	released bool
}

func (s *stream) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgot {
		return nil, errBodyGone
	}
	s.current = &streamReader{stream: s, closed: make(chan struct{})}
	return s.current, nil
}

// release forgets the body: the call is over.
func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.give(int64(len(s.memory)))
	s.memory, s.forgot, s.released = nil, true, true
	s.current = nil
}

// fill reads once from the client. It runs on a goroutine of its own.
func (s *stream) fill(done chan struct{}) {
	n, err := s.source.Read(s.buffer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.released {
		s.keep(s.buffer[:n])
		s.call.Uploading()
		s.call.BodyEnded(err != nil && err != io.EOF)
	}
	s.err = err
	s.reading = nil
	close(done)
}

// keep remembers data, or hands it on as fresh once more than limit came. What
// an attempt still has to read of the memory stays until it has.
func (s *stream) keep(data []byte) {
	n := int64(len(data))
	if !s.forgot && int64(len(s.memory))+n <= s.limit && s.total.take(n) {
		s.memory = append(s.memory, data...)
		return
	}
	s.forgot = true
	s.fresh = data
	s.forget()
}

// forget drops the memory of a body that will not be sent again, when the
// current attempt has read it.
func (s *stream) forget() {
	if s.forgot && s.current.at == len(s.memory) {
		s.total.give(int64(len(s.memory)))
		s.memory, s.current.at = nil, 0
	}
}

// streamReader is the body of one attempt.
type streamReader struct {
	stream *stream
	at     int // read so far, while the stream remembers
	closed chan struct{}
	once   sync.Once
}

func (r *streamReader) Read(p []byte) (int, error) {
	for {
		n, wait, err := r.next(p)
		if wait == nil {
			return n, err
		}
		select {
		case <-wait:
		case <-r.closed:
			return 0, errBodyStale
		}
	}
}

// next copies what is there. Otherwise it returns what to wait for.
func (r *streamReader) next(p []byte) (n int, wait <-chan struct{}, err error) {
	s := r.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current != r:
		return 0, nil, errBodyStale
	case len(p) == 0:
		return 0, nil, nil
	case r.at < len(s.memory):
		n = copy(p, s.memory[r.at:])
		r.at += n
		s.forget()
		return n, nil, nil
	case len(s.fresh) > 0:
		n = copy(p, s.fresh)
		s.fresh = s.fresh[n:]
		return n, nil, nil
	case s.err != nil:
		// Only here, where the attempt reads: while others still write their
		// heads, the map must not change under them.
		for name := range s.trailer {
			s.trailer[name] = s.came[name]
		}
		return 0, nil, s.err
	}
	if s.reading == nil {
		if s.buffer == nil {
			s.buffer = make([]byte, s.piece)
		}
		s.reading = make(chan struct{})
		s.call.Awaiting()
		go s.fill(s.reading)
	}
	return 0, s.reading, nil
}

func (r *streamReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}
