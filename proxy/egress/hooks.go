package egress

import (
	"context"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// A Listener is told of a request on its way, as the hooks of net/http/httptrace
// of the same names are. A request's context may be one: it is found sooner, and
// costs nothing to make.
type Listener interface {
	GotConn(info httptrace.GotConnInfo)
	WroteHeaders()
	Got1xxResponse(code int, header textproto.MIMEHeader) error
	// GotBody tells, before RoundTrip returns, that a part of the body came together
	// with its head: the first Read will not wait. Over HTTP/2 nobody knows that.
	GotBody()
	// Departed is when the request was on its way to RoundTrip: the clock, just read.
	// The zero time: it is to be read here.
	Departed() time.Time
}

// listen finds out who listens: the context, or the hooks that it carries.
func (ex *exchange) listen() {
	ctx, is := ex.ctx().(Listener)
	if is {
		ex.listener = ctx
		return
	}
	ex.listenToHooks()
}

func (ex *exchange) listenToHooks() {
	if trace := httptrace.ContextClientTrace(ex.ctx()); trace != nil {
		ex.listener = hooks{trace}
	}
}

// trace are the hooks that no Listener has; nil: there are none.
func (ex *exchange) trace() *httptrace.ClientTrace {
	h, _ := ex.listener.(hooks)
	return h.set
}

// departed is now, without a look at the clock for a call that has just come and has
// waited for nothing.
func (ex *exchange) departed() time.Duration {
	if ex.listener != nil && !ex.prepared.Load() {
		if at := ex.listener.Departed(); !at.IsZero() {
			return at.Sub(ex.t.made)
		}
	}
	return ex.t.now()
}

// hooks are those that somebody has set.
type hooks struct{ set *httptrace.ClientTrace }

// GotConn implements Listener.
func (h hooks) GotConn(info httptrace.GotConnInfo) {
	if h.set.GotConn != nil {
		h.set.GotConn(info)
	}
}

// WroteHeaders implements Listener.
func (h hooks) WroteHeaders() {
	if h.set.WroteHeaders != nil {
		h.set.WroteHeaders()
	}
}

// Got1xxResponse implements Listener.
func (h hooks) Got1xxResponse(code int, header textproto.MIMEHeader) error {
	if h.set.Got1xxResponse != nil {
		return h.set.Got1xxResponse(code, header)
	}
	return nil
}

// GotBody implements Listener: no hook is for that.
func (h hooks) GotBody() {}

// Departed implements Listener: no hook says that.
func (h hooks) Departed() time.Time { return time.Time{} }

// afterFunc is context.AfterFunc, which asks contexts that know a shorter way
// only through wrappings of its own.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}
