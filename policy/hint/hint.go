// Package hint reads when a server wants to be asked again.
//
// It is a leaf that the other leaves may import: a limit closes its gate by
// it, a retry waits by it, a circuit stays open by it. All of them have to
// come to the same instant, so there is one parser. It reads only what says
// "come back then"; the dialects of quota headers belong to package quota.
package hint

import (
	"net/http"
	"strings"
	"time"
)

// Max is the longest wait that a hint can ask for. Longer ones, among them
// an epoch that stands where a number of seconds belongs, are cut to it: no
// call waits that long, and no gate should stay shut for a typing error.
const Max = 24 * time.Hour

// The canonical forms: the fields are looked up without Header.Values, which
// would canonicalise the name for every response.
const (
	fieldSeconds = "Retry-After"
	fieldMillis  = "Retry-After-Ms"
	fieldDate    = "Date"
)

// RetryAfter says how long the server asks us to wait, counted from now, and
// whether it asks at all. The answer lies in [0, Max].
//
// It understands Retry-After (RFC 9110 §10.2.3) as a number of seconds, whole
// or with decimals ("2.0" is on the wire at several providers), and as an
// HTTP-date in any of the three forms of RFC 9110 §5.6.7; and retry-after-ms,
// a number of milliseconds. Where there are several values, on several lines,
// in a list of numbers or in both fields, the longest wait wins.
//
// A date is compared with the response's own Date, so that neither clock need
// be right; without one, with now. A date that has passed means zero. Parts
// of a nanosecond round up: a hint is never taken early. A value that is none
// of these (negative, empty, with a sign, an exponent or a unit) is no hint
// and takes nothing away from the others.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	longest, found := time.Duration(0), false
	take := func(d time.Duration, ok bool) {
		if ok {
			longest, found = max(longest, d), true
		}
	}
	for _, v := range h[fieldSeconds] {
		if d, ok := number(v, time.Second); ok {
			take(d, true)
		} else if at, ok := Date(v); ok {
			take(until(at, h, now), true)
		} else {
			take(list(v, time.Second))
		}
	}
	for _, v := range h[fieldMillis] {
		take(list(v, time.Millisecond))
	}
	return longest, found
}

// until is the wait from the response's Date, or else from now, to at.
func until(at time.Time, h http.Header, now time.Time) time.Duration {
	return min(max(at.Sub(Sent(h, now)), 0), Max) // Sub saturates, so this holds for any year
}

// Sent is when the server made the response, by its own clock: the Date, or
// now where there is none that can be read. A time that the server names is
// compared with it.
func Sent(h http.Header, now time.Time) time.Time {
	if dates := h[fieldDate]; len(dates) > 0 {
		if sent, ok := Date(dates[0]); ok {
			return sent
		}
	}
	return now
}

// Date reads an HTTP-date: IMF-fixdate, RFC 850 or asctime. The first two must
// say GMT: any other abbreviation is understood by the machine's time zone.
func Date(v string) (time.Time, bool) {
	v = trim(v)
	if strings.Contains(v, ",") && !strings.HasSuffix(v, " GMT") {
		return time.Time{}, false
	}
	at, err := http.ParseTime(v)
	return at, err == nil
}

// list reads comma-separated numbers, the form into which an intermediary may
// fold several lines (RFC 9110 §5.3), and keeps the longest.
func list(v string, unit time.Duration) (longest time.Duration, found bool) {
	for part := range strings.SplitSeq(v, ",") {
		if d, ok := number(part, unit); ok {
			longest, found = max(longest, d), true
		}
	}
	return longest, found
}

// number reads digits with optional decimals as a multiple of unit, which is
// a second or a millisecond.
func number(v string, unit time.Duration) (time.Duration, bool) {
	whole, decimals, dotted := strings.Cut(trim(v), ".")
	if !digits(whole) || dotted && !digits(decimals) {
		return 0, false
	}
	var d time.Duration
	for i := range len(whole) {
		d = min(d*10+time.Duration(whole[i]-'0')*unit, Max)
	}
	place := unit
	for i := range len(decimals) {
		digit := time.Duration(decimals[i] - '0')
		if place /= 10; place > 0 {
			d += digit * place //nolint:durationcheck // a digit, counted in nanoseconds
		} else if digit > 0 {
			d++ // finer than a nanosecond: up
			break
		}
	}
	return min(d, Max), true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// trim takes off the optional white space of RFC 9110 §5.6.3.
func trim(s string) string { return strings.Trim(s, " \t") }
