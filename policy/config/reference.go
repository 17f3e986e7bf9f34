package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// A Reference says where a secret is: "env:NAME", "file:/path", "exec:command args"
// or "keyring:NAME". Any other text is the secret itself, a literal, and shows as
// REDACTED wherever it is printed. Convert to string to get at the text as written.
//
// Three things are out of a type's hands: fmt calls no methods on unexported
// fields, nor for %p, and encoding/json calls none for the keys of a map. Keep a
// Reference in an exported field, and never make it a key.
type Reference string

const redacted = "REDACTED"

// schemes are the places where a secret can be.
var schemes = []string{"env", "file", "exec", "keyring"}

// Scheme is "env", "file", "exec" or "keyring"; "" for a literal.
func (r Reference) Scheme() string {
	if scheme, _, found := strings.Cut(string(r), ":"); found && slices.Contains(schemes, scheme) {
		return scheme
	}
	return ""
}

// Literal reports whether r is the secret itself. The empty Reference is none.
func (r Reference) Literal() bool { return r != "" && r.Scheme() == "" }

// Constant reports whether its value stays what it is as long as the process lives.
func (r Reference) Constant() bool { return r.Scheme() == "env" || r.Scheme() == "" }

// String is the reference; REDACTED for a literal.
func (r Reference) String() string {
	if r.Literal() {
		return redacted
	}
	return string(r)
}

// GoString is what %#v shows.
func (r Reference) GoString() string { return strconv.Quote(r.String()) }

// Format covers every verb: without it, a wrong one (%d) prints the raw value.
func (r Reference) Format(f fmt.State, verb rune) {
	switch {
	case verb == 'v' && f.Flag('#'):
		_, _ = f.Write([]byte(r.GoString()))
	case verb == 'q':
		_, _ = f.Write([]byte(strconv.Quote(r.String())))
	default:
		_, _ = f.Write([]byte(r.String()))
	}
}

// LogValue is what slog shows.
func (r Reference) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is what encoders write.
func (r Reference) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalJSON is what JSON encoders write.
func (r Reference) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }
