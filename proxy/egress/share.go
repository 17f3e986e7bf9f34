package egress

import (
	"context"
	"time"
)

// dialAlone dials for one call, on its goroutine and with its context. An
// authority known for HTTP/1.1 may have learned HTTP/2 since: then the
// connection is everybody's. Entered and left with t.mu held.
func (t *Transport) dialAlone(ctx context.Context, k key, a *authority, upgrade bool) (*conn, *h2conn, error) {
	t.mu.Unlock()
	c, err := t.dial(ctx, k, !upgrade)
	if err == nil && c.isHTTP2() {
		err = t.startHTTP2(c)
	}
	t.mu.Lock()
	if err != nil {
		return nil, nil, err
	}
	if c.isHTTP2() {
		err := t.adopt(a, c)
		return nil, a.reserve(), err
	}
	if !upgrade {
		a.protocol = http1
	}
	c.taken = t.now()
	return c, nil, nil
}

// waitForHTTP2 returns nil when it is worth choosing again: a shared dial has
// ended, or a stream has become free. Entered and left with t.mu held.
//
// The first calls to an https authority cannot know whether they will share
// one HTTP/2 connection or need one each. They wait for one dial to tell.
func (t *Transport) waitForHTTP2(ctx context.Context, k key, a *authority) error {
	if a.dialing == nil && (a.settling() || len(a.http2) >= t.settings.MaxHTTP2PerHost && !t.discount(a)) {
		return t.waitForStream(ctx, k, a)
	}
	d := a.dialing
	if d == nil {
		d = t.shareDial(k, a)
	}
	d.waiters++
	t.mu.Unlock()
	var err error
	select {
	case <-d.done:
		err = d.err
	case <-ctx.Done():
		err = &Error{Kind: Canceled, Addr: k.addr(), While: d.progress.String(), Err: causeOf(ctx)}
	}
	t.mu.Lock()
	d.waiters--
	if t.closed && d.waiters == 0 {
		a.cancelDial(d)
	}
	return err
}

// cancelDial ends a dial that nobody waits for any more. Whoever comes now
// starts another. t.mu is held.
func (a *authority) cancelDial(d *sharedDial) {
	d.cancel()
	if a.dialing == d {
		a.dialing = nil
	}
}

// shareDial starts a dial that belongs to no call: it has its own timeouts and
// goes on when the call that needed it leaves. (For the same reason the call's
// httptrace hooks hear nothing of it.) t.mu is held.
func (t *Transport) shareDial(k key, a *authority) *sharedDial {
	d := &sharedDial{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), progressKey{}, &d.progress))
	d.cancel = cancel
	a.dialing = d
	go func() {
		defer cancel()
		c, err := t.dial(ctx, k, true)
		if err == nil && c.isHTTP2() {
			err = t.startHTTP2(c)
		}
		t.settle(a, d, c, err)
	}()
	return d
}

// settle hands the result of a shared dial to whoever waits.
func (t *Transport) settle(a *authority, d *sharedDial, c *conn, err error) {
	t.mu.Lock()
	d.err = err
	if a.dialing == d {
		a.dialing = nil
	}
	unwanted := false
	if err == nil {
		unwanted = t.closed && d.waiters == 0
		switch {
		case c.isHTTP2():
			d.err = t.adopt(a, c)
		case !unwanted:
			a.protocol = http1
			t.rest(a, c, t.now(), t.settings.IdleConnTimeout)
		}
	}
	close(d.done)
	t.tidy(a)
	t.mu.Unlock()
	if unwanted {
		c.close()
	}
}

// waitForStream waits until a stream may have become free. The library says
// nothing when the peer raises its limit or confirms a reset; so it is asked
// again from time to time.
func (t *Transport) waitForStream(ctx context.Context, k key, a *authority) error {
	const ask = 50 * time.Millisecond
	if a.freed == nil {
		a.freed = make(chan struct{})
	}
	freed := a.freed
	t.mu.Unlock()
	timer := time.NewTimer(ask)
	defer timer.Stop()
	var err error
	select {
	case <-freed:
	case <-timer.C:
	case <-ctx.Done():
		err = &Error{Kind: Canceled, Addr: k.addr(), Err: causeOf(ctx)}
	}
	t.mu.Lock()
	return err
}

// wake sends those who wait for a stream to choose again. t.mu is held.
func (a *authority) wake() {
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}
