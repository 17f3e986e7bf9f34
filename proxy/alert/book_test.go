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
			book.Raise(atOnce, "crm", "Reconnect crm", "invalid_grant")
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
		book.Raise(patient, "crm", "failing", "")
		time.Sleep(5*time.Minute - 1)
		d.want(t)
		book.Resolve("crm", patient)
		time.Sleep(time.Hour)
		d.want(t)

		book.Raise(patient, "crm", "failing", "")
		time.Sleep(5 * time.Minute)
		d.want(t, "failing crm 1 lasts")
	})
}

func TestWhatIsNotThereAnyMoreIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		defer book.Close()
		book.Raise(atOnce, "crm", "Reconnect crm", "")
		book.Raise(atOnce, "mail", "Reconnect mail", "")
		book.Raise(patient, "crm", "failing", "")
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
		book.Raise(twice, "crm", "failing", "")
		time.Sleep(8 * time.Hour)
		d.want(t)
		book.Raise(twice, "crm", "failing", "")
		d.want(t, "failing crm 2 lasts")

		book.Raise(twice, "erp", "failing", "")
		book.Raise(twice, "erp", "failing", "")
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
		book.Raise(atOnce, "crm/acme", "", "")
		book.Raise(atOnce, "crm/globex", "", "")
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
		book.Raise(atOnce, "crm", "", "")
		book.Raise(patient, "crm", "", "")
		book.Raise(atOnce, "erp", "", "")
		book.Retain(func(subject string) bool { return subject != "crm" })
		time.Sleep(time.Hour)
		d.want(t, "dead crm 1 lasts", "dead erp 1 lasts", "dead crm 1 took 0s")
	})
}

func TestBookIsBounded(t *testing.T) {
	book := alert.NewBook(nil)
	for i := range 2000 {
		book.Raise(atOnce, fmt.Sprint(i), "", "")
	}
	if n := len(book.Active()); n != 1000 {
		t.Errorf("%d are known, want 1000", n)
	}
}

func TestClosedBookTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		book := alert.NewBook(d.note)
		book.Raise(patient, "crm", "", "")
		book.Close()
		book.Raise(atOnce, "crm", "", "")
		time.Sleep(time.Hour)
		d.want(t)
	})
}
