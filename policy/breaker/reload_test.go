package breaker_test

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
)

func TestNewChangesNothingOfItsPredecessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(19, failed), failed)
		r.calls(19)
		before := r.group.Snapshot()
		strict := settings()
		strict.MinCalls, strict.Window, strict.FailureRatio = 1, time.Second, 0
		newGroup(t, strict, r.group)
		if after := r.group.Snapshot(); !reflect.DeepEqual(before, after) {
			t.Errorf("%+v became %+v", before, after)
		}
		r.calls(1)
		r.wantState("open") // by the old settings
	})
}

func TestOpenCircuitStaysOpenOverAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, failed, fine)
		r.open()
		time.Sleep(2 * time.Second)
		s := settings()
		s.Open, s.OpenMax = time.Second, 3*time.Second
		r.use(newGroup(t, s, r.group))
		r.group.Adopt()
		r.wantRefused(r.do(), 3*time.Second)
		time.Sleep(3 * time.Second)
		r.do()
		r.wantRefused(r.do(), 2*time.Second) // the second opening, by the new times
		time.Sleep(2 * time.Second)
		r.wantAnswer(r.do(), 200)
	})
}

func TestWhatWasCountedIsJudgedByTheNewThresholds(t *testing.T) {
	for name, adopt := range map[string]bool{"by Adopt": true, "by the first call": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, settings(), times(5, failed), failed)
				r.calls(5)
				s := settings()
				s.MinCalls = 6
				r.use(newGroup(t, s, r.group))
				if adopt {
					r.group.Adopt()
				}
				r.wantCounts(5, 5, 0)
				r.calls(1)
				r.wantState("open")
			})
		})
	}
}

func TestACallUnderWayIsJudgedByTheSettingsInForceWhenItEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		late := failed
		late.Delay = time.Second
		r := newRig(t, settings(), late)
		ended := make(chan bool)
		go func() { r.do(); close(ended) }()
		synctest.Wait()
		newGroup(t, quick(), r.group).Adopt()
		<-ended
		r.wantState("open")
	})
}

func TestAnotherWindowCountsAfresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		broken := policytest.Step{Body: "half", BodyDelay: time.Second, BodyErr: errBroken}
		r := newRig(t, settings(), times(5, failed), broken, fine)
		r.calls(5)
		ended := make(chan bool)
		go func() { r.do(); close(ended) }()
		synctest.Wait()
		r.wantCounts(6, 5, 0)
		s := settings()
		s.Window = time.Minute
		r.use(newGroup(t, s, r.group))
		r.calls(1)
		r.wantCounts(1, 0, 0)
		<-ended // the body broke off, but its success is not among those that count
		r.wantCounts(1, 0, 0)
	})
}

// TestOldGroupDoesNotTakeBack: calls that began under the old Set still end
// while the new one is in force, and some even begin.
func TestOldGroupDoesNotTakeBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), failed)
		old := r.group
		newGroup(t, quick(), old).Adopt()
		old.Adopt()
		r.calls(1)
		r.wantState("open")
	})
}

func TestFailedReloadLeavesRoomForTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), failed)
		newGroup(t, settings(), r.group) // never published
		r.use(newGroup(t, quick(), r.group))
		r.calls(1)
		r.wantState("open")
	})
}

func TestProbeUnderWayDecidesOverAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, policytest.Step{Delay: 3 * time.Second}, fine)
		r.open()
		time.Sleep(5 * time.Second)
		ended := make(chan policytest.Answer)
		go func() { ended <- r.do() }()
		synctest.Wait()
		s := settings()
		s.Window = time.Hour
		r.use(newGroup(t, s, r.group))
		r.wantRefused(r.do(), time.Second)
		r.wantAnswer(<-ended, 200)
		r.wantCounts(1, 0, 0)
		r.wantAnswer(r.do(), 200)
	})
}
