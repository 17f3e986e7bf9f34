package alarm_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/alarm"
)

// An outboxRig looks at an outbox that a test changes.
type outboxRig struct {
	*diary
	outbox alarm.Outbox
	used   bool
	known  *alarm.Outbox // what is known of it where nobody asks anew; nil: all that there is
	asked  int           // anew
}

func newOutboxRig(t *testing.T) *outboxRig {
	r := &outboxRig{used: true, outbox: alarm.Outbox{Most: 1 << 30, MaxAge: 24 * time.Hour}}
	_, r.diary = newAlarmsWith(t, alarm.Settings{Outbox: func(anew bool) (alarm.Outbox, bool) {
		if anew {
			r.asked++
		}
		if r.known != nil && !anew {
			return *r.known, r.used
		}
		return r.outbox, r.used
	}})
	return r
}

// look lets a minute pass with its looks.
func (r *outboxRig) look(letters ...alarm.Letters) {
	r.outbox.Letters = letters
	for range time.Minute / lookout {
		time.Sleep(lookout)
		r.alarms.Look(nil, time.Now())
	}
}

func TestDeadLettersAreToldOnceUntilNoneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		r.look(alarm.Letters{Upstream: "crm", Waiting: 9})
		r.want()
		r.look(alarm.Letters{Upstream: "crm", Dead: map[string]int{"refused": 1}})
		r.want("letters-dead: 1 dead letter of crm")
		r.look(alarm.Letters{Upstream: "crm", Dead: map[string]int{"key-age": 1, "refused": 3, "unknown": 2}})
		if a := r.only(); a.Title != "6 dead letters of crm" || a.Subject != "crm/letters:dead" ||
			a.Detail != "3 refused by the provider, 2 that may have been done, 1 whose idempotency key is too old" ||
			a.Action != "Look at them (outrider outbox list --upstream crm --state dead), and have them sent again, changed or dropped: outrider outbox retry, edit, drop." {
			t.Errorf("it is %+v", a)
		}
		r.look()
		r.want("letters-dead: 1 dead letter of crm", "letters-dead is over: 6 dead letters of crm")
	})
}

// Letters that were dropped were told of as dead, where what was known of the outbox was two
// seconds old. It is asked anew before there is an alert, and not as long as it lasts.
func TestLettersThatAreGoneAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		before := r.outbox
		before.Letters = []alarm.Letters{{Upstream: "crm", Dead: map[string]int{"refused": 2}}}
		r.known = &before
		r.alarms.Look(nil, time.Now())
		r.want()
		r.known = nil
		r.look()
		r.want()
		r.asked = 0
		r.look(before.Letters...)
		r.want("letters-dead: 2 dead letters of crm")
		if r.asked != 1 {
			t.Errorf("asked %d times anew for one alert", r.asked)
		}
	})
}

// A letter that cannot be read is not one that the provider did not want: somebody has to look
// at the disk.
func TestDamagedLettersAreAnAlertOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		r.look(alarm.Letters{Upstream: "crm", Dead: map[string]int{"damaged": 2}})
		r.want("letters-damaged: 2 letters of crm cannot be read")
		if a := r.only(); a.Severity != "critical" || a.Subject != "crm/letters:damaged" {
			t.Errorf("it is %+v", a)
		}
		r.look()
		r.want("letters-damaged: 2 letters of crm cannot be read", "letters-damaged is over: 2 letters of crm cannot be read")
	})
}

func TestLettersThatWaitForHalfOfTheirAgeAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		r.look(alarm.Letters{Upstream: "crm", Waiting: 3, Oldest: 12*time.Hour - 1})
		r.want()
		r.look(alarm.Letters{Upstream: "crm", Waiting: 3, Oldest: 12 * time.Hour})
		r.want("letters-late: Letters of crm have waited for 12h")
		if a := r.only(); a.Detail != "3 letters waiting; those that are 24h old are dead" {
			t.Errorf("it is %+v", a)
		}
		r.look(alarm.Letters{Upstream: "crm", Waiting: 2, Oldest: time.Hour})
		r.want("letters-late: Letters of crm have waited for 12h", "letters-late is over: Letters of crm have waited for 12h")
	})
}

func TestOutboxThatFillsIsToldOnceUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		fill := func(percent int64) {
			r.outbox.Bytes = r.outbox.Most / 100 * percent
			r.look()
		}
		fill(79)
		r.want()
		fill(81)
		r.want("outbox-filling: The outbox is 81 % full")
		fill(72)
		fill(85)
		r.want("outbox-filling: The outbox is 81 % full")
		fill(60)
		r.want("outbox-filling: The outbox is 81 % full", "outbox-filling is over: The outbox is 85 % full")
		fill(72)
		r.want("outbox-filling: The outbox is 81 % full", "outbox-filling is over: The outbox is 85 % full")
	})
}

// Of an outbox that is away it is not known whether its letters are still dead: that they were
// told to be over, and told again when it was back, was news of nothing.
func TestOutboxThatIsAwayEndsNoOtherAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		dead := alarm.Letters{Upstream: "crm", Dead: map[string]int{"refused": 1}}
		r.look(dead)
		r.outbox.Err = errors.New("the database does not answer\nand more")
		r.alarms.Look(nil, time.Now())
		r.want("letters-dead: 1 dead letter of crm") // it may be back in a moment
		r.look()
		r.want("letters-dead: 1 dead letter of crm", "outbox-away: The outbox cannot be used")
		r.outbox.Err = nil
		r.look(dead)
		r.want("letters-dead: 1 dead letter of crm", "outbox-away: The outbox cannot be used", "outbox-away is over: The outbox cannot be used")
	})
}

// The disk was full: calls were answered 503, and nobody was told, for whoever asked the store
// how it stands was answered.
func TestOutboxThatRefusesLettersIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		r.outbox.Refusing = "the disk is full"
		r.alarms.Look(nil, time.Now())
		r.want()
		r.look()
		r.want("outbox-away: The outbox refuses letters")
		if a := r.only(); a.Severity != "critical" || a.Detail != "the disk is full" {
			t.Errorf("it is %+v", a)
		}
		dead := alarm.Letters{Upstream: "crm", Dead: map[string]int{"refused": 1}}
		r.look(dead) // which are known all the same
		r.outbox.Refusing = ""
		r.look(dead)
		r.want("outbox-away: The outbox refuses letters", "letters-dead: 1 dead letter of crm", "outbox-away is over: The outbox refuses letters")
	})
}

// A reload that takes an upstream away leaves its letters.
func TestLettersOutliveTheirUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newOutboxRig(t)
		r.look(alarm.Letters{Upstream: "crm", Dead: map[string]int{"refused": 1}})
		r.alarms.Follow(compiled(t, "[upstream.other]\nurl = \"http://127.0.0.1:1\"\n"))
		r.want("letters-dead: 1 dead letter of crm")
		r.used = false
		r.look()
		r.want("letters-dead: 1 dead letter of crm", "letters-dead is over: 1 dead letter of crm")
	})
}
