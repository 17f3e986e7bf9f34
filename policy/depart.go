package policy

import "time"

// A NotDepartedError ends an attempt that Call.Depart did not let go. Nothing was sent.
type NotDepartedError struct{ Err error }

func (e *NotDepartedError) Error() string { return "not sent: " + e.Err.Error() }

// Unwrap returns why.
func (e *NotDepartedError) Unwrap() error { return e.Err }

// Refusal makes the error one of ours: it is not retried, and nobody's fault.
func (e *NotDepartedError) Refusal() (reason string, retryAfter time.Duration) {
	return "outbox-unavailable", 0
}
