package auth

import (
	"context"
	"net/http"
	"sync/atomic"
)

// A Room is memory for the request of one attempt, and for what its response needs. Who
// makes the context of a call may have it there, under RoomKey, beside what the call needs
// itself: that is an allocation less. It is used once.
type Room struct {
	taken    atomic.Bool
	injected injected
}

// RoomKey is what a context is asked for that has a Room.
type RoomKey struct{}

// An Outer is a context with a Room that knows that of the attempt which a request becomes:
// it gets it here, so that nobody has to copy it again for that.
type Outer interface{ Inner() context.Context }

// Take gives the room to an attempt that carries no credential. nil: it is taken.
func (r *Room) Take() *http.Request {
	if r.taken.Swap(true) {
		return nil
	}
	return &r.injected.Request
}

// copied begins what is made of a request.
func copied(req *http.Request) *injected {
	ctx := req.Context()
	r, _ := ctx.Value(RoomKey{}).(*Room)
	if r == nil || r.Take() == nil {
		return &injected{Request: *req}
	}
	if outer, ok := ctx.(Outer); ok {
		req = req.WithContext(outer.Inner())
	}
	r.injected.Request = *req
	return &r.injected
}
