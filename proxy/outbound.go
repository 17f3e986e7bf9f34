package proxy

import (
	"context"
	"maps"
	"net/http"
	"net/textproto"
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

// url is the target at a host, in the form that the transport sends byte for
// byte: as URL.Opaque, because URL.Path would be cleaned and encoded anew.
func (t target) url(scheme, host string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: host, RawQuery: t.query, ForceQuery: t.question && t.query == ""}
	if t.path == "*" {
		u.Path, u.Opaque = "*", "*"
		return u
	}
	u.Opaque = "//" + host + t.path
	u.Path = t.path
	if strings.IndexByte(t.path, '%') >= 0 {
		if decoded, err := url.PathUnescape(t.path); err == nil {
			u.Path = decoded
		}
	}
	return u
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

// ownHeaders are the request headers that speak to us. They are never sent on.
var ownHeaders = []string{
	"Outrider-Timeout", "Outrider-Priority", "Outrider-Retry", "Outrider-Idempotent",
	"Outrider-Connection", "Outrider-Caller", "Outrider-Key",
	"Outrider-Order-Key", "Outrider-Dedup-Key", "Outrider-Callback",
}

// hopHeaders concern one connection only (RFC 9110 section 7.6.1), or are old
// names for such.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// traceHeaders tell of the caller's trace: those of W3C, Zipkin and Jaeger. A provider
// has no use for them, and baggage may hold anything, such as who the user is. Those that
// a provider has made up for itself, X-Amzn-Trace-Id and X-Cloud-Trace-Context, pass: what
// they say is for it to know.
var traceHeaders = []string{
	"Traceparent", "Tracestate", "Baggage", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid",
	"X-B3-Sampled", "X-B3-Flags", "Uber-Trace-Id",
}

// A realm is whom a header is for.
type realm uint8

const (
	forPeer  realm = iota // whoever the message is for: it is passed on
	forHop                // hopHeaders
	forUs                 // ownHeaders
	forTrace              // traceHeaders
)

// realms says whom the headers that do not always pass are for. It is not
// changed.
var realms = func() map[string]realm {
	all := map[string]realm{"Content-Length": forHop} // the transport writes it from ContentLength
	for r, names := range map[realm][]string{forHop: hopHeaders, forUs: ownHeaders, forTrace: traceHeaders} {
		for _, name := range names {
			all[name] = r
		}
	}
	return all
}()

// outbound makes the request that goes out: what came in, without what belongs
// to the connection between the client and us, or to the caller's trace where the
// upstream has no part in that, and with nothing added. To hosts that no upstream names
// goes what would go without us.
func outbound(ctx context.Context, in *http.Request, to route) *http.Request {
	header := make(http.Header, len(in.Header))
	traced := to.upstream == nil || to.plan.Policy.Propagate
	for name, values := range in.Header {
		if r := realms[name]; r == forPeer || r == forTrace && traced {
			header[name] = values
		}
	}
	stripNamed(header, in.Header["Connection"])
	upgrade := upgradeType(in)
	trailers := httpguts.HeaderValuesContainsToken(in.Header["Te"], "trailers")
	if upgrade != "" {
		header["Connection"] = []string{"Upgrade"}
		header["Upgrade"] = []string{upgrade}
	}
	if trailers {
		header["Te"] = []string{"trailers"}
	}
	length := in.ContentLength
	if len(in.Trailer) > 0 {
		length = -1 // HTTP/1.1 has trailers only behind a chunked body (RFC 9112 section 6.5)
	}
	out := http.Request{
		Method:        in.Method,
		URL:           to.target.url(to.scheme, to.host),
		Host:          to.host,
		Header:        header,
		Trailer:       maps.Clone(in.Trailer), // filled by the time the body has been read: see stream
		ContentLength: length,
		Proto:         "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return out.WithContext(ctx)
}

// stripNamed removes the headers that a Connection names.
func stripNamed(header http.Header, connection []string) {
	for _, value := range connection {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" && !strings.EqualFold(name, "Keep-Alive") {
				header.Del(name)
			}
		}
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
