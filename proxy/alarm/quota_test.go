package alarm_test

import (
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
		a, d := newTestAlarms(t)
		var mu sync.Mutex // guards what the watch sees
		left, of := 1001.0, 5000.0
		reset := time.Now().Add(time.Hour)
		bucket := func(name string, left, of float64, reset time.Time) policy.QuotaStatus {
			used := 1 - left/of
			return policy.QuotaStatus{Key: "api.test", Bucket: name, Limit: "learned", Utilization: &used,
				Learned: &policy.LearnedStatus{Limit: of, Remaining: left, Reset: &reset, Shape: "window"}}
		}
		watch := a.Watch(func() []policy.UpstreamStatus {
			mu.Lock()
			defer mu.Unlock()
			return []policy.UpstreamStatus{{Name: "github", Quotas: []policy.QuotaStatus{
				{Key: "api.test", Limit: "100/s", Utilization: new(1.0)},
				bucket("core", left, of, reset), bucket("search", 0, 30, time.Now().Add(time.Minute)),
				{Key: "api.test", Bucket: "slots", Limit: "learned", Slots: 4},
			}}}
		})
		defer watch.Close()
		expect := func(want ...string) {
			t.Helper()
			time.Sleep(lookout)
			d.want(want...)
		}
		become := func(remaining float64, back time.Time) {
			mu.Lock()
			defer mu.Unlock()
			left, reset = remaining, back
		}
		expect()
		become(1000, reset)
		low := "quota-low: Quota core of github at 80 %"
		expect(low)
		become(10, reset)
		expect(low)
		if low := d.only(); low.Title != "Quota core of github at 99 %" || low.Severity != alert.Warning ||
			low.Detail != "10 of 5000 are left at api.test until "+reset.Local().Format(time.RFC3339)+"; at the present pace they are gone in 1s" {
			t.Errorf("it is %+v", low)
		}
		time.Sleep(55 * time.Minute) // The reset is near, and it is low still.
		expect(low)
		become(5000, time.Now().Add(time.Hour))
		over := "quota-low is over: Quota core of github at 99 %"
		expect(low, over)
		become(0, reset)
		expect(low, over, "quota-low: Quota core of github at 100 %")
	})
}
