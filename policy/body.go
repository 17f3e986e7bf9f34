package policy

import (
	"io"
	"sync"
)

// onClose runs release once, when the body is closed.
func onClose(body io.ReadCloser, release func()) io.ReadCloser {
	b := &closingBody{ReadCloser: body, release: release}
	if upgraded, ok := body.(io.ReadWriteCloser); ok {
		return &upgradedBody{closingBody: b, conn: upgraded}
	}
	return b
}

type closingBody struct {
	io.ReadCloser
	once    sync.Once
	release func()
}

func (b *closingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.release)
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
