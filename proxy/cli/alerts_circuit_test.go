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

// A circuit that refuses calls is told of when it has done so for half a minute, once, and over
// when all calls pass: not by a probe that succeeds, after which it may open again.
func TestOpenCircuitIsAnAlertUntilAllCallsPass(t *testing.T) {
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
		begun := time.Now()
		var now policy.CircuitStatus
		watch := startWatch(func() []policy.UpstreamStatus {
			mu.Lock()
			defer mu.Unlock()
			byHand := policy.CircuitStatus{Key: "other.test", State: "open", Held: true, Cause: "operator", Since: &begun, Refused: 9}
			unused := policy.CircuitStatus{Key: "unused.test", State: "open", Cause: "run", Since: &begun}
			return []policy.UpstreamStatus{{Name: "crm", Circuits: []policy.CircuitStatus{byHand, unused, now}}}
		}, &circuitLook{book: book})
		defer watch.close()
		expect := func(c policy.CircuitStatus, want ...string) {
			t.Helper()
			c.Key = "api.test"
			mu.Lock()
			now = c
			mu.Unlock()
			time.Sleep(lookout)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("after %v told %q, want %q", time.Since(begun), told, want)
			}
		}
		since := begun.Add(5 * time.Second)
		const open, over = "Circuit of crm open, critical", "Circuit of crm open is over, critical"
		expect(policy.CircuitStatus{State: "closed"})
		for range 2 {
			expect(policy.CircuitStatus{State: "open", Cause: "silent", Since: &since, Refused: 7})
		}
		expect(policy.CircuitStatus{State: "half-open", Cause: "probe", Since: &since, Refused: 8}, open) // 40s
		expect(policy.CircuitStatus{State: "open", Cause: "probe", Since: &since, Refused: 9}, open)
		if active := book.Active(); len(active) != 1 || active[0].Subject != "crm/circuit:api.test" ||
			active[0].Detail != "since "+since.Local().Format(time.RFC3339)+" its probes fail; 9 calls to api.test refused so far, "+
				"and the next probe may close it. Look at the provider's status, and at outrider status" {
			t.Errorf("what lasts: %+v", active)
		}
		expect(policy.CircuitStatus{State: "closed", Share: 0.4, Since: &since, Refused: 12}, open)
		expect(policy.CircuitStatus{State: "closed"}, open, over)
		since = time.Now()
		expect(policy.CircuitStatus{State: "open", Cause: "run", Since: &since, Refused: 3}, open, over)
		expect(policy.CircuitStatus{State: "closed", Share: 0.4, Since: &since, Refused: 3}, open, over)
	})
}
