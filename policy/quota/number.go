package quota

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// An amount is a number as providers write it, exactly: digits, with decimals
// at some.
type amount struct {
	whole      int64 // below 10^15
	billionths int64 // up to a whole one, since what is finer rounds up
}

// maxDigits is what an Integer of structured fields may have (RFC 9651 section
// 3.3.1), and what a float64 holds exactly.
const maxDigits = 15

// number reads an amount. A sign, an exponent, a unit, NaN or more than
// maxDigits before the point are none.
func number(v string) (amount, bool) {
	whole, decimals, dotted := strings.Cut(v, ".")
	if !digits(whole) || len(whole) > maxDigits || dotted && !digits(decimals) {
		return amount{}, false
	}
	var a amount
	a.whole, _ = strconv.ParseInt(whole, 10, 64)
	place := int64(1e9)
	for i := range len(decimals) {
		if place /= 10; place == 0 {
			if strings.Trim(decimals[i:], "0") != "" {
				a.billionths++
			}
			break
		}
		a.billionths += int64(decimals[i]-'0') * place
	}
	return a, true
}

// decimal is the amount of a bare item of structured fields.
func decimal(item any) (amount, bool) {
	switch n := item.(type) {
	case int64:
		return amount{whole: n}, n >= 0
	case float64: // three decimals at most (RFC 9651 section 3.3.2)
		whole, part := math.Modf(n)
		return amount{int64(whole), int64(math.Round(part * 1e9))}, n >= 0
	}
	return amount{}, false
}

func (a amount) count() Count { return Known(float64(a.whole) + float64(a.billionths)/1e9) }

// of is the amount times unit, which is at most a second, rounded up. What is
// longer than MaxWindow is none.
func (a amount) of(unit time.Duration) (time.Duration, bool) {
	if a.whole > int64(MaxWindow/unit) {
		return 0, false
	}
	part := (a.billionths*int64(unit) + 1e9 - 1) / 1e9
	d := time.Duration(a.whole)*unit + time.Duration(part)
	return d, d <= MaxWindow
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// trim takes off the optional white space of RFC 9110 section 5.6.3.
func trim(s string) string { return strings.Trim(s, " \t") }

// label returns a name that came from outside, if it can be one: it will be
// part of keys and be shown.
func label(s string) (string, bool) {
	if s == "" || len(s) > 64 {
		return "", false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", false
		}
	}
	return s, true
}
