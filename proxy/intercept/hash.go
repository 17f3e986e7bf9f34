package intercept

import (
	"crypto/sha1" //nolint:gosec // G505: OpenSSL made its choice; the name only has to be found
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"strings"
)

// subjectHash gives the name under which OpenSSL looks for a root in a
// directory (X509_NAME_hash): the first four bytes, least significant first, of
// the SHA-1 of the subject in canonical form.
func subjectHash(rawSubject []byte) (string, error) {
	canonical, err := canonicalName(rawSubject)
	if err != nil {
		return "", err
	}
	sum := sha1.Sum(canonical) //nolint:gosec // G401: see the import
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4])), nil
}

// An attributeSET is a relative distinguished name; encoding/asn1 knows by the
// end of the type's name that it is a SET, and sorts it.
type attributeSET []attribute

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// canonicalName does what OpenSSL's x509_name_canon does: strings become UTF-8,
// in lower case as far as they are ASCII, with one space where there are
// several and none at the ends; and the outermost SEQUENCE has no header.
func canonicalName(rawSubject []byte) ([]byte, error) {
	var sets []attributeSET
	if rest, err := asn1.Unmarshal(rawSubject, &sets); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, asn1.SyntaxError{Msg: "bytes after the name"}
	}
	var canonical []byte
	for _, set := range sets {
		for i := range set {
			set[i].Value = canonicalValue(set[i].Value)
		}
		der, err := asn1.Marshal(set)
		if err != nil {
			return nil, err
		}
		canonical = append(canonical, der...)
	}
	return canonical, nil
}

func canonicalValue(value asn1.RawValue) asn1.RawValue {
	const visibleString = 26
	switch value.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagBMPString, visibleString:
	default:
		return value // not text to OpenSSL either
	}
	return asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(canonicalText(text(value)))}
}

// text decodes a string of a name into UTF-8.
func text(value asn1.RawValue) string {
	var runes []rune
	switch value.Tag {
	case asn1.TagBMPString:
		for i := 0; i+1 < len(value.Bytes); i += 2 {
			runes = append(runes, rune(binary.BigEndian.Uint16(value.Bytes[i:])))
		}
	case asn1.TagT61String: // which everybody fills with ISO 8859-1
		for _, b := range value.Bytes {
			runes = append(runes, rune(b))
		}
	default:
		return string(value.Bytes)
	}
	return string(runes)
}

// canonicalText leaves bytes outside of ASCII as they are.
func canonicalText(s string) string {
	fields := strings.FieldsFunc(s, func(r rune) bool {
		return r == ' ' || '\t' <= r && r <= '\r'
	})
	lower := []byte(strings.Join(fields, " "))
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}
