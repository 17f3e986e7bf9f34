package policy

import (
	"io"
	"sync/atomic"
)

// An ender is told that the body of its response is closed.
type ender interface{ over() }

// A closingBody ends something, once, when it is closed.
type closingBody struct {
	io.ReadCloser
	ender  ender
	closed atomic.Bool
}

// around makes b the body of a response whose end is e's, and gives what can do all that
// body can.
func (b *closingBody) around(body io.ReadCloser, e ender) io.ReadCloser {
	b.ReadCloser, b.ender = body, e
	if conn, ok := body.(io.ReadWriteCloser); ok {
		return &upgradedBody{closingBody: b, conn: conn}
	}
	return b
}

// Close closes the body, and ends what ends with it.
func (b *closingBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.closed.Swap(true) {
		b.ender.over()
	}
	return err
}

// upgradedBody is the connection that a 101 left us with: it can be written to,
// and closed for writing alone.
type upgradedBody struct {
	*closingBody
	conn io.ReadWriteCloser
}

func (b *upgradedBody) Write(p []byte) (int, error) { return b.conn.Write(p) }

func (b *upgradedBody) CloseWrite() error {
	if half, ok := b.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.conn.Close()
}
