package policytest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

// respond builds the response of a step.
func (u *Upstream) respond(req *http.Request, step Step) *http.Response {
	resp := response(req, step)
	resp.ContentLength = int64(len(step.Body))
	if step.Trailer != nil || step.Stall || step.BodyErr != nil {
		resp.ContentLength = -1
	}
	if resp.ContentLength == 0 || bodiless(req, resp.StatusCode) {
		resp.Body = http.NoBody
		return resp
	}
	if step.Trailer != nil {
		resp.Trailer = make(http.Header)
		for name := range step.Trailer {
			resp.Trailer[name] = nil // announced
		}
	}
	resp.Body = u.track(&body{
		ctx: req.Context(), step: step, rest: step.Body, trailer: resp.Trailer,
		ready: time.Now().Add(step.BodyDelay), closed: make(chan struct{}),
	})
	return resp
}

func response(req *http.Request, step Step) *http.Response {
	status := step.Status
	if status == 0 {
		status = http.StatusOK
	}
	header := make(http.Header)
	maps.Copy(header, step.Header.Clone())
	return &http.Response{
		Status:     fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode: status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:  header,
		Request: req,
	}
}

// bodiless reports whether a response has no body whatever it says (RFC 9112
// section 6.3).
func bodiless(req *http.Request, status int) bool {
	return req.Method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// track counts a body among those that are open, until it is closed.
func (u *Upstream) track(b *body) io.ReadCloser {
	u.mu.Lock()
	u.open++
	u.mu.Unlock()
	b.release = func() {
		u.mu.Lock()
		u.open--
		u.mu.Unlock()
	}
	return b
}

// body is a response body as the transport gives it out: it breaks when the
// request's context ends, and cannot be read after it was closed.
type body struct {
	ctx     context.Context // of the request: it governs the body too
	step    Step
	ready   time.Time // of the first byte
	trailer http.Header
	rest    string

	once    sync.Once
	closed  chan struct{}
	release func()
}

// Read gives what is left of the script's body.
func (b *body) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil || len(p) == 0 {
		return 0, err
	}
	switch {
	case b.rest != "":
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		return n, nil
	case b.step.Stall:
		return 0, b.wait(nil)
	case b.step.BodyErr != nil:
		return 0, b.step.BodyErr
	}
	maps.Copy(b.trailer, b.step.Trailer)
	return 0, io.EOF
}

// begin waits until the first byte is there, unless the body ended before.
func (b *body) begin() error {
	if d := time.Until(b.ready); d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		return b.wait(timer.C)
	}
	select {
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	default:
		return context.Cause(b.ctx) // nil while it goes on
	}
}

func (b *body) wait(passed <-chan time.Time) error {
	select {
	case <-passed:
		return nil
	case <-b.closed:
		return http.ErrBodyReadAfterClose
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// Close ends the body, also under a Read that waits.
func (b *body) Close() error {
	b.once.Do(func() {
		close(b.closed)
		b.release()
	})
	return nil
}
