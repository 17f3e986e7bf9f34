package cli

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/alert"
)

// The hour is told of once when it is nearly spent, and over when it is back; the minute
// is waited for.
func TestLowQuotaIsTheAlertOfItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards what the watch sees and says
		var told []string
		book := alert.NewBook(func(a alert.Alert) {
			end := ""
			if a.Ended != nil {
				end = " is over"
			}
			mu.Lock()
			defer mu.Unlock()
			told = append(told, a.Title+end+", "+a.Severity)
		})
		left, of := 1001.0, 5000.0
		reset := time.Now().Add(time.Hour)
		bucket := func(name string, left, of float64, reset time.Time) policy.QuotaStatus {
			used := 1 - left/of
			return policy.QuotaStatus{Key: "api.test", Bucket: name, Limit: "learned", Utilization: &used,
				Learned: &policy.LearnedStatus{Limit: of, Remaining: left, Reset: &reset, Shape: "window"}}
		}
		watch := startWatch(func() []policy.UpstreamStatus {
			mu.Lock()
			defer mu.Unlock()
			return []policy.UpstreamStatus{{Name: "github", Quotas: []policy.QuotaStatus{
				{Key: "api.test", Limit: "100/s", Utilization: share(1)},
				bucket("core", left, of, reset), bucket("search", 0, 30, time.Now().Add(time.Minute)),
				{Key: "api.test", Bucket: "slots", Limit: "learned", Slots: 4},
			}}}
		}, &quotaLook{book: book})
		defer watch.close()
		expect := func(want ...string) {
			t.Helper()
			time.Sleep(lookout)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("after %v left, told %q, want %q", left, told, want)
			}
		}
		become := func(remaining float64, back time.Time) {
			mu.Lock()
			defer mu.Unlock()
			left, reset = remaining, back
		}
		expect()
		become(1000, reset)
		low := "Quota core of github at 80 %, warning"
		expect(low)
		become(10, reset)
		expect(low)
		if active := book.Active(); len(active) != 1 || active[0].Title != "Quota core of github at 99 %" ||
			active[0].Detail != "10 of 5000 are left at api.test until "+reset.Local().Format(time.RFC3339) {
			t.Errorf("what lasts: %+v", active)
		}
		time.Sleep(55 * time.Minute) // The reset is near, and it is low still.
		expect(low)
		become(5000, time.Now().Add(time.Hour))
		over := "Quota core of github at 99 % is over, warning"
		expect(low, over)
		become(0, reset)
		expect(low, over, "Quota core of github at 100 %, warning")
	})
}

// A reload must not say that it is over.
func TestLookedAtTroubleOutlivesAReload(t *testing.T) {
	r := launch(t, "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n")
	for _, subject := range []string{"crm/low:api.test core", "gone/low:api.test core", "crm/circuit:api.test", "gone/circuit:api.test"} {
		if got, want := about(r.live.Load(), nil)(subject), subject[:3] == "crm"; got != want {
			t.Errorf("%s is kept: %t, want %t", subject, got, want)
		}
	}
}
