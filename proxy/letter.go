package proxy

import (
	"fmt"
	"net/http"

	"outrider/policy"
	"outrider/proxy/outbox"
)

// Bounds of what a caller says of its letter, in bytes.
const (
	longestKey      = 255
	longestCallback = 2048
)

// letterOf is what a letter has of a request that is ready to go out: what it says, and
// nothing that gives access. The credential comes when it is sent, and what of it the
// caller left for us to replace stays behind. One that the caller brought for itself is
// refused: it would be kept, and be sent when it is long over.
func letterOf(plan *policy.Plan, out *http.Request, t target) (*outbox.Letter, error) {
	header, secret := plan.KeepableHeader(out.Header)
	if secret != "" {
		return nil, refused("the header " + secret + " holds a credential, which is not kept: have Outrider add it, by auth of the upstream")
	}
	query, secret := plan.KeepableQuery(t.query)
	if secret != "" {
		return nil, refused("the query parameter " + secret + " holds a credential, which is not kept: have Outrider add it, by auth of the upstream")
	}
	l := &outbox.Letter{Method: out.Method, Header: header, Trailer: out.Trailer, Idempotent: policy.Idempotent(out.Method)}
	if l.Target = t.path; query != "" || t.question {
		l.Target += "?" + query
	}
	if l.KeyHeader, l.Key = plan.LetterKey(out); l.KeyHeader != "" {
		header.Del(l.KeyHeader)
	}
	delete(header, "Expect")     // there is nobody to be told to continue
	delete(header, "Early-Data") // of the way that the call came by (RFC 8470 section 5.1), and answered by 425 for ever
	return l, nil
}

// addressed says to whom a letter goes: the upstream, and what its caller called that.
func addressed(l *outbox.Letter, to route, connection *string) {
	l.Upstream, l.Host = to.upstream.Config.Name, to.asked
	if connection != nil {
		l.Connection = *connection
	}
}

// wishes reads what the caller of a letter says in headers of its own. strict says that its
// dedup key is its idempotency key, which belongs to one request.
func wishes(l *outbox.Letter, header http.Header) (strict bool, err error) {
	for _, wish := range []struct {
		header  string
		into    *string
		longest int
	}{
		{"Outrider-Order-Key", &l.OrderKey, longestKey},
		{"Outrider-Dedup-Key", &l.DedupKey, longestKey},
		{"Outrider-Callback", &l.Callback, longestCallback},
	} {
		values := header[wish.header]
		switch {
		case len(values) > 1:
			return false, malformed(wish.header + ": it is there twice; a call has one")
		case len(values) == 1 && len(values[0]) > wish.longest:
			return false, malformed(fmt.Sprintf("%s: it has %d bytes; it may have %d at most", wish.header, len(values[0]), wish.longest))
		case len(values) == 1:
			*wish.into = values[0]
		}
	}
	// Two names for the same thing must not be taken for each other.
	switch key := callersKey(l, header); {
	case l.DedupKey != "":
		l.DedupKey = "dedup " + l.DedupKey
	case key != "":
		l.DedupKey, strict = "key "+key, true
	}
	return strict, nil
}

// callersKey is the idempotency key that the caller gave: in the header that its upstream
// honours, or in that of draft-ietf-httpapi-idempotency-key-header.
func callersKey(l *outbox.Letter, header http.Header) string {
	if l.Key != "" {
		return l.Key
	}
	return header.Get("Idempotency-Key")
}

func refused(detail string) *problem { return &problem{slug: "outbox-refused", detail: detail} }
