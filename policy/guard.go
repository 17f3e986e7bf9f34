package policy

import (
	"context"
	"net/http"
	"net/textproto"

	"outrider/policy/auth"
)

// guard notes what the responses to the next attempt of a call must not show.
func guard(ctx context.Context, g *auth.Guard) {
	if call := CallFrom(ctx); call != nil {
		call.guard.Store(g)
	}
}

// guarded is what the responses to the attempt that begins must not show. nil: it
// carries no secret.
func (c *Call) guarded() *auth.Guard {
	if c == nil {
		return nil
	}
	return c.guard.Load()
}

// inform passes an informational response on. Those do not come back through the
// chain, whose auth stage takes the secret out of the final one.
func (c *Call) inform(code int, header textproto.MIMEHeader, guard *auth.Guard) error {
	if c == nil || c.Inform == nil {
		return nil
	}
	if guard != nil {
		guard.Scrub(http.Header(header))
	}
	return c.Inform(code, header)
}
