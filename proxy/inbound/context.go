package inbound

import (
	"context"
	"time"
)

// A call is a context.Context: it ends with the call, or before, when its client leaves.
// Most calls are over before anybody asks to be told of that. What package context needs
// to tell of it is made when somebody does.

// A teller tells of the end of a call, as package context does.
type teller struct {
	context.Context
	cancel context.CancelFunc
}

type callKey struct{}

// Value gives the values of the connection.
func (k *call) Value(key any) any {
	if key == (callKey{}) {
		return k
	}
	if t := k.teller.Load(); t != nil { // as which package context knows the call
		return t.Value(key)
	}
	return k.conn.ctx.Value(key)
}

// Deadline says that there is none.
func (k *call) Deadline() (at time.Time, ok bool) { return at, false }

// Done is closed at the end.
func (k *call) Done() <-chan struct{} {
	t := k.teller.Load()
	if t == nil {
		made := &teller{}
		made.Context, made.cancel = context.WithCancel(k.conn.ctx)
		if t = made; !k.teller.CompareAndSwap(nil, made) {
			made.cancel()
			t = k.teller.Load()
		}
		k.conn.hurry()
	}
	if k.over.Load() { // which whoever ended it, or made the teller, may be about to tell
		t.cancel()
	}
	return t.Done()
}

// Err is context.Canceled from the end on. By then, Done is closed.
func (k *call) Err() error {
	if !k.over.Load() {
		return nil
	}
	k.end()
	return context.Canceled
}

// end ends the context. Whoever makes the teller meanwhile sees that it is over.
func (k *call) end() {
	k.over.Store(true)
	if t := k.teller.Load(); t != nil {
		t.cancel()
	}
}
