package alarm_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

const (
	quietTold = "quiet-failures: slack answers 200, and fails"
	quietOver = "quiet-failures is over: slack answers 200, and fails"
)

// quietly is a call that failed with a good status.
func quietly(class policy.Class, means string) *telemetry.Record {
	r := ended("slack", 200, class)
	r.Quiet = means
	return r
}

func TestUpstreamThatFailsQuietlyIsToldOnceUntilItDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		for range 100 {
			a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
		}
		for range 9 {
			a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
		}
		d.want()
		for range 50 {
			a.Ended(quietly(policy.ClassAuth, "refused: token_revoked"), time.Now())
		}
		d.want(quietTold)
		if told := d.only(); told.Subject != "slack/quiet" || told.Trace != "trace-200" || told.Calls != 59 ||
			told.Detail != "10 of the latest 20 answers are failures of which their status says nothing, the latest: refused: token_revoked" {
			t.Errorf("it is %+v", told)
		}
		for range 15 {
			a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
		}
		d.want(quietTold)
		a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
		d.want(quietTold, quietOver)
	})
}

// The first calls of all are enough: nothing says that it is usual.
func TestUpstreamThatFailsQuietlyFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		for range 4 {
			a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
		}
		d.want()
		a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
		d.want(quietTold)
	})
}

// What has another alert is not told twice, and what is no answer is not counted.
func TestFaultsAndThrottlesAreNotToldAsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		for range 100 {
			a.Ended(quietly(policy.ClassFault, "fault: internal_error"), time.Now())
			a.Ended(quietly(policy.ClassThrottled, "throttled: ratelimited"), time.Now())
			a.Ended(quietly(policy.ClassExhausted, "quota exhausted: spent"), time.Now())
			a.Ended(ended("slack", 503, policy.ClassFault), time.Now())
		}
		d.want()
	})
}

// An alert about calls that nobody makes any more ends.
func TestQuietFailuresAreBelievedForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		watch := a.Watch(func() []policy.UpstreamStatus { return upstreamsNamed("slack") })
		defer watch.Close()
		for range 5 {
			a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
		}
		time.Sleep(time.Hour - time.Nanosecond)
		d.want(quietTold)
		time.Sleep(lookout)
		d.want(quietTold, quietOver)
	})
}

// Some quiet failures are everybody's life: a third of a day's calls is no alert.
func TestUsualQuietFailuresSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, d := newTestAlarms(t)
		for range 200 { // so it is known what is usual
			a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
			a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
			a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
		}
		chance := rand.New(rand.NewPCG(3, 4))
		for range 100_000 {
			if chance.Float64() < 0.3 {
				a.Ended(quietly(policy.ClassOK, "failed: ok: false"), time.Now())
				continue
			}
			a.Ended(ended("slack", 200, policy.ClassOK), time.Now())
		}
		d.want()
	})
}
