package proxy

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"outrider/policy"

	"golang.org/x/net/http/httpguts"
)

// A form is how a call came in.
type form string

const (
	formBaseURL form = "base-url" // http://127.0.0.1:8080/NAME/rest, http://NAME.localhost:8080/rest, an upstream's own port
	formForward form = "forward"  // absolute-form, from a client that uses us as its proxy
	formConnect form = "connect"
)

// A route is where a call goes: to an upstream, or through us to a host that no
// upstream names.
type route struct {
	form     form
	upstream *policy.Upstream // nil: the host is not listed
	plan     *policy.Plan     // nil: the host is not listed
	scheme   string
	host     string // network authority, and Host
	target   target
}

// A target is a request target as it goes out, in the bytes that it came in.
type target struct {
	path     string // "/a//b%2Fc", or "*"
	query    string // without the question mark
	question bool   // there was a question mark
}

// splitTarget takes an origin-form target apart.
func splitTarget(raw string) target {
	path, query, question := strings.Cut(raw, "?")
	return target{path, query, question}
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

// An address is one of the addresses that a server answers at.
type address struct {
	upstream string // the upstream that owns the port; "": every way in is served
	host     string // as configured, without the port
	port     string
	keyed    bool // callers have to show the access key
}

// route finds out where a request wants to go.
func (s *Server) route(set *policy.Set, at address, r *http.Request) (route, error) {
	if absolute(r) && !at.self(r.URL.Host) {
		if at.upstream != "" {
			return route{}, notAProxy(at.upstream)
		}
		return s.routeForward(set, r)
	}
	raw := r.RequestURI
	if absolute(r) {
		// A client that uses us as its proxy for everything, loopback included,
		// asks for our own base URL: that is no loop but the same thing.
		raw = originForm(raw)
	}
	return routeBaseURL(set, at, r, splitTarget(raw))
}

func absolute(r *http.Request) bool {
	return r.URL.Scheme != "" && !strings.HasPrefix(r.RequestURI, "/")
}

// originForm cuts scheme and authority off an absolute-form target.
func originForm(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if rest[i] == '?' {
			return "/" + rest[i:]
		}
		return rest[i:]
	}
	return "/"
}

func (s *Server) routeForward(set *policy.Set, r *http.Request) (route, error) {
	if r.URL.User != nil {
		return route{}, malformed("credentials in the target of a proxy request")
	}
	t := splitTarget(originForm(r.RequestURI))
	if r.Method == http.MethodOptions && r.URL.Path == "" && !t.question {
		t.path = "*" // RFC 9112 section 3.2.4: OPTIONS for the server as a whole
	}
	u, listed := set.ByHost(r.URL.Host)
	if !listed {
		if set.File.Forward.Unlisted == "deny" {
			return route{}, hostDenied(r.URL.Host)
		}
		return route{form: formForward, scheme: r.URL.Scheme, host: r.URL.Host, target: t}, nil
	}
	scheme, host := u.Origin(r.URL.Host)
	return route{formForward, u, u.Plan(r.Method, t.path), scheme, host, t}, nil
}

func routeBaseURL(set *policy.Set, at address, r *http.Request, t target) (route, error) {
	if !at.accepts(r.Host) {
		return route{}, foreignHost(r.Host)
	}
	if !at.keyed && at.fromAnotherSite(r.Header) {
		return route{}, crossSite()
	}
	name := at.upstream
	if name == "" {
		name = nameInHost(r.Host)
	}
	if name == "" {
		name, t = cutName(t)
	}
	u, ok := set.ByName(name)
	if !ok {
		return route{}, unknownUpstream(set, name)
	}
	if t.path != "*" {
		t.path = u.BasePath() + t.path
	}
	scheme, host := u.Origin("")
	return route{formBaseURL, u, u.Plan(r.Method, t.path), scheme, host, t}, nil
}

// cutName takes the upstream's name off the path. What stays begins with a
// slash: "/github?q" is the provider's "/?q".
func cutName(t target) (string, target) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(t.path, "/"), "/")
	t.path = "/" + rest
	return name, t
}

// nameInHost finds the upstream in a Host of the form NAME.localhost.
func nameInHost(authority string) string {
	name, ok := strings.CutSuffix(hostOf(authority), ".localhost")
	if !ok || strings.Contains(name, ".") {
		return ""
	}
	return name
}

func hostOf(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// accepts reports whether a Host belongs to this address. Without a key, only
// names that cannot be made to point here by somebody else's DNS do: a page in
// a browser must not reach us under a name of its own (DNS rebinding).
func (at address) accepts(authority string) bool {
	host := hostOf(authority)
	if at.keyed || host == "localhost" || strings.HasSuffix(host, ".localhost") || host == at.host {
		return true
	}
	if host == "" { // HTTP/1.0 needs none, and no browser leaves it out
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// fromAnotherSite reports whether a page of another site made a browser send
// this: it must not spend our credentials, even where it cannot read the answer.
// Browsers tell with Sec-Fetch-Site (W3C Fetch Metadata), which a page cannot
// set, and not all of them with a WebSocket; that has an Origin, though. Programs
// may send an Origin of their own making with anything else.
func (at address) fromAnotherSite(header http.Header) bool {
	if site := header.Get("Sec-Fetch-Site"); site != "" {
		return site == "cross-site"
	}
	origin := header.Get("Origin")
	if origin == "" || header.Get("Upgrade") == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !at.accepts(u.Host)
}

// self reports whether an authority is this address.
func (at address) self(authority string) bool {
	_, port, err := net.SplitHostPort(authority)
	if err != nil {
		port = "80"
	}
	if port != at.port {
		return false
	}
	host := hostOf(authority)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || host == at.host && host != "" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.Unmap().IsLoopback() || addr.IsUnspecified())
}

// ownHeaders are the request headers that speak to us. They are never sent on.
var ownHeaders = []string{
	"Outrider-Timeout", "Outrider-Priority", "Outrider-Retry", "Outrider-Idempotent",
	"Outrider-Connection", "Outrider-Caller", "Outrider-Key", "Outrider-Malformed",
}

// hopHeaders concern one connection only (RFC 9110 section 7.6.1), or are old
// names for such.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// outbound makes the request that goes out: what came in, without what belongs
// to the connection between the client and us, and with nothing added.
func outbound(in *http.Request, to route) *http.Request {
	header := make(http.Header, len(in.Header))
	for name, values := range in.Header {
		header[name] = values
	}
	upgrade := upgradeType(in)
	trailers := httpguts.HeaderValuesContainsToken(in.Header["Te"], "trailers")
	stripHop(header)
	for _, name := range ownHeaders {
		delete(header, name)
	}
	delete(header, "Content-Length") // the transport writes it from ContentLength
	if upgrade != "" {
		header["Connection"] = []string{"Upgrade"}
		header["Upgrade"] = []string{upgrade}
	}
	if trailers {
		header["Te"] = []string{"trailers"}
	}
	return &http.Request{
		Method:        in.Method,
		URL:           to.target.url(to.scheme, to.host),
		Host:          to.host,
		Header:        header,
		Trailer:       maps.Clone(in.Trailer), // filled by the time the body has been read: see stream
		ContentLength: in.ContentLength,
		Proto:         "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// stripHop removes the headers that concern one connection, among them all that
// Connection names.
func stripHop(header http.Header) {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = textproto.TrimString(name); name != "" {
				header.Del(name)
			}
		}
	}
	for _, name := range hopHeaders {
		delete(header, name)
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
	if v := header.Get("Outrider-Connection"); v != "" {
		return c, unknownConnection(v)
	}
	return c, nil
}
