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

// method is m if it is a method of RFC 9110, RFC 5789 or RFC 10008, and _OTHER
// if not: whoever calls us must not invent metric labels.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return m
	}
	return otherMethod
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
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return path[:i]
	}
	return path
}

// fullURL is the address of an outbound request without userinfo and with every
// query value replaced: keys are kept, since they say which call it was.
func fullURL(u *url.URL) string {
	authority, path := u.Host, ""
	switch {
	case strings.HasPrefix(u.Opaque, "//"):
		authority, path = cutAuthority(u.Opaque[2:])
	case u.Opaque == "": // "*" is no path
		path = u.EscapedPath()
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]

	var b strings.Builder
	b.Grow(len(u.Scheme) + len(authority) + len(path) + len(u.RawQuery) + 16)
	b.WriteString(u.Scheme)
	b.WriteString("://")
	b.WriteString(authority)
	b.WriteString(pathOnly(path))
	writeQuery(&b, u.RawQuery)
	return clip(b.String(), maxURL)
}

// cutAuthority splits "host:port/path".
func cutAuthority(s string) (authority, path string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// writeQuery writes the keys of a raw query. A part without "=" may be a value
// as well as a key, and is taken for a value.
func writeQuery(b *strings.Builder, raw string) {
	separator := byte('?')
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" || b.Len() > maxURL {
			continue
		}
		b.WriteByte(separator)
		separator = '&'
		if key, _, ok := strings.Cut(part, "="); ok {
			b.WriteString(key)
			b.WriteByte('=')
		}
		b.WriteString("REDACTED")
	}
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

// splitPort splits "host:port" and "[v6]:port"; port is 0 when there is none.
func splitPort(authority string) (host string, port int) {
	if strings.IndexByte(authority, ':') < 0 { // the usual, of which net would make an error
		return authority, 0
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

// defaultPort is the port that a scheme implies.
func defaultPort(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}
