package spans

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
)

// The wire format of Protocol Buffers, as far as spans need it. A field is its number and
// how it is written, then its value: https://protobuf.dev/programming-guides/encoding/
const (
	varint    = 0
	fixed64   = 1
	delimited = 2
	fixed32   = 5
)

func appendTag(b []byte, field, how int) []byte { return appendNumber(b, uint64(field<<3|how)) }

// appendNumber writes a varint. Most are of one byte, and that is all that is inlined.
func appendNumber(b []byte, n uint64) []byte {
	if n < 1<<7 {
		return append(b, byte(n))
	}
	return binary.AppendUvarint(b, n)
}

// appendVarint writes a number, unless it is zero, which goes without saying.
func appendVarint(b []byte, field int, n uint64) []byte {
	if n == 0 {
		return b
	}
	return appendNumber(appendTag(b, field, varint), n)
}

// appendFixed64 writes a number of eight bytes, unless it is zero.
func appendFixed64(b []byte, field int, n uint64) []byte {
	if n == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(appendTag(b, field, fixed64), n)
}

func appendBytes(b []byte, field int, value []byte) []byte {
	b = appendNumber(appendTag(b, field, delimited), uint64(len(value)))
	return append(b, value...)
}

// appendString writes a text. It must be UTF-8, or a receiver refuses the whole batch: what
// is not is replaced by U+FFFD.
func appendString(b []byte, field int, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	b = appendNumber(appendTag(b, field, delimited), uint64(len(text)))
	return append(b, text...)
}

// appendText is appendString, but for the empty text, which goes without saying.
func appendText(b []byte, field int, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(b, field, text)
}

// open begins a message within another. Its length comes before it, and is not known yet:
// there is room for one of a single byte, at the place that is given. See closed.
func open(b []byte, field int) (_ []byte, at int) {
	b = append(appendTag(b, field, delimited), 0)
	return b, len(b)
}

// closed ends the message that begins at a place, and writes its length. A message that
// turned out to be longer than 127 bytes is moved, to make room for that.
func closed(b []byte, at int) []byte {
	n := len(b) - at
	if n < 1<<7 {
		b[at-1] = byte(n)
		return b
	}
	var length [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(length[:], uint64(n))
	b = slices.Insert(b, at, length[1:size]...)
	b[at-1] = length[0]
	return b
}
