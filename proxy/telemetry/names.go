package telemetry

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// maxURL bounds url.full, in bytes.
const maxURL = 2048

// otherMethod stands for all methods that are not known.
const otherMethod = "_OTHER"

// methods are those of RFC 9110, RFC 5789 and RFC 10008, the usual ones first.
var methods = [...]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"}

// method is m if it is one of methods, and _OTHER if not: whoever calls us must not invent
// metric labels. It is no part of the head that m may be of, and can be remembered.
func method(m string) string {
	for _, known := range &methods { // without a copy of them
		if m == known {
			return known
		}
	}
	return otherMethod
}

// requestScheme is the scheme of a URL, and as method no part of it.
func requestScheme(s string) string {
	switch s {
	case "https":
		return "https"
	case "http":
		return "http"
	}
	return strings.Clone(s)
}

// spanMethod is the method as a span's name.
func spanMethod(m string) string {
	if m = method(m); m != otherMethod {
		return m
	}
	return "HTTP"
}

// classLost is the class of a request without a status that was canceled on purpose: see
// keyLost.
const classLost = "lost"

// statusClass is "2xx" and the like, or "none".
func statusClass(status int) string {
	switch status / 100 {
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	case 5:
		return "5xx"
	}
	return "none"
}

// clip bounds s to n bytes of valid UTF-8: one invalid byte would make a whole
// batch of spans unsendable.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// pathOnly cuts a query or fragment off, should one have come along.
func pathOnly(path string) string {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	return path
}

// appendURL writes the address of an outbound request without userinfo and with every
// query value replaced: keys are kept, since they say which call it was.
func appendURL(b []byte, u *url.URL) []byte {
	authority, path := u.Host, ""
	switch {
	case strings.HasPrefix(u.Opaque, "//"):
		authority, path = cutAuthority(u.Opaque[2:])
	case u.Opaque == "": // "*" is no path
		path = u.EscapedPath()
	}
	b = append(append(b, u.Scheme...), "://"...)
	b = append(b, authority[strings.LastIndexByte(authority, '@')+1:]...)
	b = append(b, pathOnly(path)...)
	b = appendQuery(b, u.RawQuery)
	return b[:min(len(b), maxURL)]
}

// cutAuthority splits "host:port/path".
func cutAuthority(s string) (authority, path string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// appendQuery writes the keys of a raw query. A part without "=" may be a value
// as well as a key, and is taken for a value.
func appendQuery(b []byte, raw string) []byte {
	separator := byte('?')
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" || len(b) > maxURL {
			continue
		}
		b = append(b, separator)
		separator = '&'
		if key, _, ok := strings.Cut(part, "="); ok {
			b = append(append(b, key...), '=')
		}
		b = append(b, "REDACTED"...)
	}
	return b
}

// appendServer adds server.address and server.port of an authority.
func appendServer(attrs []attribute.KeyValue, authority string) []attribute.KeyValue {
	if authority == "" {
		return attrs
	}
	host, port := splitPort(authority)
	attrs = append(attrs, semconv.ServerAddress(host))
	if port != 0 {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	return attrs
}

// protocolVersion is "1.1" or "2" of "HTTP/1.1" or "HTTP/2.0".
func protocolVersion(proto string) string {
	return strings.TrimSuffix(strings.TrimPrefix(proto, "HTTP/"), ".0")
}

// splitPort splits "host:port" and "[v6]:port"; port is 0 when there is none.
func splitPort(authority string) (host string, port int) {
	name, number, found := strings.Cut(authority, ":")
	if !found { // of which net would make an error
		return authority, 0
	}
	if port, ok := decimal(number); ok && !strings.Contains(name, "[") && !strings.Contains(name, "]") {
		return name, port
	}
	host, text, err := net.SplitHostPort(authority)
	if err != nil {
		return strings.Trim(authority, "[]"), 0
	}
	port, err = strconv.Atoi(text)
	if err != nil {
		return host, 0
	}
	return host, port
}

// decimal reads a number of one to five digits.
func decimal(text string) (n int, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, 1 <= len(text) && len(text) <= 5
}

// defaultPort is the port that a scheme implies.
func defaultPort(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}
