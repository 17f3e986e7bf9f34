package auth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errMoved is met by a call that began before its connection was replaced by one at another
// host: it is on the way to where that was.
var errMoved = errors.New("the connection was replaced by one at another url after this call began; send it again")

// bound reports why a token must not be put into a request; nil: it may. One that has an
// Origin goes there and nowhere else, whoever has made the request.
func (t *Token) bound(req *http.Request) error {
	if t.Origin == "" || sameOrigin(t.Origin, req.URL) {
		return nil
	}
	return &UnavailableError{Err: errMoved, RetryAfter: time.Second}
}

// sameOrigin reports whether a URL is at an origin, which is written as config does:
// without the scheme's own port.
func sameOrigin(origin string, u *url.URL) bool {
	scheme, host, _ := strings.Cut(origin, "://")
	return scheme == u.Scheme && host == u.Host
}
