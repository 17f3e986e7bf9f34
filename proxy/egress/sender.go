package egress

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A sender writes a request body while the call's goroutine reads the
// response, so that a peer which answers before it has read everything cannot
// deadlock us. It is the only goroutine that a call may have, and stop waits
// for its end.
type sender struct {
	ex      *exchange
	src     source
	close   sync.Once     // closes the request body
	stopped atomic.Bool   // the rest of the body is not wanted
	done    chan struct{} // closed at the end
	// Set before done is closed:
	complete bool  // the whole body was written
	bodyErr  error // reading the body failed
}

func (ex *exchange) startSender() {
	s := &sender{ex: ex, src: source{r: ex.req.Body, left: ex.length, trailer: ex.req.Trailer}, done: make(chan struct{})}
	ex.sender = s
	go s.run()
}

// stoppedSender stands for a body that is not sent at all.
func stoppedSender(ex *exchange) *sender {
	s := &sender{ex: ex, done: make(chan struct{})}
	close(s.done)
	s.stopped.Store(true)
	s.closeBody()
	return s
}

func (s *sender) closeBody() { s.close.Do(func() { closeBody(s.ex.req) }) }

func (s *sender) run() {
	defer close(s.done)
	defer s.closeBody()
	err := s.copy()
	s.complete = err == nil
	if s.src.err != nil && !s.stopped.Load() {
		s.bodyErr = s.src.err
		// The request cannot be completed any more: wake whoever waits for
		// its response. A failed write does not do that, for the peer may
		// have answered before it closed.
		s.ex.abandon()
	}
}

// stop ends the sending if it still goes on, waits, and returns the error of
// reading the body.
func (s *sender) stop() error {
	select {
	case <-s.done:
		return s.bodyErr
	default:
	}
	s.interrupt()
	<-s.done
	return s.bodyErr
}

// interrupt makes the sender end soon.
func (s *sender) interrupt() {
	if s.stopped.Swap(true) {
		return
	}
	s.closeBody()
	s.ex.setWriteDeadline(past)
}

const (
	sendBuffer  = 32 << 10
	chunkPrefix = 8 // room for "8000" and CRLF, and to spare
)

var sendPool = sync.Pool{New: func() any { return new([chunkPrefix + sendBuffer + 2]byte) }}

// copy sends the body. Every Read's bytes go out at once: a caller may be
// streaming, and waiting for the answer to what it has sent.
func (s *sender) copy() error {
	buf := sendPool.Get().(*[chunkPrefix + sendBuffer + 2]byte)
	defer sendPool.Put(buf)
	chunked := s.ex.chunkedOut()
	for {
		if s.stopped.Load() {
			return errStopped
		}
		n, err := s.src.Read(buf[chunkPrefix : chunkPrefix+sendBuffer])
		if err != nil && err != io.EOF {
			return err
		}
		if s.stopped.Load() && err == nil {
			return errStopped
		}
		if n > 0 {
			data := buf[chunkPrefix : chunkPrefix+n]
			if chunked {
				data = frameChunk(buf[:], n)
			}
			if _, err := s.ex.c.nc.Write(data); err != nil {
				return err
			}
		}
		if err == io.EOF {
			if chunked {
				return s.finishChunks(buf[:0])
			}
			return nil
		}
	}
}

// frameChunk puts the size line before the n bytes at buf[chunkPrefix:] and
// CRLF behind them.
func frameChunk(buf []byte, n int) []byte {
	const digits = "0123456789abcdef"
	end := chunkPrefix + n
	buf[end], buf[end+1] = '\r', '\n'
	i := chunkPrefix - 2
	buf[i], buf[i+1] = '\r', '\n'
	for ; n > 0; n >>= 4 {
		i--
		buf[i] = digits[n&15]
	}
	return buf[i : end+2]
}

// finishChunks writes the last chunk and the trailers, whose values the caller
// has filled in by now.
func (s *sender) finishChunks(b []byte) error {
	b = append(b, "0\r\n"...)
	for name, values := range s.ex.req.Trailer {
		if isFraming(name) {
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	b = append(b, '\r', '\n')
	_, err := s.ex.c.nc.Write(b)
	return err
}

// abandon wakes the reader of the response.
func (ex *exchange) abandon() { ex.setReadDeadline(past) }

// finish is called when the response is complete: a body that is still being
// sent is not wanted any more. It reports whether all of it was sent, so that
// the connection is at a message boundary.
func (s *sender) finish() bool {
	if _ = s.stop(); !s.complete {
		return false
	}
	// It was complete before the interruption took effect.
	s.ex.setWriteDeadline(time.Time{})
	return true
}
