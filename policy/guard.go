package policy

import (
	"net/http"
	"net/textproto"

	"outrider/policy/auth"
)

// An Informer passes an informational response on.
type Informer interface {
	Inform(code int, header textproto.MIMEHeader) error
}

// inform passes an informational response on. Those do not come back through the
// chain, whose auth stage takes the secret out of the final one.
func (c *Call) inform(code int, header textproto.MIMEHeader, guard *auth.Guard) error {
	if c == nil || c.Informer == nil {
		return nil
	}
	if guard != nil {
		guard.Scrub(http.Header(header))
	}
	return c.Informer.Inform(code, header)
}
