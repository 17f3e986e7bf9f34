package policy

import (
	"hash/maphash"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// tokenEnds are the ends of tokens, as answers say them.
type tokenEnds struct {
	some atomic.Bool // all that an answer without an end looks at while none is known

	mu    sync.Mutex
	known map[tokenKey]tokenEnd
}

// A tokenKey is a token of a credential, known by its hash. Callers that bring their own have
// several, and any other credential has one: another that is sent has taken its place.
type tokenKey struct {
	credential string
	hash       uint64
}

type tokenEnd struct{ end, last time.Time }

// tokenExpiry is where GitHub says when a personal access token ends.
const tokenExpiry = "Github-Authentication-Token-Expiration" //nolint:gosec // G101: the name of a header

// see notes what an answer says of the token that its request carried; "": nothing.
func (t *tokenEnds) see(credential string, req *http.Request, said string, now time.Time) {
	if said == "" && !t.some.Load() {
		return
	}
	end := tokenTime(said)
	k := tokenKey{credential, maphash.String(keySeed, req.Header.Get("Authorization"))}
	t.mu.Lock()
	defer t.mu.Unlock()
	if credential != "passthrough" {
		for other := range t.known {
			if other.credential == credential && other != k {
				delete(t.known, other)
			}
		}
	}
	if _, known := t.known[k]; !end.IsZero() && (known || len(t.known) < maxSightings) {
		if t.known == nil {
			t.known = make(map[tokenKey]tokenEnd)
		}
		t.known[k] = tokenEnd{end, now}
	}
	t.some.Store(len(t.known) > 0)
}

// tokenTime reads the end of a token; zero if it is none.
func tokenTime(text string) time.Time {
	for _, form := range []string{"2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// first gives for each credential the end of that of its tokens that ends first, of those
// that were in use of late.
func (t *tokenEnds) first(now time.Time) map[string]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	ends := make(map[string]time.Time)
	for k, token := range t.known {
		if now.Sub(token.last) >= noticeLasts {
			delete(t.known, k)
			continue
		}
		if end, other := ends[k.credential]; !other || token.end.Before(end) {
			ends[k.credential] = token.end
		}
	}
	return ends
}
