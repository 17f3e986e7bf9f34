package inbound

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"outrider/proxy/framing"
)

// maxDiscard and discardTime bound what is read of a body that nobody wants, so
// that its connection can go on.
const (
	maxDiscard  = 256 << 10
	discardTime = time.Second
)

// A body is what follows the head of a request. It is read by one goroutine at a
// time, which need not be that of the connection: until the body has ended, the
// reading side of the connection is guarded by mu.
type body struct {
	call *call // nil: its request has no body

	begun  atomic.Bool // somebody wants it
	mu     sync.Mutex
	closed bool
	err    error // what ended it
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return 0, http.ErrBodyReadAfterClose
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	}
	if b.begun.CompareAndSwap(false, true) {
		if err := b.call.answer.proceed(); err != nil {
			return 0, err
		}
	}
	n, err := b.read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close waits for a Read that is under way, and leaves the rest to the connection.
func (b *body) Close() error {
	if b.call == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// end notes why there is no more.
func (b *body) end(err error) {
	k, c := b.call, b.call.conn
	if timedOut(err) {
		return // it may be read on with another deadline
	}
	b.err = err
	if err == io.EOF {
		c.server.young.add(c) // nobody else reads from now on
		return
	}
	if bad, ok := errors.AsType[*framing.Error](err); ok {
		k.refused.Store(bad)
	}
	k.end()
}

// read reads bytes of the body. It returns io.EOF as soon as that is known.
func (b *body) read(p []byte) (n int, err error) {
	c := b.call.conn
	for {
		if err := b.frame(); err != nil {
			return n, err
		}
		left := c.scanner.Left()
		switch {
		case c.scanner.Done():
			return n, io.EOF
		case n == len(p) || n > 0 && (left == 0 || !c.input.some()):
			return n, nil // rather than wait
		case left == 0 || !c.input.some() && b.small(left, len(p)):
			c.beginRead()
			err := c.fill()
			c.endRead()
			if err != nil {
				return n, cutOff(err)
			}
		case c.input.some():
			window := c.input.window()
			m := copy(p[n:], window[:min(left, int64(len(window)))])
			c.scanner.Pass(m)
			c.input.use(m, &c.scanner)
			n += m
		default:
			m, err := b.direct(p[:min(left, int64(len(p)))])
			if err != nil {
				return m, cutOff(err)
			}
			n = m
		}
	}
}

// small reports whether what is left of a chunk is little: then it is read into the
// buffer, for what is behind it to come along.
func (b *body) small(left int64, room int) bool {
	return b.call.request.ContentLength < 0 && left < bufferSize && left < int64(room)
}

// direct reads what is certain to be data past the buffer.
func (b *body) direct(p []byte) (int, error) {
	c := b.call.conn
	if c.later != nil {
		return 0, c.later
	}
	c.beginRead()
	n, err := c.wire.Read(p)
	c.endRead()
	c.scanner.Pass(n)
	if n > 0 {
		c.later, err = err, nil
	}
	return n, err
}

// frame passes over what is between the data.
func (b *body) frame() error {
	c := b.call.conn
	window := c.input.window()
	if len(window) == 0 || c.scanner.Left() > 0 || c.scanner.Done() {
		return nil
	}
	n, bad := c.scanner.Frame(window)
	if bad != nil {
		return bad
	}
	if c.scanner.Done() {
		b.trailers(window)
	}
	if n > 0 {
		c.input.use(n, &c.scanner)
	}
	return nil
}

// trailers gives the request what came behind its body.
func (b *body) trailers(window []byte) {
	r := &b.call.request
	for _, f := range b.call.conn.scanner.Fields() {
		name := window[f.Name:f.NameEnd]
		canonicalize(name)
		if r.Trailer == nil {
			r.Trailer = make(http.Header)
		}
		r.Trailer[string(name)] = append(r.Trailer[string(name)], string(window[f.Value:f.ValueEnd]))
	}
}

// cutOff is the error of a body that ends before its end.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// abandons reports that the client need not send all that it announced: it asked
// whether to, and was not told so, or it is so much that nobody will read it to its
// end. It is asked when the answer has its status.
func (b *body) abandons() bool {
	return b.call != nil && (b.call.answer.expected || !b.begun.Load() && b.call.request.ContentLength > maxDiscard)
}

// discard reads the rest, within bounds, when the handler has returned. It
// reports that the next request can be read.
func (b *body) discard() bool {
	if b.call == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	c := b.call.conn
	switch {
	case c.scanner.Done():
		return true
	case b.call.answer.closes || b.err != nil:
		return false
	}
	c.readUntil(discardTime)
	scratch := c.server.outputs.get()
	defer c.server.outputs.put(scratch)
	for n := 0; n < maxDiscard; {
		m, err := b.read(scratch.bytes[:cap(scratch.bytes)])
		if n += m; err != nil {
			return err == io.EOF
		}
	}
	return false
}
