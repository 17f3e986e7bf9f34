package auth

import (
	"net/url"
	"strings"
)

// A finder finds a text, which is not empty, in s, from left to right and once through, whichever of its
// bytes are percent-encoded there (RFC 3986 §2.1), once. A space may be "+", too, as
// forms write it. What it finds does not overlap.
type finder struct {
	s, text string
	at      int  // what is before was looked at
	plain   int  // the next place from at where text stands as it is; -1: none
	encoded bool // see mayBeEncoded
}

func find(text, s string) finder {
	return finder{s: s, text: text, plain: strings.Index(s, text), encoded: mayBeEncoded(s)}
}

// mayBeEncoded reports whether s may hold a text in another form than as it is.
func mayBeEncoded(s string) bool {
	return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0
}

// next gives the next place; start is -1 where there is none.
func (f *finder) next() (start, end int) {
	if !f.encoded {
		start, end = f.plain, f.plain+len(f.text)
		if start >= 0 {
			f.pass(end)
		}
		return start, end
	}
	for i := f.at; i < len(f.s); i++ {
		if c := f.s[i]; c != f.text[0] && c != '%' && c != '+' { // mostly
			continue
		}
		n, ok := len(f.text), i == f.plain // a text with a % of its own reads otherwise when it is decoded
		if !ok {
			n, ok = prefixEncoded(f.s[i:], f.text)
		}
		if ok {
			f.pass(i + n)
			return i, i + n
		}
	}
	f.at = len(f.s)
	return -1, 0
}

// pass goes on from end. The rest is searched only when what was found in it has
// been passed: many places in a long text would have it searched as many times.
func (f *finder) pass(end int) {
	f.at = end
	if f.plain < 0 || f.plain >= end {
		return
	}
	if f.plain = strings.Index(f.s[end:], f.text); f.plain >= 0 {
		f.plain += end
	}
}

// replaceEncoded puts with in every place where a finder finds text.
func replaceEncoded(s, text, with string) string {
	f := find(text, s)
	start, end := f.next()
	if start < 0 {
		return s
	}
	var b strings.Builder
	done := 0 // bytes of s that are in b
	for ; start >= 0; start, end = f.next() {
		b.WriteString(s[done:start])
		b.WriteString(with)
		done = end
	}
	b.WriteString(s[done:])
	return b.String()
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
