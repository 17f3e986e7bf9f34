package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A Rate is a number of calls in a length of time: "100/s", "5000/h",
// "190/10s", "60/m", "1000/d". The zero Rate is no rate at all.
type Rate struct {
	Count float64
	Per   time.Duration
}

const day = 24 * time.Hour

var errRate = errors.New(`must be calls per time, such as "100/s", "190/10s" or "5000/h"`)

// PerSecond is the rate in calls per second; 0 for the zero Rate.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return r.Count / r.Per.Seconds()
}

// UnmarshalText reads a rate. Its errors do not repeat the text.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, ok := strings.Cut(string(text), "/")
	if !ok {
		return errRate
	}
	count, ok := parseDecimal(number)
	if !ok {
		return errRate
	}
	per, ok := parsePer(unit)
	if !ok {
		return errRate
	}
	*r = Rate{Count: count, Per: per}
	return nil
}

// parsePer reads what stands behind the slash: a unit, or a duration. Days are
// known here and not in durations, since providers count quotas by the day.
func parsePer(text string) (time.Duration, bool) {
	if text == "" {
		return 0, false
	}
	if text[0] < '0' || text[0] > '9' {
		text = "1" + text
	}
	if number, ok := strings.CutSuffix(text, "d"); ok {
		days, err := strconv.ParseUint(number, 10, 16)
		return time.Duration(days) * day, err == nil && days > 0
	}
	per, err := time.ParseDuration(text)
	return per, err == nil && per > 0
}

// MarshalText writes the form of String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String writes the rate as it would stand in the document.
func (r Rate) String() string {
	if r.Per <= 0 {
		return "none"
	}
	per := Duration(r.Per).String()
	switch r.Per {
	case time.Millisecond, time.Second, time.Minute, time.Hour:
		per = per[1:]
	case day:
		per = "d"
	}
	return strconv.FormatFloat(r.Count, 'f', -1, 64) + "/" + per
}
