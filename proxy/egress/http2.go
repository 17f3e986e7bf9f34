package egress

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"time"

	"golang.org/x/net/http2"
)

// newHTTP2 sets up the library's connections. Only NewClientConn of it is
// used: its RoundTrip has a pool of its own and sends requests again.
func newHTTP2(s Settings) (*http2.Transport, error) {
	// The library knows Expect: 100-continue only through a net/http Transport
	// that it is configured from. This one never dials.
	t, err := http2.ConfigureTransports(&http.Transport{ExpectContinueTimeout: s.ExpectContinueTimeout})
	if err != nil {
		return nil, err
	}
	t.DisableCompression = true
	t.MaxHeaderListSize = uint32(min(s.MaxHeaderBytes, math.MaxInt32))
	t.IdleConnTimeout = s.IdleConnTimeout
	t.ReadIdleTimeout = s.ReadIdleTimeout
	t.PingTimeout = 15 * time.Second
	t.WriteByteTimeout = 30 * time.Second
	return t, nil
}

// h2conn is one HTTP/2 connection. All but conn and cc is guarded by
// Transport.mu.
type h2conn struct {
	conn    *conn
	cc      *http2.ClientConn
	streams int  // calls that hold it
	used    bool // by any call
	settled bool // the peer's first SETTINGS have arrived
	retired bool // takes no new calls
}

// startHTTP2 sends the preface and starts the library's read loop.
func (t *Transport) startHTTP2(c *conn) error {
	var cc *http2.ClientConn
	library, err := t.http2()
	if err == nil {
		cc, err = library.NewClientConn(c.nc)
	}
	if err != nil {
		c.abort()
		return &Error{Kind: Reset, Addr: c.key.addr(), Err: err}
	}
	c.h2 = cc
	return nil
}

// adopt makes an HTTP/2 connection available to all. t.mu is held.
func (t *Transport) adopt(a *authority, c *conn) error {
	a.protocol = http2x
	if c.dead {
		return &Error{Kind: Reset, Addr: c.key.addr(), Err: errors.New("the peer closed the new HTTP/2 connection")}
	}
	h := &h2conn{conn: c, cc: c.h2}
	a.http2 = append(a.http2, h)
	go t.awaitSettings(h)
	return nil
}

// awaitSettings opens a connection to more than one call when it is known how
// many streams the peer takes; before, the library would guess, and what is too
// many be refused. SETTINGS are the first that a peer says (RFC 9113 §3.4), so
// that the answer to a PING comes after them. It ends with the connection at
// the latest.
func (t *Transport) awaitSettings(h *h2conn) {
	ctx, cancel := context.WithTimeout(context.Background(), t.settings.TLSTimeout)
	defer cancel()
	_ = h.cc.Ping(ctx) // an error shows in the calls
	t.mu.Lock()
	h.settled = true
	h.conn.home.wake()
	t.tidy(h.conn.home)
	t.mu.Unlock()
}

// reserve takes a stream of a connection that has one free; the last dialled
// connection first, so that earlier ones fall idle. ReserveNewRequest looks at
// the peer's SETTINGS_MAX_CONCURRENT_STREAMS and at GOAWAY, and takes no lock
// that is held across network writes. t.mu is held.
func (a *authority) reserve() *h2conn {
	for i := len(a.http2) - 1; i >= 0; i-- {
		h := a.http2[i]
		if !h.retired && (h.settled || h.streams == 0) && h.cc.ReserveNewRequest() {
			h.streams++
			return h
		}
	}
	return nil
}

// settling reports that a connection will soon say how many streams it has.
// t.mu is held.
func (a *authority) settling() bool {
	for _, h := range a.http2 {
		if !h.settled && !h.retired {
			return true
		}
	}
	return false
}

// discount takes connections that will never have a free stream again (GOAWAY)
// off the list, and reports whether it found one. It gives t.mu up meanwhile:
// State waits for a write in progress.
func (t *Transport) discount(a *authority) bool {
	all := append([]*h2conn(nil), a.http2...)
	t.mu.Unlock()
	ended := make(map[*h2conn]bool)
	for _, h := range all {
		if s := h.cc.State(); s.Closed || s.Closing {
			ended[h] = true
		}
	}
	t.mu.Lock()
	kept := a.http2[:0:0]
	for _, h := range a.http2 {
		if ended[h] {
			h.retired = true
		} else {
			kept = append(kept, h)
		}
	}
	a.http2 = kept
	return len(ended) > 0
}

// retire has a connection take no new calls. Those under way end as they would, and it
// with the last of them.
func (t *Transport) retire(h *h2conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := h.conn.home
	h.retired = true
	a.http2 = slices.DeleteFunc(slices.Clone(a.http2), func(other *h2conn) bool { return other == h })
	a.wake()
}

// release ends a call's hold on a connection.
func (t *Transport) release(h *h2conn) {
	t.mu.Lock()
	h.streams--
	closing := h.streams == 0 && (t.closed || h.retired)
	h.retired = h.retired || closing
	h.conn.home.wake()
	t.tidy(h.conn.home)
	t.mu.Unlock()
	if closing {
		h.cc.Close()
	}
}

// roundTripHTTP2 sends the request as a stream. A connection that turns out
// unusable before anything was written or read of the request (the peer's
// first SETTINGS allow fewer streams than assumed, or it has just said GOAWAY)
// is exchanged for another: that is choosing late, not sending twice.
func (ex *exchange) roundTripHTTP2(h *h2conn) (*http.Response, error) {
	body := ex.http2Body()
	for {
		s := newStream(ex, h, body)
		resp, err := h.cc.RoundTrip(s.request())
		if err == nil {
			if err = s.judge(resp); err == nil {
				return s.deliver(resp), nil
			}
		}
		ex.t.release(h)
		if !isUnusable(err) || s.wrote.Load() || ex.ctx().Err() != nil || !body.untouched() {
			return nil, s.fail(err)
		}
		c, next, err := ex.t.acquire(ex)
		if err == nil && c != nil {
			// The authority went back to HTTP/1.1 this very moment.
			ex.t.put(ex)
			err = &Error{Kind: Reset, Addr: ex.key.addr(), Err: errors.New(textUnusable)}
		}
		if err != nil {
			body.stop()
			return nil, err
		}
		h = next
	}
}
