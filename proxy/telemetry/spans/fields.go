package spans

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Key is the name of an attribute, ready to be sent: a whole attribute, but for what
// [Fields.brief] fills in.
type Key struct{ blank string }

// Of a blank, what is before the name and after it is filled in.
const (
	beforeName = 2 // the tag of the attribute, and its length
	afterName  = 3 // the length of the value, an AnyValue, its tag and its first byte
)

// NewKey prepares a name.
func NewKey(name attribute.Key) Key {
	blank := appendText([]byte{spanAttribute, 0}, 1, string(name))
	return Key{string(append(blank, valueOfAttribute, 0, 0, 0))}
}

// Fields are attributes in the form in which they are sent: who ends a span that it knows
// all of writes them once, and no value is made of each, looked for among the others, and
// encoded later. No two may be of one key, and there are fewer than the usual limit.
type Fields struct{ encoded []byte }

// A Common is attributes that many spans have alike, in the form in which they are sent.
type Common struct{ encoded string }

// Size is how much was written.
func (f *Fields) Size() int { return len(f.encoded) }

// Since gives what was written since Size was from.
func (f *Fields) Since(from int) Common { return Common{string(f.encoded[from:])} }

// Common adds what another span has alike.
func (f *Fields) Common(c Common) { f.encoded = append(f.encoded, c.encoded...) }

// isBrief reports whether numbers of one byte say how long an attribute is of whose value
// there are so many bytes after the first, as is nearly always so.
func isBrief(key Key, more int) bool { return len(key.blank)-beforeName+more < 1<<7 }

// brief gives what is encoded, with such an attribute begun. Its value has a tag, a first byte,
// and those that the caller appends.
func (f *Fields) brief(key Key, tag, first byte, more int) []byte {
	begin := len(f.encoded)
	b := append(f.encoded, key.blank...)
	b[begin+1] = byte(len(key.blank) - beforeName + more)
	b[len(b)-3], b[len(b)-2], b[len(b)-1] = byte(2+more), tag, first
	return b
}

// begin begins any other, whose value takes so many bytes.
func (f *Fields) begin(key Key, size int) {
	name := key.blank[beforeName : len(key.blank)-afterName]
	b := appendNumber(append(f.encoded, spanAttribute), uint64(len(name)+sizeOf(size)+size))
	f.encoded = appendNumber(append(b, name...), uint64(size))
}

// Tags of fields that are written for each attribute: attributes of a Span, value of a
// KeyValue, and the values of an AnyValue.
const (
	spanAttribute    = 9<<3 | delimited
	valueOfAttribute = 2<<3 | delimited
	textValue        = 1<<3 | delimited
	truthValue       = 2<<3 | varint
	numberValue      = 3<<3 | varint
	fractionValue    = 4<<3 | fixed64
)

// sizeOf is how many bytes a number takes as a varint.
func sizeOf(n int) int {
	size := 1
	for n >= 1<<7 {
		n >>= 7
		size++
	}
	return size
}

// Word adds a text that is known to be UTF-8, as one of the program is, or of the
// configuration: with another the whole batch would be refused.
func (f *Fields) Word(key Key, word string) { addText(f, key, word) }

// Text adds a text of somebody else's. What is no UTF-8 in it is replaced by U+FFFD.
func (f *Fields) Text(key Key, text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	addText(f, key, text)
}

// TextBytes is Text of what is in a buffer.
func (f *Fields) TextBytes(key Key, text []byte) {
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	addText(f, key, text)
}

// addText adds a text that is UTF-8.
func addText[T string | []byte](f *Fields, key Key, text T) {
	if isBrief(key, len(text)) {
		f.encoded = append(f.brief(key, textValue, byte(len(text)), len(text)), text...)
		return
	}
	f.begin(key, 1+sizeOf(len(text))+len(text))
	f.encoded = append(appendNumber(append(f.encoded, textValue), uint64(len(text))), text...)
}

// Number adds a whole number.
func (f *Fields) Number(key Key, n int64) {
	switch {
	case n >= 0 && n < 1<<7 && isBrief(key, 0):
		f.encoded = f.brief(key, numberValue, byte(n), 0)
		return
	case n >= 0 && n < 1<<14 && isBrief(key, 1):
		f.encoded = append(f.brief(key, numberValue, byte(n)|1<<7, 1), byte(n>>7))
		return
	}
	var value [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(value[:], uint64(n))
	f.begin(key, 1+size)
	f.encoded = append(append(f.encoded, numberValue), value[:size]...)
}

// Fraction adds a number that may have a fraction.
func (f *Fields) Fraction(key Key, x float64) {
	f.begin(key, 9)
	f.encoded = binary.LittleEndian.AppendUint64(append(f.encoded, fractionValue), math.Float64bits(x))
}

// Truth adds yes or no.
func (f *Fields) Truth(key Key, yes bool) {
	if isBrief(key, 0) {
		f.encoded = f.brief(key, truthValue, truth(yes), 0)
		return
	}
	f.begin(key, 2)
	f.encoded = append(f.encoded, truthValue, truth(yes))
}

// attributes gives what was written as others know it.
func (f *Fields) attributes() []attribute.KeyValue {
	var span tracepb.Span
	if err := proto.Unmarshal(f.encoded, &span); err != nil {
		return nil // there is none of what was written here
	}
	list := make([]attribute.KeyValue, 0, len(span.Attributes))
	for _, a := range span.Attributes {
		key := attribute.Key(a.Key)
		switch v := a.Value.GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			list = append(list, key.String(v.StringValue))
		case *commonpb.AnyValue_BoolValue:
			list = append(list, key.Bool(v.BoolValue))
		case *commonpb.AnyValue_IntValue:
			list = append(list, key.Int64(v.IntValue))
		case *commonpb.AnyValue_DoubleValue:
			list = append(list, key.Float64(v.DoubleValue))
		}
	}
	return list
}
