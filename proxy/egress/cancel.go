package egress

import (
	"context"
	"time"
)

// The end of a context is turned into a deadline in the past, which wakes
// every read and write of the connection. No goroutine waits for it.

// past is a deadline that is over.
var past = time.Unix(1, 0)

// watch begins to follow the call's context.
func (ex *exchange) watch() {
	if ex.unwatch == nil && ex.ctx.Done() != nil {
		ex.unwatch = context.AfterFunc(ex.ctx, ex.cancel)
	}
}

// cancel runs on a goroutine of its own when the context has ended.
func (ex *exchange) cancel() {
	ex.mu.Lock()
	ex.canceled = true
	c := ex.c
	if c != nil {
		_ = c.wire.SetDeadline(past)
	}
	ex.mu.Unlock()
	if c == nil && ex.inline {
		// Perhaps the inline body is being read: only its Close ends that.
		closeBody(ex.req)
	}
}

// attach gives the call its connection, which is canceled at once if the
// context is.
func (ex *exchange) attach(c *conn) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.c = c
	if ex.canceled {
		_ = c.wire.SetDeadline(past)
	}
}

// detach stops following the context. It returns false if the context has
// ended: then the connection's deadline is, or is about to be, in the past.
func (ex *exchange) detach() bool { return ex.unwatch == nil || ex.unwatch() }

func (ex *exchange) isCanceled() bool {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	return ex.canceled
}

// setReadDeadline moves the read deadline, unless the call is canceled.
func (ex *exchange) setReadDeadline(at time.Time) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if !ex.canceled {
		_ = ex.c.wire.SetReadDeadline(at)
	}
}

// setWriteDeadline moves the write deadline, unless the call is canceled.
func (ex *exchange) setWriteDeadline(at time.Time) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if !ex.canceled {
		_ = ex.c.wire.SetWriteDeadline(at)
	}
}

// interrupt wakes a Read that is in progress, for Close.
func (ex *exchange) interrupt() {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.canceled = true
	_ = ex.c.wire.SetDeadline(past)
}
