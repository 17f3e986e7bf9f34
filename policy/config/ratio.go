package config

import (
	"errors"
	"strconv"
	"strings"
)

// A Ratio is a share, written as a number (0.1) or as a percentage ("10%").
type Ratio float64

var errRatio = errors.New(`must be a share, such as "10%" or 0.1`)

// UnmarshalText reads a ratio. Its errors do not repeat the text.
func (r *Ratio) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	value, ok := parseDecimal(number)
	if !ok {
		return errRatio
	}
	if percent {
		value /= 100
	}
	*r = Ratio(value)
	return nil
}

// MarshalText writes the form of String.
func (r Ratio) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String writes the ratio as a percentage.
func (r Ratio) String() string {
	return strconv.FormatFloat(float64(r)*100, 'g', 10, 64) + "%"
}
