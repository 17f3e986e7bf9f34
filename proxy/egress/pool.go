package egress

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// protocol is what an https authority has shown itself to speak.
type protocol uint8

const (
	unknown protocol = iota
	http1
	http2x
)

// authority holds the connections to one place. Guarded by Transport.mu, but for
// precedent. It lives as long as it has connections, a dial or a call that is choosing.
type authority struct {
	key      key
	protocol protocol
	conns    int         // open connections, busy or not
	choosing int         // calls inside acquire
	idle     []*conn     // HTTP/1.1, last used at the end
	http2    []*h2conn   // HTTP/2, in order of dialling
	dialing  *sharedDial // nil: none
	freed    chan struct{}

	precedent atomic.Pointer[precedent] // of its answers over HTTP/1.1; nil: none yet
}

// sharedDial is one dial that several calls wait for.
type sharedDial struct {
	done     chan struct{} // closed at the end
	err      error         // set before
	cancel   context.CancelFunc
	waiters  int
	progress progress
}

// at returns the authority of k. t.mu is held.
func (t *Transport) at(k key) *authority {
	if a := t.latest.Load(); a != nil && a.key == k {
		return a
	}
	return t.another(k)
}

// another is at for an authority that is not the one called last. t.mu is held.
func (t *Transport) another(k key) *authority {
	a := t.authorities[k]
	if a == nil {
		a = &authority{key: k}
		t.authorities[k] = a
	}
	t.latest.Store(a)
	return a
}

// tidy forgets an authority that nothing depends on. t.mu is held.
func (t *Transport) tidy(a *authority) {
	if a.conns == 0 && a.choosing == 0 && a.dialing == nil {
		t.drop(a)
	}
}

// drop forgets an authority, unless another one is in its place. t.mu is held.
func (t *Transport) drop(a *authority) {
	if t.authorities[a.key] == a {
		delete(t.authorities, a.key)
		t.latest.CompareAndSwap(a, nil)
	}
}

// acquire finds or makes a connection: the HTTP/1.1 connection that was used
// last, or a free stream of an HTTP/2 connection. The former is the caller's
// alone; whether it is still alive is for the caller to check.
func (t *Transport) acquire(ex *exchange) (c *conn, h *h2conn, err error) {
	now := ex.departed()
	t.mu.Lock()
	a := t.at(ex.key)
	if last := len(a.idle) - 1; last >= 0 && now < a.idle[last].expires && len(a.http2) == 0 && ex.ctx().Err() == nil {
		c = t.takeIdle(a, now) // as choose would
	} else {
		a.choosing++
		c, h, err = t.choose(ex, a, now)
		a.choosing--
	}
	if c != nil {
		t.begins(c, ex)
	}
	t.tidy(a)
	t.mu.Unlock()
	return c, h, err
}

// choose is entered and left with t.mu held, and gives it up while it waits.
func (t *Transport) choose(ex *exchange, a *authority, now time.Duration) (*conn, *h2conn, error) {
	ctx, k, upgrade := ex.ctx(), ex.key, ex.upgrade
	for ; ; now = t.now() {
		if ctx.Err() != nil {
			return nil, nil, &Error{Kind: Canceled, Addr: k.addr(), Err: causeOf(ctx)}
		}
		if !upgrade {
			if h := a.reserve(); h != nil {
				return nil, h, nil
			}
		}
		if c := t.popIdle(a, now); c != nil {
			return c, nil, nil
		}
		if !k.tls || upgrade || a.protocol == http1 {
			c, h, err := t.dialAlone(ctx, k, a, upgrade)
			if c != nil || err != nil {
				return c, nil, err
			}
			if h != nil {
				return nil, h, nil
			}
			continue
		}
		if err := t.waitForHTTP2(ctx, k, a); err != nil {
			return nil, nil, err
		}
	}
}

// popIdle takes the last used connection that has not outlived its time.
func (t *Transport) popIdle(a *authority, now time.Duration) *conn {
	for len(a.idle) > 0 {
		c := t.takeIdle(a, now)
		if now < c.expires {
			return c
		}
		t.mu.Unlock()
		c.close()
		t.mu.Lock()
	}
	return nil
}

