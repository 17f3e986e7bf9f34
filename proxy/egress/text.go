package egress

import (
	"math"
	"math/bits"
	"strings"
)

// tokenBytes are the characters of a token (RFC 9110 §5.6.2), by kind; 0: none.
var tokenBytes = func() (t [256]uint8) {
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = otherByte
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = hostByte
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = lowerByte | hostByte
		t[c-'a'+'A'] = upperByte | hostByte
	}
	for _, c := range "-._" {
		t[c] = hostByte
	}
	return t
}()

const (
	otherByte uint8 = 1 << iota
	lowerByte
	upperByte
	hostByte // of names and addresses in ASCII
)

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if tokenBytes[s[i]] == 0 {
			return false
		}
	}
	return s != ""
}

// scanName finds the end of the token that s begins with. canonical reports that
// its first letter and each behind a hyphen is upper case, and that no other is.
func scanName(s string) (end int, canonical bool) {
	misplaced, wrong := lowerByte, uint8(0)
	for ; end < len(s); end++ {
		c := s[end]
		kind := tokenBytes[c]
		if kind == 0 {
			break
		}
		wrong |= kind & misplaced
		misplaced = upperByte
		if c == '-' {
			misplaced = lowerByte
		}
	}
	return end, wrong == 0
}

// lower is strings.ToLower, for what has, as a rule, nothing to change.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 || tokenBytes[c]&upperByte != 0 {
			return strings.ToLower(s)
		}
	}
	return s
}

// isFieldValue: no control character but the tab (RFC 9110 §5.5).
func isFieldValue(s string) bool { return controlAt(s) == len(s) }

// isTarget: no space and no control character.
func isTarget(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if below(eightBytes(s), ' '+1) != 0 {
			return false
		}
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// controlAt is where the first control character but the tab is, len(s) if there
// is none. It looks at eight bytes at a time, for a value may be a long token.
func controlAt(s string) int {
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		if found := below(eightBytes(s[i:]), ' '); found != 0 {
			if at := i + bits.TrailingZeros64(found)/8; s[at] != '\t' {
				return at
			}
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			break
		}
	}
	return i
}

// eightBytes is the beginning of s, its first byte the lowest.
func eightBytes(s string) uint64 {
	s = s[:8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// below has the high bit of the lowest of eight bytes that is less than least, or
// DEL. What it has above that bit says nothing: a borrow may have got there.
func below(eight, least uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	del := eight ^ each*0x7f
	return ((eight-each*least)&^eight | (del-each)&^del) & high
}

// trimmed is s without the spaces and tabs around it.
func trimmed(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// tokenIn reports whether one of the comma-separated lists holds the token,
// in any case.
func tokenIn(lists []string, token string) bool {
	for _, list := range lists {
		comma := strings.IndexByte(list, ',')
		for ; comma >= 0; comma = strings.IndexByte(list, ',') {
			if fold(trimmed(list[:comma]), token) {
				return true
			}
			list = list[comma+1:]
		}
		if fold(trimmed(list), token) {
			return true
		}
	}
	return false
}

// decimal is the number that s writes, in digits only.
func decimal(s string) (n int64, ok bool) {
	if !isDigits(s) {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if n > math.MaxInt64/10 {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n < 0 {
			return 0, false
		}
	}
	return n, true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func fold(a, b string) bool { return len(a) == len(b) && (a == b || strings.EqualFold(a, b)) }
