package quota

import (
	"strings"
	"time"

	"outrider/policy/hint"
)

// A clock reads when a reset is, on our clock. A value that is not of its kind,
// or too far away, is none: zero.
type clock func(r *reading, v string) time.Time

// The smallest epochs, of the year 1973: in seconds, which no time from now can
// be, since it would be three years; and in milliseconds, which in seconds would
// be the year 5138.
const (
	leastEpoch       = 1e8
	leastEpochMillis = 1e11
)

// byLook is the clock for those who do not say what they send.
func byLook(r *reading, v string) time.Time {
	if a, ok := number(v); ok {
		if a.whole >= leastEpoch {
			return r.epoch(a)
		}
		return r.in(a.of(time.Second))
	}
	if at := duration(r, v); !at.IsZero() || v == "" {
		return at
	}
	return date(r, v)
}

// epoch is a number of seconds since 1970, or of milliseconds.
func epoch(r *reading, v string) time.Time {
	if a, ok := number(v); ok && a.whole >= leastEpoch {
		return r.epoch(a)
	}
	return time.Time{}
}

// seconds is a number of seconds from now.
func seconds(r *reading, v string) time.Time { return r.from(v, time.Second) }

// millis is a number of milliseconds from now.
func millis(r *reading, v string) time.Time { return r.from(v, time.Millisecond) }

// duration is the time from now as Go writes it: "6m0s", "12ms".
func duration(r *reading, v string) time.Time {
	if v == "" || v[0] < '0' || v[0] > '9' || v[len(v)-1] < 'a' { // a sign is none; the last is a unit
		return time.Time{}
	}
	d, err := time.ParseDuration(v)
	return r.in(d, err == nil)
}

// date is RFC 3339, ISO 8601 without seconds or without the colon in the zone,
// or an HTTP-date.
func date(r *reading, v string) time.Time {
	if strings.IndexByte(v, 'T') == len("2006-01-02") {
		for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700"} {
			if at, err := time.Parse(layout, v); err == nil {
				return r.at(at)
			}
		}
		return time.Time{}
	}
	if at, ok := hint.Date(v); ok {
		return r.at(at)
	}
	return time.Time{}
}

func (r *reading) from(v string, unit time.Duration) time.Time {
	if a, ok := number(v); ok {
		return r.in(a.of(unit))
	}
	return time.Time{}
}

func (r *reading) epoch(a amount) time.Time {
	if a.whole >= leastEpochMillis {
		return r.at(time.UnixMilli(a.whole).Add(time.Duration(a.billionths / 1000)))
	}
	return r.at(time.Unix(a.whole, a.billionths))
}

// in is the instant after d, if ok.
func (r *reading) in(d time.Duration, ok bool) time.Time {
	if !ok || d < 0 || d > MaxReset {
		return time.Time{}
	}
	return r.now.Add(d)
}

// at is an instant of the provider's clock on ours. One that has passed is now,
// as in package hint, unless it is as far away as none ahead may be.
func (r *reading) at(there time.Time) time.Time {
	if r.date.IsZero() {
		r.date = hint.Sent(r.header, r.now)
	}
	d := there.Sub(r.date)
	return r.in(max(d, 0), d >= -MaxReset)
}
