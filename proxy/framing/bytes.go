package framing

import "encoding/binary"

// A class is a set of bytes that some part of the grammar allows.
type class uint8

const (
	token  class = 1 << iota // tchar, RFC 9110 §5.6.2
	value                    // field-vchar, SP, HTAB: RFC 9110 §5.5
	target                   // visible bytes and those ≥ 0x80, without '#'
	name                     // what we take in a host name: unreserved of RFC 3986 §2.3
	hex
	quoted // qdtext, RFC 9110 §5.6.4
)

// classes maps a byte to the classes that it is in.
var classes = func() (t [256]class) {
	for i := range t {
		b := byte(i)
		digit := '0' <= b && b <= '9'
		alpha := 'a' <= b|0x20 && b|0x20 <= 'z'
		control := b < ' ' || b == 0x7f
		set := func(c class, in bool) {
			if in {
				t[i] |= c
			}
		}
		set(token, digit || alpha || oneOf("!#$%&'*+-.^_`|~", b))
		set(value, !control || b == '\t')
		set(target, !control && b != ' ' && b != '#')
		set(name, digit || alpha || oneOf("-._~", b))
		set(hex, digit || 'a' <= b|0x20 && b|0x20 <= 'f')
		set(quoted, (!control || b == '\t') && b != '"' && b != '\\')
	}
	return t
}()

func oneOf(set string, b byte) bool {
	for i := range len(set) {
		if set[i] == b {
			return true
		}
	}
	return false
}

// all reports whether every byte of b is in c; an empty b is.
func all(b []byte, c class) bool {
	for _, x := range b {
		if classes[x]&c == 0 {
			return false
		}
	}
	return true
}

// ones has a 1 in each of its bytes, and highs the highest bit.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// isValue is all(b, value), eight bytes at a time as long as none of them is a control
// character: subtracting leaves the highest bit of a byte only where that was less.
func isValue(b []byte) bool {
	for len(b) >= 8 {
		word := binary.LittleEndian.Uint64(b)
		deleted := word ^ 0x7f*ones // 0 in place of 0x7f
		if ((word-' '*ones)&^word|(deleted-ones)&^deleted)&highs != 0 && !all(b[:8], value) {
			return false
		}
		b = b[8:]
	}
	return all(b, value)
}

// trim finds b without the optional whitespace (RFC 9110 §5.6.3) at both ends.
func trim(b []byte) (from, to int) {
	to = len(b)
	for from < to && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	for from < to && (b[to-1] == ' ' || b[to-1] == '\t') {
		to--
	}
	return from, to
}

// fold reports whether b is lower, which is in lower case, in any ASCII case.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, x := range b {
		if 'A' <= x && x <= 'Z' {
			x |= 0x20
		}
		if x != lower[i] {
			return false
		}
	}
	return true
}
