package limit

import (
	"fmt"
	"time"
)

// Why a call was refused.
const (
	QueueTimeout   = "queue-timeout"   // its turn would come, or did not come, within its time
	QueueFull      = "queue-full"      // Settings.MaxQueue calls are waiting
	QuotaExhausted = "quota-exhausted" // the provider named a time, and it is too far away
)

// A RefusedError says that a call was not sent because of a quota.
type RefusedError struct {
	Reason     string        // QueueTimeout, QueueFull or QuotaExhausted
	Key        string        // the quota
	RetryAfter time.Duration // when a call in its place would have its turn; 0: unknown
}

// refusals are the reasons in words.
var refusals = map[string]string{
	QueueTimeout:   "the wait for a turn would be longer than the call may wait",
	QueueFull:      "too many calls are waiting",
	QuotaExhausted: "the provider takes nothing for longer than the call may wait",
}

// Error says which quota refused, why, and when to come back.
func (e *RefusedError) Error() string {
	if e.RetryAfter <= 0 {
		return fmt.Sprintf("%s at quota %s", refusals[e.Reason], e.Key)
	}
	return fmt.Sprintf("%s at quota %s; a turn there comes in %v", refusals[e.Reason], e.Key, e.RetryAfter.Round(time.Millisecond))
}

// Refusal tells a local refusal from an error of the network.
func (e *RefusedError) Refusal() (reason string, retryAfter time.Duration) {
	return e.Reason, e.RetryAfter
}
