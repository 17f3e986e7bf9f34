package inbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"outrider/proxy/framing"
)

// usualFields is how many fields a request may have for their values to need no
// memory of their own.
const usualFields = 12

// A call is one request until its answer has ended, and the context of that request. It
// is one allocation, made anew for every call: handlers and what they start may look at a
// request for long.
type call struct {
	conn    *conn
	request http.Request
	url     url.URL
	values  [usualFields]string
	body    body
	answer  answer

	over   atomic.Bool            // the context has ended
	teller atomic.Pointer[teller] // tells of that; nil: nobody asked

	violation *framing.Error                // in its head: there is no request
	refused   atomic.Pointer[framing.Error] // in its body
	lingers   atomic.Bool                   // see Linger
	detached  func() bool                   // forgets the server's base; nil: Detach was not called
}

// exchange serves one request. It reports whether another may follow.
func (c *conn) exchange() (again bool) {
	k := c.receive()
	if k == nil {
		return false
	}
	c.call.Store(k)
	if c.server.ended.Load() {
		k.end() // that came too late to end it
	}
	if k.violation == nil && c.scanner.Done() {
		c.server.young.add(c) // nobody else reads
	}
	whole := k.serve()
	if !whole {
		_ = c.wire.Close() // first: a body may be read still
	}
	_ = k.body.Close()
	c.call.Store(nil)
	k.end()
	c.unwatch()
	if k.detached != nil {
		k.detached()
		return false
	}
	if !k.answer.finish(whole) {
		c.state.Store(stateOver)
		_ = c.wire.Close()
		return false
	}
	rest := k.violation == nil && k.body.discard()
	if rest && !k.answer.closes {
		return true
	}
	if !rest || k.violation != nil || k.lingers.Load() || c.input.some() {
		c.depart()
	}
	return false
}

// serve calls the handler. It reports whether that came to its end.
func (k *call) serve() (whole bool) {
	defer func() {
		if defect := recover(); defect != nil && defect != http.ErrAbortHandler {
			k.conn.server.log("a handler met a defect: %v\n%s", defect, debug.Stack())
		}
	}()
	k.conn.server.Handler.ServeHTTP(&k.answer, &k.request)
	return true
}

// of is the call that a request is of; nil if it did not come through a Server.
func of(r *http.Request) *call {
	k, _ := r.Context().Value(callKey{}).(*call)
	return k
}

// Violation reports whether r stands in for a request whose head was refused, and
// why. The handler answers with the error's Status and serves nothing else; the
// connection ends with that answer by itself.
func Violation(r *http.Request) (*framing.Error, bool) {
	k := of(r)
	if k == nil || k.violation == nil {
		return nil, false
	}
	return k.violation, true
}

// Refused returns the violation that was met inside of the body of r, if any. The
// context of r ends with it, and whoever hears of that first can learn here why.
func Refused(r *http.Request) (*framing.Error, bool) {
	k := of(r)
	if k == nil {
		return nil, false
	}
	bad := k.refused.Load()
	return bad, bad != nil
}

// Linger has the connection of r, where it ends with the answer, give its client a
// moment to read that. It is for an answer that overtakes its request: the client
// is still sending.
func Linger(r *http.Request) {
	if k := of(r); k != nil {
		k.lingers.Store(true)
	}
}

// Detach takes a connection away from the server, for the handler whose
// ResponseWriter w is, and who has not begun an answer. early is what came behind
// the request and was read already. conn is the connection that the listener gave,
// without deadlines, so that what the kernel can do with that still works.
// A body must have been read to io.EOF before.
func Detach(w http.ResponseWriter) (early []byte, conn net.Conn, err error) {
	a, ok := w.(*answer)
	if !ok {
		return nil, nil, errors.New("the request did not come through this server")
	}
	k, c := a.call, a.call.conn
	switch {
	case k.detached != nil:
		return nil, nil, http.ErrHijacked
	case a.begun():
		return nil, nil, errors.New("an answer has begun")
	case !c.scanner.Done():
		return nil, nil, errors.New("the body of the request was not read to its end")
	}
	c.unwatch()
	early = slices.Clone(c.input.window())
	c.input.release(&c.scanner)
	k.detached = context.AfterFunc(c.server.Base, k.end) // the server will not know this call any longer
	c.state.Store(stateOver)
	c.server.forget(c)
	_ = c.wire.SetDeadline(time.Time{})
	return early, c.wire, nil
}
