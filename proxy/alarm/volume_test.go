package alarm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

const (
	stopped    = "volume-dropped: Calls to crm have all but stopped"
	comesBack  = "volume-dropped is over: Calls to crm have all but stopped"
	oneStopped = "volume-dropped: Calls to GET /v1/orders/* of crm have all but stopped"
	oneBack    = "volume-dropped is over: Calls to GET /v1/orders/* of crm have all but stopped"
)

// A volumeRig lets calls come to a steady upstream.
type volumeRig struct {
	*diary
}

func newVolumeRig(t *testing.T) *volumeRig {
	r := &volumeRig{}
	_, r.diary = newTestAlarms(t)
	r.follow(true)
	return r
}

func (r *volumeRig) follow(steady bool) {
	r.alarms.Follow(compiled(r.t, fmt.Sprintf("[upstream.crm]\nurl = \"http://crm.test\"\nsteady = %t\n[upstream.other]\nurl = \"http://other.test\"\n", steady)))
}

// pass lets time pass, with a look every ten seconds. calls says how many calls there are in
// ten seconds, by their path.
func (r *volumeRig) pass(d time.Duration, calls func(path string) int) {
	for range d / lookout {
		time.Sleep(lookout)
		for path, name := range map[string]string{"orders": "/v1/orders/17", "people": "/v1/people"} {
			for range calls(path) {
				r.alarms.Ended(&telemetry.Record{Upstream: "crm", Method: "GET", Path: name, Status: 200, Class: policy.ClassOK, TraceID: path}, time.Now())
				r.alarms.Ended(&telemetry.Record{Upstream: "other", Method: "GET", Path: name, Status: 200, Class: policy.ClassOK}, time.Now())
			}
		}
		r.alarms.Look(nil, time.Now())
	}
}

func both(string) int    { return 1 }
func nothing(string) int { return 0 }
func people(path string) int {
	if path == "people" {
		return 1
	}
	return 0
}

func TestCallsThatStopAreToldOnceUntilTheyComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVolumeRig(t)
		r.pass(7*time.Hour, both)
		r.pass(10*time.Minute-lookout, nothing)
		r.want()
		r.pass(lookout, nothing)
		r.want(stopped)
		a := r.only()
		if a.Subject != "crm/volume:" || a.Trace == "" || a.Action == "" {
			t.Errorf("it is %+v", a)
		}
		r.pass(3*time.Hour, nothing)
		r.want(stopped)
		r.pass(10*time.Minute, both)
		r.want(stopped, comesBack)
		r.pass(24*time.Hour, both)
		r.want(stopped, comesBack)
	})
}

func TestEndpointWhoseCallsStopIsToldByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVolumeRig(t)
		r.pass(7*time.Hour, both)
		r.pass(time.Hour, people)
		r.want(oneStopped)
		r.pass(time.Hour, both)
		r.want(oneStopped, oneBack)
	})
}

// What has been so for a day is usual.
func TestDropIsBelievedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVolumeRig(t)
		r.pass(7*time.Hour, both)
		r.pass(30*time.Hour, nothing)
		r.want(stopped, comesBack)
	})
}

// A machine that has slept had no calls, and that is nobody's fault.
func TestSleepIsNoDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVolumeRig(t)
		r.pass(7*time.Hour, both)
		time.Sleep(time.Hour)
		r.pass(time.Hour, both)
		r.pass(time.Hour, nothing) // six hours of calls are not known again
		r.want()
	})
}

func TestUpstreamThatIsNotSteadyAnyMoreIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newVolumeRig(t)
		r.pass(7*time.Hour, both)
		r.pass(time.Hour, nothing)
		r.follow(false)
		r.pass(time.Minute, nothing)
		r.want(stopped, comesBack)
	})
}

// Evenings, nights and weekends of people, jobs of an hour, and what is rare are no drops,
// for four weeks.
func TestNormalTrafficIsNoDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, chance := newVolumeRig(t), rand.New(rand.NewPCG(5, 6))
		r.pass(28*24*time.Hour, func(path string) int {
			now := time.Now().UTC()
			hour := float64(now.Hour()) + float64(now.Minute())/60
			day := math.Exp(-(hour - 13) * (hour - 13) / 18) // a bell, three hours wide
			if weekday := now.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
				day /= 20
			}
			if path == "people" {
				return poisson(chance, 0.01+3*day)
			}
			if now.Hour()%6 == 0 { // a job
				return poisson(chance, 4)
			}
			return poisson(chance, 0.1)
		})
		r.want()
	})
}

// poisson is how many calls come by chance where so many are usual (Knuth).
func poisson(chance *rand.Rand, mean float64) int {
	n, p := 0, chance.Float64()
	for limit := math.Exp(-mean); p > limit; p *= chance.Float64() {
		n++
	}
	return n
}
