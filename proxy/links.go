package proxy

import "strings"

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
// provider's in front what our caller would take for a path of ours, where another
// upstream may be, with its credential: a path outside of the base path, one that
// leaves it by "..", and one behind no host. A tab goes: browsers, and what reads as they do
// (URL Standard section 4.4), leave it out, and what stood apart comes together.
func (l links) reference(ref string) string {
	ref = strings.ReplaceAll(ref, "\t", "")
	if path, ours := behindNoHost(ref); ours {
		return l.provider() + path
	}
	rest, full, ours := l.pathOf(ref)
	if !ours {
		return l.relative(ref)
	}
	whole := ref
	if !full {
		whole = l.provider() + ref
	}
	rest, ours = strings.CutPrefix(rest, l.base)
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

// provider is what stands before a path of the provider in a URL.
func (l links) provider() string { return l.scheme + "://" + l.host }

// relative rewrites a reference that is neither to the upstream by its name nor a path from
// the root. It stays where it leads our caller to the same as the provider's own: not where
// it leaves the base path, nor after a call by the base URL alone: without a slash behind it,
// which the provider is not told, it would lead to a path beside it.
func (l links) relative(ref string) string {
	path := ref
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if path == "" || hasScheme(path) || strings.HasPrefix(path, "//") {
		return ref
	}
	below := strings.TrimPrefix(l.called, l.base) // what our caller called, after the prefix
	odd := strings.IndexByte(path, '\\') >= 0     // for browsers, a slash
	if len(below) > 1 && !odd && !climbs(path, strings.Count(below, "/")-1) {
		return ref
	}
	directory := l.called[:strings.LastIndexByte(l.called, '/')+1]
	if odd || strings.HasPrefix(directory, "//") {
		return l.provider() + directory + ref
	}
	return l.reference(directory + ref)
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

// hasScheme reports whether a reference is a URL (RFC 3986 section 3.1).
func hasScheme(path string) bool {
	i := strings.IndexAny(path, ":/")
	return i > 0 && path[i] == ':'
}

// pathOf takes scheme and authority off a reference to the upstream. full says
// that it had an authority; without one, it has to be a path from the root.
func (l links) pathOf(ref string) (rest string, full, ours bool) {
	rest, full = strings.CutPrefix(ref, "//")
	if !full {
		if strings.HasPrefix(ref, "/") {
			return ref, false, true
		}
		scheme, after, ok := strings.Cut(ref, "://")
		if !ok || !strings.EqualFold(scheme, l.scheme) {
			return "", false, false
		}
		rest = after
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	return rest[len(authority):], true, strings.EqualFold(withoutDefaultPort(l.scheme, authority), l.host)
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
// it. Browsers read "%2e" as a dot, and "\" as a slash.
func climbs(rest string, depth int) bool {
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if !strings.Contains(rest, "..") && !strings.Contains(rest, "%2") {
		return false
	}
	rest = strings.NewReplacer("%2e", ".", "%2E", ".", `\`, "/").Replace(rest)
	for segment := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
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

// linkValues rewrites the targets of a list of link-values. Their parameters stay,
// "anchor" among them. A value that is not in the form of RFC 8288 section 3 is
// left alone as a whole.
func (l links) linkValues(value string) string {
	var b strings.Builder
	done := 0 // bytes of value that are in b
	for i := skipBlank(value, 0); i < len(value); i = skipBlank(value, i) {
		if value[i] != '<' {
			return value
		}
		begin := i + 1
		length := strings.IndexByte(value[begin:], '>')
		if length < 0 {
			return value
		}
		end := begin + length
		ref := value[begin:end]
		if rewritten := l.reference(ref); rewritten != ref {
			b.WriteString(value[done:begin])
			b.WriteString(rewritten)
			done = end
		}
		var ok bool
		if i, ok = pastParameters(value, end+1); !ok {
			return value
		}
	}
	if done == 0 {
		return value
	}
	b.WriteString(value[done:])
	return b.String()
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
// leads to is left out.
func (l links) cookies(values []string) []string {
	var rewritten []string
	for _, value := range values {
		var kept []string
		path := ""
		for i, part := range strings.Split(value, ";") {
			name, of, _ := strings.Cut(part, "=")
			switch name = strings.ToLower(strings.TrimSpace(name)); {
			case i > 0 && name == "path":
				path = strings.TrimSpace(of)
			case i > 0 && (name == "domain" || name == "secure"):
			default:
				kept = append(kept, part)
			}
		}
		if !strings.HasPrefix(path, "/") { // RFC 6265 section 5.1.4
			path = l.called[:max(strings.LastIndexByte(l.called, '/'), 0)]
		}
		if path, ours := l.cookiePath(path); ours {
			rewritten = append(rewritten, strings.Join(kept, ";")+"; Path="+path)
		}
	}
	return rewritten
}

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
