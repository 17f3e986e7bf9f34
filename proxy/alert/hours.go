package alert

import "time"

// Hours are a part of every day, by the clocks of a place.
type Hours struct {
	From, To time.Duration // since midnight, in whole minutes; To before From: of the next day
	Zone     *time.Location
}

// Until is when the hours end that now is in; zero: it is in none.
func (h Hours) Until(now time.Time) time.Time {
	local := now.In(h.Zone)
	clock := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute
	days := 0
	switch {
	case h.From < h.To && (clock < h.From || clock >= h.To):
		return time.Time{}
	case h.From > h.To && clock >= h.From:
		days = 1
	case h.From > h.To && clock >= h.To:
		return time.Time{}
	}
	year, month, day := local.Date()
	// By the clock, and not by adding hours: some nights have an hour more, or less. A time
	// that they leave out, or have twice, may be one before now.
	end := time.Date(year, month, day+days, 0, int(h.To/time.Minute), 0, 0, h.Zone)
	for !end.After(now) {
		end = end.Add(time.Hour)
	}
	return end
}
