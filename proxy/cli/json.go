package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
)

// writeJSON writes a document and the end of its line, indented by what indent says; "": not
// at all. It steers no terminal: JSON itself lets C1 control characters, and those that
// change the direction of text, stand in strings as they are.
func writeJSON(w io.Writer, v any, indent string) error {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(document.Bytes()))
	return err
}

// escapeJSON writes what is not to be seen of a document as \u and its number, which means
// the same: outside of strings there is none of it but line breaks.
func escapeJSON(document []byte) []byte {
	escaped := make([]byte, 0, len(document))
	for _, r := range string(document) {
		switch {
		case unicode.IsGraphic(r) || r == '\n':
			escaped = append(escaped, string(r)...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	return escaped
}
