package policy

import (
	"io"
	"sync/atomic"
)

// A closingBody is a body that ends something, once, when it is closed.
type closingBody struct {
	io.ReadCloser
	closed atomic.Bool
}

// close closes the body, and reports whether it is the first time: then what ends with it is
// to end.
func (b *closingBody) close() (first bool, err error) {
	err = b.Close()
	return !b.closed.Swap(true), err
}

// answerBody is the body of the answer to a call, which ends with it.
type answerBody bounded

// Read reads what the attempt got.
func (b *answerBody) Read(p []byte) (int, error) { return b.body.Read(p) }

// Close ends the call.
func (b *answerBody) Close() error {
	first, err := b.body.close()
	if first {
		(*bounded)(b).over()
	}
	return err
}

// attemptBody is the body of the answer to an attempt, which ends with it, and with a
// silence of the body.
type attemptBody try

// Read counts from its own beginning, so that a slow client of ours, which delays the next
// read, is not taken for a silent upstream.
func (b *attemptBody) Read(p []byte) (int, error) {
	if b.waiting.Load() == noEnd {
		return b.body.Read(p)
	}
	b.waiting.Store(unwatched)
	if b.clock.runs() {
		b.waiting.CompareAndSwap(unwatched, int64(b.clock.now()))
	}
	n, err := b.body.Read(p)
	if b.waiting.Swap(nobody) == noEnd { // it was closed meanwhile
		b.waiting.Store(noEnd)
	}
	return n, err
}

// Close ends the attempt.
func (b *attemptBody) Close() error {
	first, err := b.body.close()
	if first {
		(*try)(b).over()
	}
	return err
}

// whole gives a body that can do all that inner can, which is read and closed by way of it.
func whole(body, inner io.ReadCloser) io.ReadCloser {
	if conn, ok := inner.(io.ReadWriteCloser); ok {
		return &upgradedBody{body, conn}
	}
	return body
}

// upgradedBody is the connection that a 101 left us with: it can be written to,
// and closed for writing alone.
type upgradedBody struct {
	io.ReadCloser
	conn io.ReadWriteCloser
}

func (b *upgradedBody) Write(p []byte) (int, error) { return b.conn.Write(p) }

func (b *upgradedBody) CloseWrite() error {
	if half, ok := b.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.conn.Close()
}
