package alarm

import (
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// After a clock that was set back all calls went into one minute, until it was as late again:
// what had failed an hour ago was still of now.
func TestClockThatIsSetBackKeepsNoFailure(t *testing.T) {
	counts := newCallCounts()
	failed := &telemetry.Record{Upstream: "crm", Status: 503, Class: policy.ClassFault, Tries: []telemetry.Try{{Sent: true, Status: 503}}}
	answered := &telemetry.Record{Upstream: "crm", Status: 200, Class: policy.ClassOK, Tries: []telemetry.Try{{Sent: true, Status: 200}}}
	at := time.Date(2026, 11, 26, 20, 0, 0, 0, time.UTC)
	for range 30 {
		counts.count(failed, at)
	}
	counts.count(answered, at.Add(-time.Second)) // ended before, and is counted after
	at = at.Add(-6 * time.Hour)
	for range 2 * latestMinutes {
		counts.count(answered, at)
		at = at.Add(time.Minute)
	}
	j := counts.of("crm").now(at)
	if want := (tally{calls: latestMinutes - 1, answers: latestMinutes - 1}); j.latest != want {
		t.Errorf("the latest minutes have %+v, want %+v", j.latest, want)
	}
	if j.day.calls != 31+latestMinutes+1 || j.day.failed != 30 {
		t.Errorf("the day has %+v", j.day)
	}
}
