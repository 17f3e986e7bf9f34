package alarm

import (
	"slices"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
)

// clockSkew is a clock of ours that is wrong: signatures, the ends of tokens and the resets
// of quotas are reckoned by it.
var clockSkew = alert.Rule{Name: "clock-skew", Severity: alert.Critical}

const (
	// clockFresh is how old a look at the clock of an upstream may be.
	clockFresh = 10 * time.Minute
	// clockLooks is how many looks have to agree that the clocks are apart, and none that
	// they are not.
	clockLooks = 3
)

// A clockLook compares our clock with those of the upstreams. If one of them agrees with
// ours, it is the others that are wrong.
type clockLook struct {
	book      *alert.Book
	upstreams func() []*policy.Upstream
}

func (l *clockLook) look(_ []policy.UpstreamStatus, now time.Time) {
	var ahead []time.Duration
	looks := 0
	for _, u := range l.upstreams() {
		clock := u.Clock()
		switch {
		case clock.At.IsZero() || now.Sub(clock.At) > clockFresh:
			continue
		case clock.Wrong == 0:
			l.book.Resolve(clockSubject, clockSkew)
			return
		}
		looks += clock.Wrong
		ahead = append(ahead, clock.Ahead)
	}
	if looks < clockLooks {
		return
	}
	slices.Sort(ahead)
	off := ahead[len(ahead)/2]
	how := "slow"
	if off < 0 {
		how = "fast"
	}
	l.book.Raise(clockSkew, alert.Trouble{
		Subject: clockSubject, Title: "The clock of this machine is " + config.Duration(off.Abs().Round(time.Second)).String() + " " + how,
		Detail: "by the Date of the answers of " + count(len(ahead), "upstream") + ", none of which agrees with it",
		Action: "Set it, and keep it set (timedatectl set-ntp true, chronyd): signatures, the ends of tokens and the resets of quotas are reckoned by it.",
	})
}
