package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written with its unit: "500B", "64KiB", "1MB".
// KiB, MiB, GiB and TiB are powers of 1024; KB, MB, GB and TB are powers of 1000.
type Size int64

// unit → bytes; largest first, so that String finds the shortest form
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12},
	{"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6},
	{"KiB", 1 << 10}, {"KB", 1e3},
	{"B", 1},
}

var errSize = errors.New(`must be a size with its unit (B, KiB, MiB, GiB, KB, MB, GB), such as "1MiB"`)

// UnmarshalText reads a size. Its errors do not repeat the text.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		number, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		count, ok := parseDecimal(number)
		// The comparison is with 2^63 exactly: MaxInt64 itself is no float64.
		if bytes := count * float64(unit.bytes); ok && bytes < math.MaxInt64 {
			*s = Size(bytes)
			return nil
		}
		return errSize
	}
	return errSize
}

// MarshalText writes the form of String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.name
		}
	}
	return "0B"
}

// parseDecimal reads digits with at most one point between them. It is
// narrower than strconv.ParseFloat, which also takes signs, exponents,
// underscores, "inf" and hexadecimal.
func parseDecimal(text string) (float64, bool) {
	if text == "" || text[0] == '.' || text[len(text)-1] == '.' {
		return 0, false
	}
	for i := range len(text) {
		if c := text[i]; c != '.' && (c < '0' || c > '9') {
			return 0, false
		}
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}
