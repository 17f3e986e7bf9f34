package auth

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const redacted = "REDACTED"

// A Secret is text that no log, page, error or record may show: however it is
// formatted or encoded, it reads REDACTED. Only Reveal gives the text. Secrets
// of the same text are equal; the zero Secret is the empty text.
//
// It is no string, and does not lead to one without Reveal: package fmt calls no
// methods on unexported fields and for %p, package encoding/json none on strings
// that are map keys. What they print then is an address.
type Secret struct {
	text unique.Handle[string]
}

// NewSecret makes text a secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// Format writes REDACTED for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns REDACTED.
func (s Secret) String() string { return redacted }

// GoString returns REDACTED.
func (s Secret) GoString() string { return redacted }

// LogValue returns REDACTED. It is here for its signature: nothing is logged.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns REDACTED.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "REDACTED".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
