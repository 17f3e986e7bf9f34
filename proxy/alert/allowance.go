package alert

import "time"

// maxHourly is how many messages a target gets in an hour.
const maxHourly = 30

// An allowance bounds the messages to one target: at most maxHourly in any hour.
type allowance struct {
	sent []time.Time // of the last hour, the oldest first
}

// left is how many messages may be sent now.
func (a *allowance) left(now time.Time) int {
	for len(a.sent) > 0 && now.Sub(a.sent[0]) >= time.Hour {
		a.sent = a.sent[1:]
	}
	return maxHourly - len(a.sent)
}

// wait is how long it is until one may be.
func (a *allowance) wait(now time.Time) time.Duration {
	if a.left(now) > 0 {
		return 0
	}
	return a.sent[0].Add(time.Hour).Sub(now)
}

func (a *allowance) spend(now time.Time) { a.sent = append(a.sent, now) }
