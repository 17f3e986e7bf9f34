package policytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An Upstream is a transport with a provider behind it that follows a script.
// It may be used from many goroutines; the script goes on in the order in which
// their requests arrive.
type Upstream struct {
	t testing.TB

	mu       sync.Mutex
	steps    []Step
	taken    int // of steps[0]
	tries    int
	open     int // response bodies
	received []Request
}

// A Request is what an Upstream received.
type Request struct {
	At      time.Time // when its headers arrived
	Method  string
	Target  string // path and query as sent, or "*"
	Host    string
	Header  http.Header
	Body    string // as far as it came
	Trailer http.Header
}

// NewUpstream returns an Upstream that answers by steps, one after the other.
// A request after the last of them is an error of the test.
func NewUpstream(t testing.TB, steps ...Step) *Upstream {
	return &Upstream{t: t, steps: steps}
}

// Requests lists what was received so far, in the order of arrival. What was
// never sent is not in it.
func (u *Upstream) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Request(nil), u.received...)
}

// Tries counts the calls of RoundTrip that took a step, those which sent
// nothing included.
func (u *Upstream) Tries() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.tries
}

// OpenBodies counts the response bodies that have not been closed.
func (u *Upstream) OpenBodies() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open
}

// RoundTrip takes the next step of the script.
func (u *Upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if ctx.Err() != nil {
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	step, ok := u.next()
	if !ok {
		closeBody(req)
		u.t.Errorf("policytest: %s %s after the last step of the script", req.Method, req.URL)
		return nil, errors.New("the script is over")
	}
	if step.Unsent {
		closeBody(req)
		return nil, unsent(ctx, step)
	}
	if err := u.receive(req); err != nil {
		return nil, err
	}
	if step.Do != nil {
		step.Do(req)
	}
	if err := pause(ctx, step.Delay); err != nil {
		return nil, err
	}
	switch {
	case step.Hang:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case step.Err != nil:
		return nil, step.Err
	case step.Upgrade != nil:
		return u.upgrade(req, step), nil
	}
	return u.respond(req, step), nil
}

// next takes a step.
func (u *Upstream) next() (Step, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.steps) == 0 {
		return Step{}, false
	}
	u.tries++
	step := u.steps[0]
	u.taken++
	if step.Times >= 0 && u.taken >= max(1, step.Times) {
		u.steps, u.taken = u.steps[1:], 0
	}
	return step, true
}

// receive reads and closes the request's body, as a transport does, and records
// the request. When the context ends it closes the body under a read that hangs.
func (u *Upstream) receive(req *http.Request) error {
	ctx := req.Context()
	got := Request{At: time.Now(), Method: req.Method, Target: target(req), Host: req.Host, Header: req.Header.Clone()}
	if got.Method == "" {
		got.Method = http.MethodGet
	}
	if got.Host == "" {
		got.Host = req.URL.Host
	}
	var err error
	if req.Body != nil {
		stop := context.AfterFunc(ctx, func() { req.Body.Close() })
		var read []byte
		read, err = io.ReadAll(req.Body)
		got.Body, got.Trailer = string(read), req.Trailer.Clone()
		if stop() {
			req.Body.Close()
		}
	}
	if err == nil && req.ContentLength > 0 && int64(len(got.Body)) != req.ContentLength {
		err = fmt.Errorf("http: ContentLength=%d with Body length %d", req.ContentLength, len(got.Body))
	}
	u.mu.Lock()
	u.received = append(u.received, got)
	u.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// target is the request target as an origin server sees it. Our requests carry
// its exact bytes as URL.Opaque, after the authority.
func target(req *http.Request) string {
	if rest, ok := strings.CutPrefix(req.URL.Opaque, "//"); ok {
		path := "/"
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			path = rest[slash:]
		}
		if req.URL.ForceQuery || req.URL.RawQuery != "" {
			path += "?" + req.URL.RawQuery
		}
		return path
	}
	return req.URL.RequestURI()
}

func unsent(ctx context.Context, step Step) error {
	if err := pause(ctx, step.Delay); err != nil {
		return &UnsentError{err}
	}
	if step.Err != nil {
		return &UnsentError{step.Err}
	}
	return &UnsentError{syscall.ECONNREFUSED}
}

// pause waits for d, or until the context ends, and then gives its cause.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
