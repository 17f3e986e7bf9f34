package limit

import (
	"context"
	"io"
	"sync/atomic"
)

// A Room is memory for what one attempt needs here. Who makes the context of a call may
// have it there, under RoomKey, beside what the call needs itself: that is an allocation
// less. It is used once, by the first attempt that comes with it.
type Room struct {
	taken atomic.Bool
	body  body
}

// RoomKey is what a context is asked for that has a Room.
type RoomKey struct{}

// roomFor gives room for a body.
func roomFor(ctx context.Context) *body {
	if r, ok := ctx.Value(RoomKey{}).(*Room); ok && !r.taken.Swap(true) {
		return &r.body
	}
	return new(body)
}

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

// holdUntilClose returns inner such that Close releases t, the turn of a call with this
// context. It can do what inner can. A body that is missing is closed already.
func holdUntilClose(ctx context.Context, inner io.ReadCloser, t *turn) io.ReadCloser {
	if inner == nil {
		t.release()
		return nil
	}
	w, duplex := inner.(io.Writer)
	if !duplex {
		b := roomFor(ctx)
		b.ReadCloser, b.slots = inner, t.slots
		return b
	}
	b := &duplexBody{body: body{ReadCloser: inner, slots: t.slots}, Writer: w}
	if half, ok := inner.(halfCloser); ok {
		return &halfClosingBody{duplexBody: b, halfCloser: half}
	}
	return b
}
