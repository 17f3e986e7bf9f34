package proxy

import (
	"regexp"
	"strings"
)

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
