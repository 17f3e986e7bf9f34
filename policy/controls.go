package policy

import (
	"context"
	"time"

	"outrider/policy/retry"
)

// Controls are what the caller itself asks of one call, in its request headers.
type Controls struct {
	Timeout    time.Duration // shortens the call's timeout; zero: as configured
	NoRetry    bool          // one attempt only
	Connection *string       // the credential that the caller chooses, by its name; nil: the upstream's own
	Idempotent bool          // the caller vouches that this request may be sent twice
}

// WithControls attaches the caller's wishes to the context of its call.
func WithControls(ctx context.Context, c Controls) context.Context {
	if c.Timeout > 0 {
		ctx = context.WithValue(ctx, timeoutKey{}, c.Timeout)
	}
	if c.NoRetry || c.Idempotent {
		ctx = retry.WithControls(ctx, retry.Controls{Off: c.NoRetry, Idempotent: c.Idempotent})
	}
	return ctx
}
