package breaker

import (
	"context"
	"net/http"
	"sync/atomic"
)

// A Room is memory for what one attempt needs here. Who makes the context of a call may
// have it there, under RoomKey, beside what the call needs itself: that is an allocation
// less. It is used once, by the first attempt that comes with it.
type Room struct {
	taken atomic.Bool
	wait  wait
	watched
}

// RoomKey is what a context is asked for that has a Room, and by which Begun knows the
// attempt.
type RoomKey struct{}

// An attempt is one that may become overdue, and for which there is no room above: a
// context with its own, and its request, together.
type attempt struct {
	context.Context
	room    Room
	request http.Request
}

// Value gives the room, besides what the context of the request has.
func (a *attempt) Value(key any) any {
	if key == (RoomKey{}) {
		return &a.room
	}
	return a.Context.Value(key)
}

// room gives that of the attempt of a permit, and the request with it. It is nil where there
// is none above, and nothing waits for the attempt.
func room(req *http.Request, p *permit) (*Room, *http.Request) {
	ctx := req.Context()
	if r, ok := ctx.Value(RoomKey{}).(*Room); ok && !r.taken.Swap(true) {
		return r, req
	}
	if p.patience == 0 {
		return nil, req
	}
	return newRoom(ctx, req)
}

// newRoom is room where there is none above.
func newRoom(ctx context.Context, req *http.Request) (*Room, *http.Request) {
	a := &attempt{Context: ctx}
	a.room.taken.Store(true)
	a.request = *req.WithContext(a)
	return &a.room, &a.request
}
