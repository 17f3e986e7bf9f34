package alarm

import (
	"time"

	"outrider/policy/config"
)

// A spending is how a quota was spent of late: what was left of it at each look.
type spending struct {
	looks []left // the oldest first
}

// left is what was left at some time.
type left struct {
	at     time.Time
	amount float64
}

// spendingSpan is how far back the present pace goes.
const spendingSpan = 5 * time.Minute

// with adds a look. What has come back begins anew.
func (s spending) with(amount float64, now time.Time) spending {
	looks := s.looks
	if len(looks) > 0 && amount > looks[len(looks)-1].amount {
		looks = nil
	}
	for len(looks) > 0 && now.Sub(looks[0].at) > spendingSpan {
		looks = looks[1:]
	}
	return spending{append(looks[:len(looks):len(looks)], left{now, amount})}
}

// exhausted is when nothing is left if calls go on like this; zero: that cannot be told.
func (s spending) exhausted() time.Time {
	if len(s.looks) < 2 {
		return time.Time{}
	}
	first, last := s.looks[0], s.looks[len(s.looks)-1]
	spent := first.amount - last.amount
	if spent <= 0 {
		return time.Time{}
	}
	return last.at.Add(time.Duration(last.amount / spent * float64(last.at.Sub(first.at))))
}

// forecast says when nothing is left, if that is before it is back.
func (s spending) forecast(reset, now time.Time) string {
	switch end := s.exhausted(); {
	case end.IsZero():
		return ""
	case !end.Before(reset):
		return "; at the present pace they last until then"
	default:
		return "; at the present pace they are gone in " + config.Duration(max(end.Sub(now).Round(time.Second), time.Second)).String()
	}
}
