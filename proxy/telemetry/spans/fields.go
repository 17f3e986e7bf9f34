package spans

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Key is the name of an attribute, ready to be sent: the field key of a KeyValue, and the
// tag of its value.
type Key struct{ encoded string }

// NewKey prepares a name.
func NewKey(name attribute.Key) Key {
	return Key{string(append(appendText(nil, 1, string(name)), valueOfAttribute))}
}

// Fields are attributes in the form in which they are sent: who ends a span that it knows
// all of writes them once, and no value is made of each, looked for among the others, and
// encoded later. No two may be of one key, and there are fewer than the usual limit.
type Fields struct{ encoded []byte }

// begin begins an attribute whose value, an AnyValue, takes so many bytes. Nearly always
// numbers of one byte say how long all is.
func (f *Fields) begin(key Key, size int) {
	b, all := f.encoded, len(key.encoded)+sizeOf(size)+size
	if all < 1<<7 {
		b = append(append(b, spanAttribute, byte(all)), key.encoded...)
		f.encoded = append(b, byte(size))
		return
	}
	b = append(appendNumber(append(b, spanAttribute), uint64(all)), key.encoded...)
	f.encoded = appendNumber(b, uint64(size))
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
func (f *Fields) Word(key Key, word string) {
	f.begin(key, 1+sizeOf(len(word))+len(word))
	if len(word) < 1<<7 {
		f.encoded = append(append(f.encoded, textValue, byte(len(word))), word...)
		return
	}
	f.encoded = append(appendNumber(append(f.encoded, textValue), uint64(len(word))), word...)
}

// Text adds a text of somebody else's. What is no UTF-8 in it is replaced by U+FFFD.
func (f *Fields) Text(key Key, text string) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	f.Word(key, text)
}

// TextBytes is Text of what is in a buffer.
func (f *Fields) TextBytes(key Key, text []byte) {
	if !utf8.Valid(text) {
		f.Text(key, string(text))
		return
	}
	f.begin(key, 1+sizeOf(len(text))+len(text))
	f.encoded = append(appendNumber(append(f.encoded, textValue), uint64(len(text))), text...)
}

// Number adds a whole number.
func (f *Fields) Number(key Key, n int64) {
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
