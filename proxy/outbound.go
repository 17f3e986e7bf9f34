package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"outrider/policy"

	"golang.org/x/net/http/httpguts"
)

// A target is a request target as it goes out, in the bytes that it came in.
type target struct {
	path     string // "/a//b%2Fc", or "*"
	query    string // without the question mark
	question bool   // there was a question mark
	prefix   string // what was taken off the path: "/github"; "" where the host or the port names the upstream
}

// splitTarget takes an origin-form target apart.
func splitTarget(raw string) target {
	path, query, question := strings.Cut(raw, "?")
	return target{path: path, query: query, question: question}
}

// at has u, which is empty, be the target at a host, in the form that the transport sends byte for
// byte: as URL.Opaque, because URL.Path would be cleaned and encoded anew.
func (t *target) at(u *url.URL, scheme, host string) {
	u.Scheme, u.Host = scheme, host
	u.RawQuery, u.ForceQuery = t.query, t.question && t.query == ""
	if t.path == "*" {
		u.Path, u.Opaque = "*", "*"
		return
	}
	u.Opaque = "//" + host + t.path
	u.Path = t.path
	if strings.IndexByte(t.path, '%') >= 0 {
		if decoded, err := url.PathUnescape(t.path); err == nil {
			u.Path = decoded
		}
	}
}

// cutName takes the upstream's name off the path. What stays begins with a
// slash: "/github?q" is the provider's "/?q".
func cutName(t target) (string, target) {
	named := strings.TrimPrefix(t.path, "/")
	name, _, _ := strings.Cut(named, "/")
	end := len(t.path) - len(named) + len(name)
	t.prefix, t.path = t.path[:end], t.path[end:]
	if t.path == "" {
		t.path = "/"
	}
	return name, t
}

// A departure is the request that goes out, with all that goes with it, so that they are
// one allocation.
type departure struct {
	request http.Request
	url     url.URL
}

// outbound makes the request that goes out: what came in, without what belongs
// to the connection between the client and us, or to the caller's trace where the
// upstream has no part in that, and with nothing added. To hosts that no upstream names
// goes what would go without us.
func outbound(ctx context.Context, in *http.Request, to route) *http.Request {
	return new(departure).of(ctx, in, &to, realmsOf(in.Header))
}

// of is outbound for a request in whose header there is something for some realms. Its
// header, where all of it goes out, is the one that came in, and must not be written to.
func (d *departure) of(ctx context.Context, in *http.Request, to *route, some realm) *http.Request {
	out := &d.request
	*out = *new(http.Request).WithContext(ctx) // of another one that is empty: to read this one would wait until it is in the cache
	to.target.at(&d.url, to.scheme, to.host)
	out.Method, out.URL, out.Host, out.Header = in.Method, &d.url, to.host, in.Header
	out.Proto, out.ProtoMajor, out.ProtoMinor = "HTTP/1.1", 1, 1
	out.ContentLength = in.ContentLength
	if len(in.Trailer) > 0 {
		out.Trailer = maps.Clone(in.Trailer) // filled by the time the body has been read: see stream
		out.ContentLength = -1               // HTTP/1.1 has trailers only behind a chunked body (RFC 9112 section 6.5)
	}
	stays := forHop | forUs | forTrace
	if to.upstream == nil || to.plan.Policy.Propagate {
		stays = forHop | forUs
	}
	if some&stays != 0 || out.Header == nil {
		out.Header = without(in.Header, stays)
	}
	if some&forHop != 0 {
		reconnect(out.Header, in)
	}
	return out
}

// without is a header without what is in it for some realms.
func without(header http.Header, some realm) http.Header {
	rest := make(http.Header, len(header))
	for name, values := range header {
		if realmOf(name)&some == 0 {
			rest[name] = values
		}
	}
	return rest
}

// reconnect has a header say of the connection to the upstream what is to be said there
// too, and nothing else that a Connection of the client names.
func reconnect(header http.Header, in *http.Request) {
	stripNamed(header, in.Header["Connection"])
	if upgrade := upgradeType(in); upgrade != "" {
		header["Connection"] = []string{"Upgrade"}
		header["Upgrade"] = []string{upgrade}
	}
	if httpguts.HeaderValuesContainsToken(in.Header["Te"], "trailers") {
		header["Te"] = []string{"trailers"}
	}
}

// upgradeType is the protocol that a client wants to change to. HTTP/2 without
// TLS is left out: Java's HttpClient offers it on every plain call, it belongs
// to the connection, and passed on it would open a second, unwatched way through.
// So is what comes with a body, where nobody could say which bytes are still the
// body's, and HTTP/1.0 (RFC 9110 section 7.8).
func upgradeType(in *http.Request) string {
	header := in.Header
	if in.ContentLength != 0 || !in.ProtoAtLeast(1, 1) || !httpguts.HeaderValuesContainsToken(header["Connection"], "upgrade") {
		return ""
	}
	value := strings.Join(header["Upgrade"], ", ")
	if httpguts.HeaderValuesContainsToken([]string{value}, "h2c") {
		return ""
	}
	return value
}

// longestCaller bounds the name of a caller, which is remembered while it waits.
const longestCaller = 128

// controls reads what the caller asks of us in the headers of its call.
func controls(header http.Header) (policy.Controls, error) {
	var c policy.Controls
	if v := header.Get("Outrider-Timeout"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return c, malformed("Outrider-Timeout: " + quote(v) + " is not a duration; write it like 5s or 250ms")
		}
		c.Timeout = d
	}
	switch v := header.Get("Outrider-Retry"); v {
	case "", "on":
	case "off":
		c.NoRetry = true
	default:
		return c, malformed("Outrider-Retry: " + quote(v) + " is not known; write off")
	}
	switch v := header.Get("Outrider-Idempotent"); v {
	case "", "false":
	case "true":
		c.Idempotent = true
	default:
		return c, malformed("Outrider-Idempotent: " + quote(v) + " is not known; write true")
	}
	switch v := header.Get("Outrider-Priority"); v {
	case "", "normal":
	case "high":
		c.Priority = policy.PriorityHigh
	case "low":
		c.Priority = policy.PriorityLow
	default:
		return c, malformed("Outrider-Priority: " + quote(v) + " is not known; write high, normal or low")
	}
	if v := header.Get("Outrider-Caller"); len(v) > longestCaller {
		return c, malformed("Outrider-Caller: " + quote(v) + " is too long; a name has at most " + strconv.Itoa(longestCaller) + " bytes")
	} else if v != "" {
		c.Caller = func() string { return v }
	}
	switch named := header["Outrider-Connection"]; len(named) {
	case 0:
	case 1:
		c.Connection = &named[0] // an empty one, too: a name that got lost on the way must not mean the upstream's own
	default:
		return c, malformed("Outrider-Connection: it is there twice; a call has one connection")
	}
	return c, nil
}
