package auth

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "REDACTED"

// A Secret is text that no log, page, error or record may show: however it is
// formatted or encoded, it reads REDACTED. Only Reveal gives the value.
//
// Package fmt calls no methods on unexported struct fields, and prints the text
// itself: keep a Secret in exported fields, or in none.
type Secret string

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

// Format writes REDACTED for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

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
