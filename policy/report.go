package policy

import (
	"context"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

// An attempt is told by its transport what becomes of its request. Its context has the
// methods for that, which are the hooks of package httptrace by name and kind. A transport
// that does not know of them finds the hooks themselves, which are made when it asks.

// GotConn notes the connection that the attempt uses.
func (t *try) GotConn(info httptrace.GotConnInfo) { t.Attempt.connected(info) }

// WroteHeaders notes that the request has reached the wire.
func (t *try) WroteHeaders() {
	number := int32(1)
	if t.call != nil {
		number = t.call.sent.Add(1)
	}
	t.number.Store(number)
}

// Got1xxResponse passes an informational response on.
func (t *try) Got1xxResponse(code int, header textproto.MIMEHeader) error {
	return t.call.inform(code, header, t.guard)
}

// GotBody notes that the body of the answer has begun to come.
func (t *try) GotBody() { t.came = true }

// Departed is when the attempt began.
func (t *try) Departed() time.Time { return t.Start }

// trace are the hooks, and with them those of who listens above.
func (t *try) trace() any {
	ctx := httptrace.WithClientTrace(t.Context, &httptrace.ClientTrace{
		GotConn: t.GotConn, WroteHeaders: t.WroteHeaders, Got1xxResponse: t.Got1xxResponse,
	})
	return httptrace.ContextClientTrace(ctx)
}

// traceKey is what a transport asks a context for that looks for hooks.
var traceKey = keyAsked(func(ctx context.Context) { httptrace.ContextClientTrace(ctx) })
