package policy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/hedge"
)

// attempt is the innermost stage: it asks whether the request may leave (see Call.Depart),
// counts what reaches the wire, gives each
// attempt its own clock until the response headers, and watches for silence
// inside the body afterwards.
func attempt(timeout, idle time.Duration) Stage {
	return Stage{Name: "attempt", Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			call := CallFrom(req.Context())
			if err := call.depart(req.Context()); err != nil {
				if req.Body != nil {
					req.Body.Close()
				}
				return nil, err
			}
			ctx, end := context.WithCancelCause(req.Context())
			a := &Attempt{Start: time.Now()}
			ctx = httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), a.trace(call, guarded(ctx)))

			hedge.Begun(ctx)
			breaker.Begun(ctx)
			clock := startClock(call, timeout, &TimeoutError{Clock: "attempt_timeout", Limit: timeout}, end)
			resp, err := next.RoundTrip(req.WithContext(ctx))
			clock.stop()
			call.landed(err)
			if err != nil {
				end(nil)
				return nil, err
			}
			resp.Body = watch(resp.Body, call, idle, end)
			return resp, nil
		})
	}}
}

// trace lets the transport report to the attempt and its call.
func (a *Attempt) trace(call *Call, guard *auth.Guard) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			a.reused.Store(info.Reused)
			if info.Conn != nil {
				remote := info.Conn.RemoteAddr().String()
				a.remote.Store(&remote)
			}
		},
		WroteHeaders: func() {
			number := int32(1)
			if call != nil {
				number = call.sent.Add(1)
			}
			a.number.Store(number)
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			return call.inform(code, header, guard)
		},
	}
}

// watch ends an attempt whose response body is silent for longer than idle, and
// whose request body is, if that is being sent still: where both directions flow
// on their own, one of them may have nothing to say for long. A connection that was upgraded may be silent for as long as it likes: its two
// ends have their own ways to find out.
func watch(body io.ReadCloser, call *Call, idle time.Duration, end context.CancelCauseFunc) io.ReadCloser {
	if _, upgraded := body.(io.ReadWriteCloser); upgraded || body == http.NoBody {
		return onClose(body, func() { end(nil) })
	}
	b := &watchedBody{ReadCloser: body, call: call, idle: idle, end: end}
	// fire reads b.timer, so it must not run before that is set.
	b.timer = time.AfterFunc(never, b.fire)
	b.timer.Reset(idle)
	b.reading.Store(true) // until the first Read it is no different
	return onClose(b, func() {
		b.reading.Store(false)
		b.timer.Stop()
		end(nil)
	})
}

type watchedBody struct {
	io.ReadCloser
	call    *Call
	idle    time.Duration
	end     context.CancelCauseFunc
	timer   *time.Timer
	reading atomic.Bool // the upstream is waited for
}

// Read restarts the clock before each read, so that a slow client of ours,
// which delays the next read, is not taken for a silent upstream.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.reading.Store(true)
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.reading.Store(false)
	b.timer.Stop()
	return n, err
}

func (b *watchedBody) fire() {
	quiet, streamed := b.call.uploadQuiet()
	if !streamed || quiet >= b.idle {
		b.end(&TimeoutError{Clock: "idle_timeout", Limit: b.idle})
		return
	}
	b.timer.Reset(b.idle - quiet)
	if !b.reading.Load() { // in the meantime: the Reset must not outlive it
		b.timer.Stop()
	}
}