// takeIdle takes the last used connection, which there is. t.mu is held.
func (t *Transport) takeIdle(a *authority, now time.Duration) *conn {
	last := len(a.idle) - 1
	c := a.idle[last]
	a.idle[last] = nil
	a.idle = a.idle[:last]
	t.idle--
	c.taken = now
	return c
}

// put ends the call's use of its connection, which returns to the pool or, if it can
// take no other call, is closed.
func (t *Transport) put(ex *exchange) {
	c := ex.c
	keep := t.settings.IdleConnTimeout
	if c.keepFor != 0 && c.keepFor < keep {
		keep = c.keepFor
	}
	t.mu.Lock()
	now := c.taken
	if c.young == nil {
		now = t.now() // the call has taken a while
	}
	c.young, ex.detached = nil, true
	unwatch, keeps := ex.unwatch, keep > 0 && t.keeps(c) && !ex.canceled.Load()
	if keeps {
		t.rest(c.home, c, now, keep)
	}
	t.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	if !keeps {
		c.close()
	}
}

// keeps reports that there is room for an unused connection. t.mu is held.
func (t *Transport) keeps(c *conn) bool {
	return !c.dead && !t.closed && len(c.home.idle) < t.settings.MaxIdlePerHost && t.idle < t.settings.MaxIdle
}

// rest puts an unused connection into the pool. t.mu is held.
func (t *Transport) rest(a *authority, c *conn, now, keep time.Duration) {
	c.rested, c.idleSince, c.expires = true, now, now+keep
	a.idle = append(a.idle, c)
	t.idle++
	if !t.sweeping || c.expires < t.sweepAt {
		t.armSweeper(now, c.expires)
	}
}

// armSweeper has the sweeper run at the given time.
func (t *Transport) armSweeper(now, at time.Duration) {
	t.sweepAt, t.sweeping = at, true
	if t.sweeper == nil {
		t.sweeper = time.AfterFunc(at-now, t.sweep)
	} else {
		t.sweeper.Reset(at - now)
	}
}

// sweep closes the idle connections whose time is over, and comes back when
// the next one's will be.
func (t *Transport) sweep() {
	var expired []*conn
	next := time.Duration(math.MaxInt64)
	now := t.now()
	t.mu.Lock()
	for _, a := range t.authorities {
		kept := a.idle[:0]
		for _, c := range a.idle {
			if now >= c.expires {
				expired = append(expired, c)
				continue
			}
			kept = append(kept, c)
			next = min(next, c.expires)
		}
		clear(a.idle[len(kept):])
		a.idle = kept
	}
	t.idle -= len(expired)
	t.sweeping = false
	if t.idle > 0 {
		// One second of patience collects connections that expire together.
		t.armSweeper(now, max(next, now+time.Second))
	}
	t.mu.Unlock()
	for _, c := range expired {
		c.close()
	}
}

// opened counts a connection in, until its socket closes.
func (t *Transport) opened(c *conn) {
	forget := func() { t.forget(c) }
	c.wire.onClose.Store(&forget)
	t.mu.Lock()
	c.home = t.at(c.key)
	c.home.conns++
	t.mu.Unlock()
	t.count(1)
}

// count tells who asks for how many connections are open.
func (t *Transport) count(more int64) {
	if t.settings.Open != nil {
		t.settings.Open.Add(more)
	}
}

// forget takes a closed connection out of the books.
func (t *Transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.young = nil
	a := c.home
	a.conns--
	t.count(-1)
	c.dead = true
	for i, h := range a.http2 {
		if h.conn == c {
			a.http2 = append(a.http2[:i:i], a.http2[i+1:]...)
			a.wake()
			break
		}
	}
	t.tidy(a)
}

// drain closes what is idle; for good it also stops keeping connections.
func (t *Transport) drain(forGood bool) {
	var unused []*conn
	t.mu.Lock()
	if forGood {
		t.closed = true
	}
	for _, a := range t.authorities {
		unused = append(unused, a.idle...)
		a.idle = nil
		for _, h := range a.http2 {
			if h.streams == 0 {
				h.retired = true
				unused = append(unused, h.conn)
			}
		}
		if d := a.dialing; d != nil && forGood && d.waiters == 0 {
			a.cancelDial(d)
		}
	}
	t.idle = 0
	if t.sweeper != nil {
		t.sweeper.Stop()
	}
	t.sweeping = false
	t.mu.Unlock()
	for _, c := range unused {
		c.close()
	}
}
