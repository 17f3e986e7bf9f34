package proxy

import (
	"cmp"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// links lets an answer to a call by base URL lead back through us: references of
// its Location (RFC 9110 section 10.2.2) and Link (RFC 8288 section 3) that point
// to the upstream become base URLs, in the way in which this caller addresses us.
// All other bytes stay as they are; nothing is decoded or encoded. The zero links
// change nothing.
//
// Content-Location stays: it names a resource and is followed by nobody. So do
// bodies, which pass byte for byte.
type links struct {
	scheme string // of the upstream; "": nothing is rewritten
	host   string // of the upstream, without the port that its scheme implies
	base   string // the path of the upstream's url, without a slash at its end
	self   string // the Host by which the caller knows us; "" in HTTP/1.0 without one
	prefix string // what stands before the provider's path in the caller's: "/github", or ""
	called string // the path of the call at the provider: "/v1/x"
}

// relinked has the values of a field of an answer lead back through us, to a call that has
// gone out.
func (x *exchange) relinked(name string, values []string) []string {
	to := &x.out.url
	return links{
		scheme: to.Scheme, host: withoutDefaultPort(to.Scheme, to.Host), base: x.linked.BasePath(),
		self: x.r.Host, prefix: x.prefix, called: strings.TrimPrefix(to.Opaque, "//"+to.Host), // see target.at
	}.field(name, values)
}

// linking reports whether a field of an answer may point to the upstream.
func linking(name string) bool {
	return name == "Location" || name == "Link" || name == "Set-Cookie"
}

// field rewrites the values of a field. Their list is replaced, never written to.
func (l links) field(name string, values []string) []string {
	rewrite := l.reference
	switch {
	case l.scheme == "":
		return values
	case name == "Link":
		rewrite = l.linkValues
	case name == "Set-Cookie":
		return l.cookies(values)
	case name != "Location":
		return values
	}
	rewritten := make([]string, len(values))
	for i, value := range values {
		rewritten[i] = rewrite(value)
	}
	return rewritten
}

// reference rewrites one URI-reference (RFC 3986 section 4.1). What no base URL
// can say is left to the provider: another scheme or host as it is, and with the
// provider's in front what some client would take for a path of ours, where another
// upstream may be, with its credential: a path outside of the base path, one that
// leaves it by "..", one behind no host, and one behind ours. Tabs and blanks around go:
// clients leave them out (URL Standard section 4.4), and what stood apart comes together.
func (l links) reference(ref string) string {
	ref = strings.ReplaceAll(strings.Trim(ref, " "), "\t", "")
	if path, ours := behindNoHost(ref); ours {
		return l.provider() + path
	}
	switch rest, full, ours := l.pathOf(ref); {
	case ours && l.ownAlready(ref, rest):
		return ref
	case ours:
		return l.rooted(ref, rest, full)
	case full:
		return ref // another host
	}
	return l.relative(ref)
}

// provider is what stands before a path of the provider in a URL.
func (l links) provider() string { return l.scheme + "://" + l.host }

// rooted rewrites a reference to the upstream with a path from the root, which is rest. full
// says that the reference has an authority.
func (l links) rooted(ref, rest string, full bool) string {
	whole := ref
	if !full || l.isSelf(ref) {
		whole = l.provider() + rest
	}
	rest, ours := strings.CutPrefix(rest, l.base)
	if !ours || l.base != "" && !strings.HasPrefix(rest, "/") || climbs(rest, 0) {
		return whole
	}
	path := l.prefix + rest
	if full && l.self != "" {
		return "http://" + l.self + path // we listen in plain, whatever the upstream does
	}
	if !strings.HasPrefix(path, "/") { // "https://api.example.com?q", without a Host of ours
		path = "/" + path
	}
	switch {
	case len(path) < 2 || path[1] != '/' && path[1] != '\\':
		return path
	case l.self != "":
		return "http://" + l.self + path // by itself "//x" would be the host x, in browsers "/\x" as well
	}
	return whole
}

// relative rewrites a reference that is neither to a host nor a path from the root. It stays
// where it leads our caller to the same as the provider's own: not where it leaves the base
// path, nor after a call by the base URL alone: without a slash behind it, which the provider
// is not told, it would lead to a path beside it.
func (l links) relative(ref string) string {
	path := ref
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if path == "" || hasScheme(path) {
		return ref
	}
	called := l.called
	if !strings.HasPrefix(called, "/") { // "*"
		called = l.base + "/"
	}
	directory := called[:strings.LastIndexByte(called, '/')+1]
	below := strings.TrimPrefix(directory, l.base)                                             // of what our caller called, after the prefix
	odd := strings.IndexByte(path, '\\') >= 0 || strings.HasPrefix(plainly.Replace(path), "/") // a slash, for some
	alone := len(called)-len(l.base) <= 1
	switch {
	case odd || strings.HasPrefix(directory, "//"):
		return l.provider() + directory + ref
	case alone || climbs(path, len(segments(below))):
		return l.rooted(directory+ref, directory+ref, false)
	}
	return ref
}

// behindNoHost finds the path of a reference that is none: "http:/x", "http:///x", "///x". There
// are clients, Python's among them, to which it is a path of the one who was called.
func behindNoHost(ref string) (path string, ours bool) {
	const scheme = "http:" // that of our caller's URL
	rest := ref
	if len(ref) >= len(scheme) && strings.EqualFold(ref[:len(scheme)], scheme) {
		if rest = ref[len(scheme):]; !strings.HasPrefix(rest, "//") {
			return "/" + strings.TrimLeft(rest, `/\`), true
		}
	}
	after, ok := strings.CutPrefix(rest, "//")
	if !ok || after != "" && strings.IndexByte(`/?#\`, after[0]) < 0 {
		return "", false
	}
	return "/" + strings.TrimLeft(after, `/\`), true
}

// scheme is that of a URL, and the colon behind it (RFC 3986 section 3.1).
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// hasScheme reports whether a reference is a URL.
func hasScheme(path string) bool { return scheme.MatchString(path) }

// pathOf takes scheme and authority off a reference to the upstream, or to us. full says
// that it had an authority; without one, it has to be a path from the root.
func (l links) pathOf(ref string) (rest string, full, ours bool) {
	authority, rest, full := authorityOf(ref)
	if !full {
		return ref, false, strings.HasPrefix(ref, "/")
	}
	if l.isSelf(ref) {
		return rest, true, true
	}
	name, _, schemed := strings.Cut(ref, "://")
	if !strings.HasPrefix(ref, "//") && (!schemed || !strings.EqualFold(name, l.scheme)) {
		return "", true, false
	}
	return rest, true, strings.EqualFold(withoutDefaultPort(l.scheme, authority), l.host)
}

// authorityOf takes a reference apart, if it has an authority.
func authorityOf(ref string) (authority, rest string, ok bool) {
	rest, ok = strings.CutPrefix(ref, "//")
	if !ok {
		name, after, found := strings.Cut(ref, "://")
		if !found || !hasScheme(name+":") || strings.ContainsAny(name, "/?#") {
			return "", "", false
		}
		rest = after
	}
	authority = rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	return authority, rest[len(authority):], true
}

// isSelf reports whether a reference names us: the provider cannot know, and does not mean, what
// is here. A port of ours on loopback is ours by whatever name.
func (l links) isSelf(ref string) bool {
	authority, _, ok := authorityOf(ref)
	if !ok || l.self == "" || !strings.HasPrefix(ref, "//") && !strings.EqualFold(ref[:min(5, len(ref))], "http:") {
		return false
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	if strings.EqualFold(withoutDefaultPort("http", authority), withoutDefaultPort("http", l.self)) {
		return true
	}
	own, err := url.Parse("http://" + l.self)
	if err != nil {
		return false
	}
	named, err := url.Parse("http://" + authority)
	return err == nil && cmp.Or(named.Port(), "80") == cmp.Or(own.Port(), "80") && isLoopback(named.Host) && isLoopback(own.Host)
}

// ownAlready reports whether a reference leads to this upstream through us as it is: a server
// may know by which URL it is called.
func (l links) ownAlready(ref, rest string) bool {
	authority, _, _ := authorityOf(ref)
	rest, below := strings.CutPrefix(rest, l.prefix)
	return l.self != "" && authority == l.self && below && (l.prefix == "" || rest == "" || rest[0] == '/') && !climbs(rest, 0)
}

// isLoopback reports whether an authority is this machine for everybody who is on it.
func isLoopback(authority string) bool {
	host := hostOf(authority)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// withoutDefaultPort normalises an authority after RFC 3986 section 6.2.3.
func withoutDefaultPort(scheme, authority string) string {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(strings.TrimSuffix(authority, port), ":")
}

// climbs reports whether the path of a reference, depth segments below the root, has more
// ".." than segments before them, so that it would end elsewhere with something in front of
// it. Browsers read "%2e" as a dot, and "\" as a slash, and so does Go "%2f" in a path that has
// a byte in it that ought to be encoded.
func climbs(rest string, depth int) bool {
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if !strings.Contains(rest, "..") && !strings.Contains(rest, "%2") {
		return false
	}
	rest = plainly.Replace(rest)
	for _, segment := range segments(rest) {
		switch segment {
		case ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// plainly writes a path as the most lenient of clients read it.
var plainly = strings.NewReplacer("%2e", ".", "%2E", ".", "%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", `\`, "/")

// segments are those of a path that have something in them: Python drops the others before it
// goes up.
func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// linkValues rewrites the targets of a list of link-values. Their parameters stay,
// "anchor" among them. In a value that is not in the form of RFC 8288 section 3, which
// somebody may read all the same, what is in angle brackets is taken for a target.
func (l links) linkValues(value string) string {
	if rewritten, ok := l.strictLinkValues(value); ok {
		return rewritten
	}
	return bracketed.ReplaceAllStringFunc(value, func(target string) string {
		return "<" + l.target(target[1:len(target)-1]) + ">"
	})
}

var bracketed = regexp.MustCompile(`<[^<>]*>`)

// target rewrites the target of a link-value. Clients take off what is around it.
func (l links) target(ref string) string {
	bare := strings.Trim(ref, ` '"<`)
	if rewritten := l.reference(bare); rewritten != bare {
		return rewritten
	}
	return ref
}

func (l links) strictLinkValues(value string) (rewritten string, ok bool) {
	var b strings.Builder
	done := 0 // bytes of value that are in b
	for i := skipBlank(value, 0); i < len(value); i = skipBlank(value, i) {
		if value[i] != '<' {
			return "", false
		}
		begin := i + 1
		length := strings.IndexByte(value[begin:], '>')
		if length < 0 {
			return "", false
		}
		end := begin + length
		ref := value[begin:end]
		if rewritten := l.target(ref); rewritten != ref {
			b.WriteString(value[done:begin])
			b.WriteString(rewritten)
			done = end
		}
		if i, ok = pastParameters(value, end+1); !ok {
			return "", false
		}
	}
	b.WriteString(value[done:])
	return b.String(), true
}

// skipBlank passes by what may stand between link-values: commas, for a list may
// have empty elements (RFC 9110 section 5.6.1.2), and white space.
func skipBlank(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == ',') {
		i++
	}
	return i
}

// pastParameters finds the end of a link-value from the end of its target: a
// comma outside of quotes, or the end of the value.
func pastParameters(s string, i int) (end int, ok bool) {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	if i < len(s) && s[i] != ';' && s[i] != ',' {
		return 0, false
	}
	quoted := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return i, true
		}
	}
	return i, !quoted
}

// cookies rewrites the values of Set-Cookie (RFC 6265 section 4.1): for our caller all
// upstreams are one host, and a cookie of one provider would go to the others as well. Its
// Path becomes that of the base URL; Domain, which would not be ours, and Secure, which keeps
// it from a caller that speaks with us in plain, are taken off. One for paths that no base URL
// leads to is left out. To a port of an upstream's own they go as they are: cookies know no
// ports, so that no Path keeps them from the others.
func (l links) cookies(values []string) []string {
	if l.prefix == "" && !strings.HasSuffix(hostOf(l.self), ".localhost") {
		return values
	}
	var rewritten []string
	for _, value := range values {
		var kept []string
		path := ""
		for i, part := range strings.Split(value, ";") {
			name, of, _ := strings.Cut(part, "=")
			switch name = strings.ToLower(strings.TrimSpace(name)); {
			case i > 0 && name == "path":
				path = strings.TrimSpace(of)
			case i > 0 && (name == "domain" || name == "secure" && !needsSecure.MatchString(value)):
			default:
				kept = append(kept, part)
			}
		}
		if !strings.HasPrefix(path, "/") { // RFC 6265 section 5.1.4
			path, _, _ = strings.Cut(l.called, ";") // which would begin another attribute
			path = path[:max(strings.LastIndexByte(path, '/'), 0)]
		}
		if path, ours := l.cookiePath(path); ours {
			rewritten = append(rewritten, strings.Join(kept, ";")+"; Path="+path)
		}
	}
	return rewritten
}

// needsSecure finds a cookie that browsers refuse without Secure, by its name (RFC 6265bis
// section 4.1.3) or another attribute.
var needsSecure = regexp.MustCompile(`(?i)^\s*__(host|secure)-|;\s*(samesite\s*=\s*none|partitioned)\s*(;|$)`)

// cookiePath is where our caller finds what is below a path of the provider.
func (l links) cookiePath(path string) (mapped string, ours bool) {
	path = strings.TrimSuffix(path, "/")
	switch rest, below := strings.CutPrefix(path, l.base); {
	case below && (rest == "" || rest[0] == '/'):
		path = l.prefix + rest
	case path == "" || strings.HasPrefix(l.base, path+"/"): // the base path is below it
		path = l.prefix
	default:
		return "", false
	}
	if path == "" {
		path = "/"
	}
	return path, true
}
