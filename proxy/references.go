package proxy

import (
	"cmp"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

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
	// Of what our caller called, after the prefix.
	below, alone := strings.TrimPrefix(directory, l.base), len(called)-len(l.base) <= 1
	// "\" and "%2f" are slashes, for some.
	odd := strings.IndexByte(path, '\\') >= 0 || strings.HasPrefix(plainly.Replace(path), "/")
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

// schemed is the beginning of a URL: its scheme, and the colon behind it (RFC 3986 section 3.1).
var schemed = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// hasScheme reports whether a reference is a URL.
func hasScheme(path string) bool { return schemed.MatchString(path) }

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
