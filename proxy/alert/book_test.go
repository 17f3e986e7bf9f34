package alert_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/alert"
)

var (
	atOnce  = alert.Rule{Name: "dead", Severity: alert.Critical}
	patient = alert.Rule{Name: "failing", Severity: alert.Warning, Patience: 5 * time.Minute}
)

// diary notes what a Book tells.
type diary struct {
	mu   sync.Mutex
	told []string
}

func (d *diary) note(a alert.Alert) {
	end := "lasts"
	if a.Ended != nil {
		end = "took " + a.Ended.Sub(a.Since).String()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, fmt.Sprintf("%s %s %d %s", a.Rule, a.Subject, a.Count, end))
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.told, want) {
		t.Errorf("told %q, want %q", d.told, want)
	}
}

func TestAlertIsToldOnceAndOnceWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		for range 3 {
			book.Raise(atOnce, alert.Trouble{Subject: "crm", Title: "Reconnect crm", Detail: "invalid_grant"})
			time.Sleep(time.Minute)
		}
		d.want(t, "dead crm 1 lasts")
		if active := book.Active(); len(active) != 1 || active[0].Count != 3 {
			t.Errorf("active %+v, want one that was raised 3 times", active)
		}
		book.Resolve("crm", patient, atOnce)
		book.Resolve("crm", atOnce)
		d.want(t, "dead crm 1 lasts", "dead crm 3 took 3m0s")
		if active := book.Active(); len(active) != 0 {
			t.Errorf("active %+v, want none", active)
		}
	})
}

func TestWhatIsOverBeforePatienceIsToldToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(patient, alert.Trouble{Subject: "crm", Title: "failing"})
		time.Sleep(5*time.Minute - 1)
		d.want(t)
		book.Resolve("crm", patient)
		time.Sleep(time.Hour)
		d.want(t)

		book.Raise(patient, alert.Trouble{Subject: "crm", Title: "failing"})
		time.Sleep(5 * time.Minute)
		d.want(t, "failing crm 1 lasts")
	})
}

func TestWhatIsNotThereAnyMoreIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm", Title: "Reconnect crm"})
		book.Raise(atOnce, alert.Trouble{Subject: "mail", Title: "Reconnect mail"})
		book.Raise(patient, alert.Trouble{Subject: "crm", Title: "failing"})
		book.Retain(func(subject string) bool { return subject == "mail" })
		time.Sleep(time.Hour)
		d.want(t, "dead crm 1 lasts", "dead mail 1 lasts", "dead crm 1 took 0s")
	})
}

// One failure that nobody came after is no trouble that lasts.
func TestTroubleThatNobodyMetAgainIsToldToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		twice := patient
		twice.Least = 2
		book.Raise(twice, alert.Trouble{Subject: "crm", Title: "failing"})
		time.Sleep(8 * time.Hour)
		d.want(t)
		book.Raise(twice, alert.Trouble{Subject: "crm", Title: "failing"})
		d.want(t, "failing crm 2 lasts")

		book.Raise(twice, alert.Trouble{Subject: "erp", Title: "failing"})
		book.Raise(twice, alert.Trouble{Subject: "erp", Title: "failing"})
		d.want(t, "failing crm 2 lasts")
		time.Sleep(5 * time.Minute)
		d.want(t, "failing crm 2 lasts", "failing erp 2 lasts")
	})
}

func TestSubjectsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm/acme"})
		book.Raise(atOnce, alert.Trouble{Subject: "crm/globex"})
		book.Resolve("crm/acme", atOnce)
		d.want(t, "dead crm/acme 1 lasts", "dead crm/globex 1 lasts", "dead crm/acme 1 took 0s")
	})
}

// What is gone has no trouble, known or not yet told.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		book.Raise(patient, alert.Trouble{Subject: "crm"})
		book.Raise(atOnce, alert.Trouble{Subject: "erp"})
		book.Retain(func(subject string) bool { return subject != "crm" })
		time.Sleep(time.Hour)
		d.want(t, "dead crm 1 lasts", "dead erp 1 lasts", "dead crm 1 took 0s")
	})
}

// A circuit that has just closed opens again half of the time: that is one trouble.
func TestWhatComesBackSoonWasNotOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		shaky := atOnce
		shaky.Settle = time.Minute
		book.Raise(shaky, alert.Trouble{Subject: "crm"})
		time.Sleep(10 * time.Second)
		book.Resolve("crm", shaky)
		time.Sleep(time.Minute - 1)
		book.Raise(shaky, alert.Trouble{Subject: "crm"})
		d.want(t, "dead crm 1 lasts")
		time.Sleep(20*time.Second + 1)
		book.Resolve("crm", shaky)
		book.Resolve("crm", shaky) // which is no news
		time.Sleep(time.Minute)
		d.want(t, "dead crm 1 lasts", "dead crm 2 took 1m30s")
	})
}

func TestOperatorTurnsRulesOffAndMakesThemWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		book.Override(map[string]alert.Override{"dead": {Off: true}, "failing": {After: time.Hour}})
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		book.Raise(patient, alert.Trouble{Subject: "crm"})
		time.Sleep(time.Hour - 1)
		d.want(t, "dead crm 1 lasts", "dead crm 1 took 0s")
		time.Sleep(1)
		d.want(t, "dead crm 1 lasts", "dead crm 1 took 0s", "failing crm 1 lasts")
		book.Override(nil)
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		d.want(t, "dead crm 1 lasts", "dead crm 1 took 0s", "failing crm 1 lasts", "dead crm 1 lasts")
	})
}

func TestCallsThatMeetTroubleAreCountedAndTheFirstIsKept(t *testing.T) {
	book := alert.NewBook(nil)
	book.Raise(atOnce, alert.Trouble{Subject: "crm"})
	book.Raise(atOnce, alert.Trouble{Subject: "erp", Trace: "0a"})
	for _, trace := range []string{"1b", "2c"} {
		book.Meet(trace, func(a alert.Alert) bool { return a.Subject == "crm" || a.Trace == "0a" })
	}
	book.Raise(atOnce, alert.Trouble{Subject: "crm", Trace: "3d"})
	for _, a := range book.Active() {
		if want := map[string]string{"crm": "1b", "erp": "0a"}[a.Subject]; a.Trace != want || a.Calls != 2 {
			t.Errorf("%s was met by %d calls, such as %s; want 2, such as %s", a.Subject, a.Calls, a.Trace, want)
		}
	}
}

func TestBookIsBounded(t *testing.T) {
	book := alert.NewBook(nil)
	for i := range 2000 {
		book.Raise(atOnce, alert.Trouble{Subject: fmt.Sprint(i)})
	}
	if n := len(book.Active()); n != 1000 {
		t.Errorf("%d are known, want 1000", n)
	}
}

func TestClosedBookTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		book.Raise(patient, alert.Trouble{Subject: "crm"})
		book.Close()
		book.Raise(atOnce, alert.Trouble{Subject: "crm"})
		time.Sleep(time.Hour)
		d.want(t)
	})
}
