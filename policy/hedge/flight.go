package hedge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// A flight is one of the two requests of a race. It belongs to the goroutine that
// flies it until that has ended.
type flight struct {
	req    *http.Request
	cancel context.CancelCauseFunc
	chosen func()
	onWire func() // called when it goes to the network; nil: nobody asks

	begun  time.Time // when it did so last; zero: never
	ended  time.Time
	resp   *http.Response
	err    error
	failed bool
}

type flightKey struct{}

// Begun notes that the request of a context goes to the network now. The innermost stage
// calls it. It does nothing for requests that are not hedged.
func Begun(ctx context.Context) {
	f, ok := ctx.Value(flightKey{}).(*flight)
	if !ok {
		return
	}
	f.begun = time.Now()
	if f.onWire != nil {
		f.onWire()
	}
}

// Second reports that the request of a context is a second one, which is not worth a
// wait.
func Second(ctx context.Context) bool {
	f, ok := ctx.Value(flightKey{}).(*flight)
	return ok && f.onWire == nil
}

// errLost is why the context of a request ends that is not waited for any more.
var errLost = errors.New("the other request of the call has its answer")

// HasLost reports that the request of a context was given up, since the other one of its call
// has the answer.
func HasLost(ctx context.Context) bool { return ctx.Err() != nil && context.Cause(ctx) == errLost }

// newFlight prepares a request. It must be canceled or answered at last.
func newFlight(req *http.Request, set *Settings) *flight {
	f := &flight{err: errNoEnd, failed: true}
	ctx, cancel := context.WithCancelCause(req.Context()) // of that itself, which says best when it ends
	ctx, f.cancel = context.WithValue(ctx, flightKey{}, f), cancel
	if set.Apart != nil {
		ctx, f.chosen = set.Apart(ctx)
	}
	f.req = req.WithContext(ctx)
	return f
}

// errNoEnd is what is left of a request whose goroutine ended under it.
var errNoEnd = errors.New("the request ended without an answer")

// fly sends the request.
func (f *flight) fly(next http.RoundTripper, set *Settings) {
	f.resp, f.err = next.RoundTrip(f.req) //nolint:bodyclose // answer hands it on, or drop closes it
	f.ended = time.Now()
	f.failed = set.Failed(f.req, f.resp, f.err)
}

// answer is the end of the request as that of the call. Its context ends with the body.
func (f *flight) answer() (*http.Response, error) {
	if f.chosen != nil {
		f.chosen()
	}
	if f.err != nil {
		f.cancel(nil)
		return nil, f.err
	}
	f.resp.Body = &body{ReadCloser: f.resp.Body, cancel: f.cancel}
	return f.resp, nil
}

// drop lets go of what came. It does not read to the end of a body: the connection is
// lost with the context already.
func (f *flight) drop() {
	f.cancel(errLost)
	if f.resp != nil {
		f.resp.Body.Close()
	}
}

// body ends the context of its request when it is closed.
type body struct {
	io.ReadCloser
	once   sync.Once
	cancel context.CancelCauseFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.cancel(nil) })
	return err
}
