package retry

import "context"

// Controls are what a caller may say about the retries of its own call.
type Controls struct {
	Off        bool // never a second attempt
	Idempotent bool // repeating this request does no harm, whatever its method
	NoKey      bool // it gets no idempotency key from us
	FirstUse   bool // nobody has used its key before: a 409 to the first attempt is not about the key
}

type controlsKey struct{}

// WithControls attaches the caller's wishes to the context of its call.
func WithControls(ctx context.Context, c Controls) context.Context {
	return context.WithValue(ctx, controlsKey{}, c)
}

// ControlsFrom returns the wishes of the caller of a context.
func ControlsFrom(ctx context.Context) Controls {
	c, _ := ctx.Value(controlsKey{}).(Controls)
	return c
}
