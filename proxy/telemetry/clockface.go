package telemetry

import "time"

// A clockFace writes times as time.RFC3339Nano. All that one has in common with the one
// before, if they are of the same second, is at hand.
type clockFace struct {
	second int64 // since 1970
	place  *time.Location
	date   []byte // up to the second; nil: no time was written yet
	zone   []byte
}

func (c *clockFace) append(b []byte, at time.Time) []byte {
	if second := at.Unix(); c.date == nil || second != c.second || at.Location() != c.place {
		c.second, c.place = second, at.Location()
		c.date = at.AppendFormat(c.date[:0], "2006-01-02T15:04:05")
		c.zone = at.AppendFormat(c.zone[:0], "Z07:00")
	}
	b = append(b, c.date...)
	b = appendFraction(b, at.Nanosecond(), 9)
	return append(b, c.zone...)
}
