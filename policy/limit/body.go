package limit

import (
	"io"
	"sync/atomic"
)

// A body holds the slot of its call until it is closed.
type body struct {
	io.ReadCloser
	slots  slots
	closed atomic.Bool
}

// Close closes the body, and the first time gives back the slot.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		defer b.slots.release()
	}
	return b.ReadCloser.Close()
}

// A duplexBody is that of a 101: net/http hands the connection over in it.
type duplexBody struct {
	body
	io.Writer
}

// A halfCloser can end its sending side alone, as a tunnel has to.
type halfCloser interface{ CloseWrite() error }

type halfClosingBody struct {
	*duplexBody
	halfCloser
}

// holdUntilClose returns inner such that Close releases t. It can do what inner can. A body
// that is missing is closed already.
func holdUntilClose(inner io.ReadCloser, t *turn) io.ReadCloser {
	if inner == nil {
		t.release()
		return nil
	}
	w, duplex := inner.(io.Writer)
	if !duplex {
		return &body{ReadCloser: inner, slots: t.slots}
	}
	b := &duplexBody{body: body{ReadCloser: inner, slots: t.slots}, Writer: w}
	if half, ok := inner.(halfCloser); ok {
		return &halfClosingBody{duplexBody: b, halfCloser: half}
	}
	return b
}
