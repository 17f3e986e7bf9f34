package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"outrider/policy"
)

// A form is how a call came in.
type form string

const (
	formBaseURL form = "base-url" // http://127.0.0.1:8080/NAME/rest, http://NAME.localhost:8080/rest, an upstream's own port
	formForward form = "forward"  // absolute-form, from a client that uses us as its proxy
	formConnect form = "connect"
	// What came out of the TLS of a CONNECT.
	formIntercepted form = "intercepted"
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
	asked    string // the authority that a client of the proxy named; "": it came by base URL
}

// An address is one of the addresses that a server answers at.
type address struct {
	upstream string // the upstream that owns the port; "": every way in is served
	host     string // as configured, without the port
	port     string
	keyed    bool // callers have to show the access key
	socket   bool // a Unix socket, which no page in a browser can reach, whatever its name
	called   atomic.Pointer[calling]
}

// A calling is what the Host of a request says to an address. It is kept for the next
// request: nearly all of them say the same.
type calling struct {
	authority string // the Host
	host      string // of that: see hostOf
	name      string // of an upstream in it: see nameInHost
	accepted  bool   // see accepts
}

// calling is what a Host says.
func (at *address) calling(authority string) *calling {
	if last := at.called.Load(); last != nil && last.authority == authority {
		return last
	}
	host := hostOf(authority)
	next := &calling{authority, host, nameInHost(host), at.accepts(host)}
	at.called.Store(next)
	return next
}

// find finds out where a request wants to go. The route is empty before.
func (to *route) find(set *policy.Set, at *address, r *http.Request) error {
	switch {
	case !absolute(r):
		return to.byBaseURL(set, at, r, r.RequestURI)
	case at.isMe(r):
		// A client that uses us as its proxy for everything, loopback included,
		// asks for our own base URL: that is no loop but the same thing.
		return to.byBaseURL(set, at, r, originForm(r.RequestURI))
	case at.upstream != "":
		return notAProxy(at.upstream)
	}
	return to.byForward(set, r)
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

func (to *route) byForward(set *policy.Set, r *http.Request) error {
	if r.URL.User != nil {
		return malformed("credentials in the target of a proxy request")
	}
	t := splitTarget(originForm(r.RequestURI))
	if r.Method == http.MethodOptions && r.URL.Path == "" && !t.question {
		t.path = "*" // RFC 9112 section 3.2.4: OPTIONS for the server as a whole
	}
	u, listed := set.ByHost(r.URL.Host)
	if !listed {
		if set.File.Forward.Unlisted == "deny" {
			return hostDenied(r.URL.Host)
		}
		*to = route{form: formForward, scheme: r.URL.Scheme, host: r.URL.Host, target: t}
		return nil
	}
	scheme, host := u.Origin(r.URL.Host)
	*to = route{formForward, u, u.Plan(r.Method, t.path), scheme, host, t, r.URL.Host}
	return nil
}

func (to *route) byBaseURL(set *policy.Set, at *address, r *http.Request, raw string) error {
	calling := at.calling(r.Host)
	if !calling.accepted {
		return foreignHost(r.Host)
	}
	if !at.keyed && at.fromAnotherSite(r.Header, r.Host) {
		return crossSite()
	}
	t := &to.target
	*t = splitTarget(raw)
	name := at.upstream
	if name == "" {
		name = calling.name
	}
	if name == "" {
		name, *t = cutName(*t)
	}
	u, ok := set.ByName(name)
	if !ok {
		return unknownUpstream(set, name)
	}
	if base := u.BasePath(); base != "" && t.path != "*" {
		t.path = base + t.path
	}
	to.form, to.upstream, to.plan = formBaseURL, u, u.Plan(r.Method, t.path)
	to.scheme, to.host = u.Origin("")
	return nil
}

// lead has a call go where its connection is. A client that uses us as its proxy has said
// where it wants to go, and may believe that it speaks with that host: it must not get
// another's answer, and that host must not get the credential.
func (to *route) lead(connection string, at policy.Origin) error {
	switch {
	case at == policy.Origin{}:
		return nil
	case to.asked != "" && !at.Serves(to.asked):
		return elsewhere(connection, at, to.asked)
	}
	to.scheme, to.host = at.Scheme, at.Host
	return nil
}

// nameInHost finds the upstream in a host of the form NAME.localhost.
func nameInHost(host string) string {
	name, ok := strings.CutSuffix(host, ".localhost")
	if !ok || strings.Contains(name, ".") {
		return ""
	}
	return name
}

// hostOf is the host of an authority, in the one form in which it is compared.
func hostOf(authority string) string {
	host, portless := authority, strings.IndexByte(authority, ':') < 0
	var err error
	if !portless { // else there is nothing to split, which would cost an error
		host, _, err = net.SplitHostPort(authority)
	}
	if portless || err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
	}
	if strings.IndexByte(host, ':') >= 0 {
		if ip, err := netip.ParseAddr(host); err == nil {
			return ip.Unmap().String()
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// accepts reports whether the host of a Host belongs to this address. Without a key, only
// names that cannot be made to point here by somebody else's DNS do: a page in
// a browser must not reach us under a name of its own (DNS rebinding).
func (at *address) accepts(host string) bool {
	if at.keyed || at.socket || host == "localhost" || strings.HasSuffix(host, ".localhost") || host == at.host {
		return true
	}
	if host == "" { // HTTP/1.0 needs none, and no browser leaves it out
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isMe reports whether the authority of an absolute target is where its request came to:
// this address, or the one of all of ours at which the connection ended.
func (at *address) isMe(r *http.Request) bool {
	if at.self(r.URL.Host) {
		return true
	}
	if at.socket || !strings.HasSuffix(r.URL.Host, at.port) { // most often, and seen without an address that is taken apart
		return false
	}
	local, ok := localAddress(r)
	return ok && r.URL.Host == local.String()
}

// self reports whether an authority is this address.
func (at *address) self(authority string) bool {
	if at.socket {
		return false // nothing leads back to it but its path
	}
	port := "80"
	if strings.IndexByte(authority, ':') >= 0 { // else there is nothing to split, which would cost an error
		if _, named, err := net.SplitHostPort(authority); err == nil {
			port = named
		}
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
