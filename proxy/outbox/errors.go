package outbox

import (
	"errors"

	"outrider/proxy/store"
)

// What the caller acts on. Any other error of an Outbox means that the store cannot be used
// now.
var (
	ErrFull     = store.ErrFull     // Limits.MaxSize; nothing was kept
	ErrTooLarge = store.ErrTooLarge // Limits.MaxBody; nothing was kept
	ErrUnknown  = store.ErrUnknown  // there is no such letter, or it is forgotten
	ErrHeld     = store.ErrHeld     // it is being sent
	ErrEnded    = store.ErrEnded    // what was asked for is not possible any more
	ErrDamaged  = store.ErrDamaged  // what is kept is not what was written

	// ErrUncertain is a letter that may have been kept, or not: the store went away in the
	// middle of it. No other error of Keep leaves that open.
	ErrUncertain = store.ErrUncertain

	ErrUnanswered = errors.New("the letter has no answer yet")
)

// A ConflictError says that the key of a letter was used for another request.
type ConflictError = store.ConflictError

// A CallbackError says why a callback is not allowed.
type CallbackError struct{ Reason string }

// Error implements error.
func (e *CallbackError) Error() string { return e.Reason }
