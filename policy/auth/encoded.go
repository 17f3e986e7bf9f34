package auth

import (
	"net/url"
	"strings"
)

// indexEncoded finds text in s, whichever of its bytes are percent-encoded there
// (RFC 3986 §2.1), once. A space may be "+", too, as forms write it. start is -1
// where there is none.
func indexEncoded(s, text string) (start, end int) {
	if len(s) < len(text) {
		return -1, 0
	}
	plain := strings.Index(s, text)
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return plain, plain + len(text)
	}
	for i := range len(s) {
		if i == plain { // a text with a % of its own reads otherwise when it is decoded
			return i, i + len(text)
		}
		if n, ok := prefixEncoded(s[i:], text); ok {
			return i, i + n
		}
	}
	return -1, 0
}

// prefixEncoded reports whether s begins with text, in n bytes.
func prefixEncoded(s, text string) (n int, ok bool) {
	for i := range len(text) {
		rest := s[n:]
		switch c, size := decoded(rest); {
		case size > 0 && c == text[i]:
			n += size
		case rest != "" && (rest[0] == text[i] || rest[0] == '+' && text[i] == ' '):
			n++
		default:
			return 0, false
		}
	}
	return n, true
}

// decoded is the byte that s begins with, and how many it takes there: three
// where it is percent-encoded, none in an empty s.
func decoded(s string) (c byte, size int) {
	if len(s) >= 3 && s[0] == '%' {
		high, low := unhex(s[1]), unhex(s[2])
		if high >= 0 && low >= 0 {
			return byte(high<<4 | low), 3
		}
	}
	if s == "" {
		return 0, 0
	}
	return s[0], 1
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// escape encodes everything that is not unreserved in RFC 3986.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
