package egress

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

var (
	errBodyShort = errors.New("request body ended before its Content-Length")
	errBodyLong  = errors.New("request body is longer than its Content-Length")
)

// source reads a request body and holds it to its declared length. The last
// piece is given out only together with io.EOF, after the body has confirmed
// its end, so that an overlong body is found before the request is complete.
type source struct {
	r       io.Reader
	left    int64       // of the declared length; -1: none declared
	trailer http.Header // filled in by the time of the end, and checked then
	one     [1]byte
	err     error // what went wrong, nil at the regular end
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.read(p)
	if err == io.EOF {
		if bad := checkFields(s.trailer, "trailer"); bad != nil {
			err = bad
		}
	}
	if err != nil && err != io.EOF {
		s.err = err
		return 0, err
	}
	return n, err
}

func (s *source) read(p []byte) (int, error) {
	if s.left < 0 {
		return s.r.Read(p)
	}
	if s.left == 0 {
		return 0, s.end()
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	switch {
	case err == io.EOF && s.left > 0:
		return 0, errBodyShort
	case err == nil && s.left == 0:
		err = s.end()
	}
	return n, err
}

// end asks for one byte more than declared: io.EOF if there is none.
func (s *source) end() error {
	for range 100 {
		n, err := s.r.Read(s.one[:])
		if n > 0 {
			return errBodyLong
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// guardedBody is the request body as the HTTP/2 library gets it. The library
// may still be reading when its RoundTrip has returned; this one can be told
// to stop, and then nobody reads the caller's body any more.
type guardedBody struct {
	src  source
	body io.Closer

	mu      sync.Mutex
	idle    *sync.Cond // signalled when a Read ends
	reads   int        // in progress
	touched bool       // a Read has begun
	stopped bool
}

var errStopped = errors.New("request body is not wanted any more")

func newGuardedBody(body io.ReadCloser, length int64, trailer http.Header) *guardedBody {
	b := &guardedBody{src: source{r: body, left: length, trailer: trailer}, body: body}
	b.idle = sync.NewCond(&b.mu)
	return b
}

func (b *guardedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return 0, errStopped
	}
	b.touched = true
	b.reads++
	b.mu.Unlock()

	n, err := b.src.Read(p)

	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads--
	b.idle.Broadcast()
	if b.stopped {
		// Whatever this Read met was the closing's doing.
		b.src.err = nil
		return 0, errStopped
	}
	return n, err
}

// Close is the library's: it has ended the stream, or never begun it. In the
// latter case the body is good for another connection.
func (b *guardedBody) Close() error {
	if b.untouched() {
		return nil
	}
	b.stop()
	return nil
}

// untouched reports that nothing was read. A nil b, no body, always is.
func (b *guardedBody) untouched() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.touched && !b.stopped
}

// failure is the body's own fault, if any.
func (b *guardedBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads > 0 {
		return nil
	}
	return b.src.err
}

// stop closes the caller's body and waits until nothing reads it.
func (b *guardedBody) stop() {
	if b == nil {
		return
	}
	b.mu.Lock()
	first := !b.stopped
	b.stopped = true
	b.mu.Unlock()
	if first {
		b.body.Close()
	}
	b.mu.Lock()
	for b.reads > 0 {
		b.idle.Wait()
	}
	b.mu.Unlock()
}
