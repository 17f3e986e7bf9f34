package auth

import (
	"testing"
	"time"
)

// A machine comes up with its clock hours ahead, and its first token request fails: it has
// no network yet. The backoff of a second lasted until the clock, set right meanwhile, had
// gone through these hours once more, and likewise whatever else waits.
func TestClockThatIsSetBackEndsAPause(t *testing.T) {
	refused := held{grant: grant{Obtained: epoch, Forced: 1}}
	var failing hold
	failing.extend(hold{kind: transient}, 0, func(max time.Duration) time.Duration { return max }, epoch)
	unsaved := held{}
	unsaved.keepLater(errRefusedMeanwhile, epoch)
	for at, want := range map[time.Duration]bool{-time.Hour: false, -1: false, 0: true, time.Second - 1: true, time.Minute: false} {
		now := epoch.Add(at)
		for what, got := range map[string]bool{
			"a hold": failing.active(now), "looking": failing.looked.lasts(now), "saving": unsaved.later.lasts(now), "a young token": refused.young(now),
		} {
			if got != want {
				t.Errorf("%s lasts %v after it began: %t", what, at, got)
			}
		}
	}
}
