package config

import (
	"errors"
	"strings"
	"time"
)

// A Duration is a length of time, written with its unit: "250ms", "10s",
// "1h30m". A bare number is refused: it would be seconds to its author and
// nanoseconds to the decoder.
type Duration time.Duration

var errDuration = errors.New(`must be a time with its unit (ms, s, m, h), such as "10s"`)

// UnmarshalText reads a duration. Its errors do not repeat the text.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errDuration
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes the form of String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes the duration without empty parts: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-len("0s")]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-len("0m")]
	}
	return s
}
