package config

import "time"

// readInstant reads a day, whose begin is meant by UTC, or a time of RFC 3339, in quotes or
// as TOML has them. It is in UTC, so that two of them can be compared.
func readInstant(n node) (time.Time, bool) {
	switch v := n.raw.(type) {
	case time.Time:
		return v.UTC(), true
	case string:
		for _, form := range []string{time.DateOnly, time.RFC3339} {
			if at, err := time.Parse(form, v); err == nil {
				return at.UTC(), true
			}
		}
	}
	n.fail(`must be a day or a time, such as "2027-01-31" or "2027-01-31T12:00:00Z"`)
	return time.Time{}, false
}
