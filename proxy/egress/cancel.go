package egress

import (
	"slices"
	"time"
)

// The end of a context is turned into a deadline in the past, which wakes
// every read and write of the connection. No goroutine waits for it.

// past is a deadline that is over.
var past = time.Unix(1, 0)

// late is when a call begins to follow its context, which costs five allocations
// and two locks that others want too, and a goroutine that watches the client: most
// are over by then. A context with a deadline that is near is followed as soon as a
// request without a body, or with a large one, is on its way, and before a small body is
// read; so is one that may end by a clock of its own by then and says so by a
// method Earliest; any other that ends early is noticed after twice this time at the
// latest, and so is any that ends while the first write blocks.
const late = 100 * time.Millisecond

// begins gives the call its connection, which is canceled at once if the context is:
// it may be the second. t.mu is held.
func (t *Transport) begins(c *conn, ex *exchange) {
	if ex.c = c; ex.canceled.Load() {
		_ = c.wire.SetDeadline(past)
	}
	if c.young = ex; !c.lookedAt {
		t.lookAt(c)
	}
}

// lookAt has the follower look at c, until it finds no young call there: most that come
// soon find c looked at already. t.mu is held.
func (t *Transport) lookAt(c *conn) {
	c.lookedAt = true
	t.busy = append(t.busy, c)
	switch {
	case t.follower == nil:
		t.follower = time.AfterFunc(late, t.follow)
	case !t.following:
		t.follower.Reset(late)
	}
	t.following = true
}

// follow has the calls that are not young any more follow their contexts, and
// comes back for the others.
func (t *Transport) follow() {
	now := t.now()
	var grown []*exchange
	t.mu.Lock()
	t.busy = slices.DeleteFunc(t.busy, func(c *conn) bool {
		if c.young != nil && now-c.taken >= late {
			grown = append(grown, c.young)
			c.young = nil
		}
		c.lookedAt = c.young != nil
		return !c.lookedAt
	})
	if t.following = len(t.busy) > 0; t.following {
		t.follower.Reset(late)
	}
	t.mu.Unlock()
	for _, ex := range grown {
		ex.watch()
	}
}

// watchEarly follows, from now on, a context whose end would pass unnoticed. That end may
// have come near since the call had another connection than the one taken just now.
func (ex *exchange) watchEarly(taken time.Duration) {
	soon, ctx := ex.t.made.Add(taken+2*late), ex.ctx()
	at, ends := ctx.Deadline()
	own, may := ctx.(interface{ Earliest() time.Time })
	if ends && at.Before(soon) || may && own.Earliest().Before(soon) {
		ex.watch()
	}
}

// watch begins to follow the call's context, unless the call is over.
func (ex *exchange) watch() {
	if ex.ctx().Done() == nil {
		return
	}
	unwatch := afterFunc(ex.ctx(), ex.cancel)
	ex.t.mu.Lock()
	needed := !ex.detached && ex.unwatch == nil
	if needed {
		ex.unwatch = unwatch
	}
	ex.t.mu.Unlock()
	if !needed {
		unwatch()
	}
}

// cancel runs on a goroutine of its own when the context has ended.
func (ex *exchange) cancel() {
	ex.t.mu.Lock()
	if ex.detached {
		ex.t.mu.Unlock()
		return
	}
	ex.canceled.Store(true)
	_ = ex.c.wire.SetDeadline(past)
	ex.t.mu.Unlock()
	if ex.inline && !ex.prepared.Load() {
		// The inline body is being read: only its Close ends that.
		closeBody(ex.req)
	}
}

// detach stops following the context: if it ends from now on, that changes nothing.
func (ex *exchange) detach() {
	ex.t.mu.Lock()
	ex.detached = true
	unwatch := ex.unwatch
	ex.t.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
}

// setReadDeadline moves the read deadline, unless the call is canceled.
func (ex *exchange) setReadDeadline(at time.Time) {
	ex.t.mu.Lock()
	defer ex.t.mu.Unlock()
	if !ex.canceled.Load() {
		_ = ex.c.wire.SetReadDeadline(at)
	}
}

// setWriteDeadline moves the write deadline, unless the call is canceled.
func (ex *exchange) setWriteDeadline(at time.Time) {
	ex.t.mu.Lock()
	defer ex.t.mu.Unlock()
	if !ex.canceled.Load() {
		_ = ex.c.wire.SetWriteDeadline(at)
	}
}

// interrupt wakes a Read that is in progress, for Close. One that has come to the
// end of the body meanwhile needs no waking, and the connection may be another
// call's by then.
func (ex *exchange) interrupt() {
	ex.t.mu.Lock()
	defer ex.t.mu.Unlock()
	if ex.detached {
		return
	}
	ex.canceled.Store(true)
	_ = ex.c.wire.SetDeadline(past)
}
