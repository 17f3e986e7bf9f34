package alert_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/alert"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	place, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestHoursEndByTheClocksOfTheirPlace(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	night := alert.Hours{From: 22 * time.Hour, To: 7 * time.Hour, Zone: berlin}
	lunch := alert.Hours{From: 12 * time.Hour, To: 13*time.Hour + 30*time.Minute, Zone: berlin}
	for _, test := range []struct {
		hours     alert.Hours
		now, want string
	}{
		{night, "2026-01-10 21:59", ""},
		{night, "2026-01-10 22:00", "2026-01-11 07:00"},
		{night, "2026-01-11 06:59", "2026-01-11 07:00"},
		{night, "2026-01-11 07:00", ""},
		{night, "2026-03-28 23:00", "2026-03-29 07:00"}, // a night of eight hours
		{night, "2026-10-24 23:00", "2026-10-25 07:00"}, // and one of ten
		{night, "2026-12-31 23:30", "2027-01-01 07:00"},
		{lunch, "2026-01-10 11:59", ""},
		{lunch, "2026-01-10 12:00", "2026-01-10 13:30"},
		{lunch, "2026-01-10 13:30", ""},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04", test.now, berlin)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := test.hours.Until(now.UTC()); !end.IsZero() {
			got = end.In(berlin).Format("2006-01-02 15:04")
		}
		if got != test.want {
			t.Errorf("at %s until %q, want %q", test.now, got, test.want)
		}
	}
}

// Quiet hours that end at a time which the clocks leave out, or have twice, had ended by it
// when they had not: whoever waited for their end waited for nothing, and asked again at
// once, for as long as that night was longer.
func TestHoursEndAfterNowInTheNightsThatClocksAreSet(t *testing.T) {
	york := zone(t, "America/New_York")
	for _, test := range []struct {
		to        time.Duration
		now, want string // UTC
	}{
		{2*time.Hour + 30*time.Minute, "2026-03-08 06:45", "2026-03-08 07:30"}, // 01:45; 02:30 is left out, and 03:30 as late
		{time.Hour + 30*time.Minute, "2026-11-01 05:15", "2026-11-01 05:30"},   // 01:15, the first time
		{time.Hour + 30*time.Minute, "2026-11-01 06:15", "2026-11-01 06:30"},   // and the second
	} {
		now, err := time.Parse("2006-01-02 15:04", test.now)
		if err != nil {
			t.Fatal(err)
		}
		end := alert.Hours{From: 22 * time.Hour, To: test.to, Zone: york}.Until(now)
		if got := end.UTC().Format("2006-01-02 15:04"); got != test.want {
			t.Errorf("at %s until %s, want %s", test.now, got, test.want)
		}
	}
}

// The clock of a test begins at midnight, and the quiet hours end at seven.
func TestQuietHoursHoldBackWhatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		curfew := alert.NewCurfew(d.note)
		defer curfew.Close()
		curfew.Keep(map[string]alert.Hours{"failing": {From: 22 * time.Hour, To: 7 * time.Hour, Zone: time.UTC}})
		book := alert.NewBook(curfew.Tell)
		defer book.Close()
		quiet := alert.Rule{Name: "failing", Severity: alert.Warning}
		raise := func(rule alert.Rule, subject string) { book.Raise(rule, alert.Trouble{Subject: subject}) }

		raise(quiet, "crm")
		raise(quiet, "erp")
		raise(atOnce, "crm") // whose rule has none
		time.Sleep(time.Hour)
		book.Resolve("erp", quiet) // and so it was nothing
		d.want(t, "dead crm 1 lasts")
		if n := curfew.Held(); n != 1 {
			t.Errorf("%d are held, want 1", n)
		}
		time.Sleep(6 * time.Hour)
		d.want(t, "dead crm 1 lasts", "failing crm 1 lasts")

		time.Sleep(15 * time.Hour) // It is ten in the evening.
		book.Resolve("crm", quiet)
		raise(quiet, "erp")
		time.Sleep(time.Hour)
		raise(quiet, "crm") // which people know to last
		time.Sleep(8 * time.Hour)
		d.want(t, "dead crm 1 lasts", "failing crm 1 lasts", "failing erp 1 lasts")
	})
}

func TestAnEndInQuietHoursIsToldAfterThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		curfew := alert.NewCurfew(d.note)
		defer curfew.Close()
		book := alert.NewBook(curfew.Tell)
		defer book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		night := alert.Hours{From: 22 * time.Hour, To: 7 * time.Hour, Zone: time.UTC}
		curfew.Keep(map[string]alert.Hours{"dead": night})
		time.Sleep(time.Hour)
		book.Resolve("crm", atOnce)
		d.want(t, "dead crm 1 lasts")
		time.Sleep(6 * time.Hour)
		d.want(t, "dead crm 1 lasts", "dead crm 1 took 1h0m0s")
	})
}

// A reload that takes quiet hours away tells what was held for them.
func TestQuietHoursThatAreNoMoreHoldNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		curfew := alert.NewCurfew(d.note)
		defer curfew.Close()
		curfew.Keep(map[string]alert.Hours{"dead": {To: 7 * time.Hour, Zone: time.UTC}})
		curfew.Tell(alert.Alert{Rule: "dead", Subject: "crm", Count: 1})
		d.want(t)
		curfew.Keep(nil)
		d.want(t, "dead crm 1 lasts")
		time.Sleep(24 * time.Hour)
		d.want(t, "dead crm 1 lasts")
	})
}
