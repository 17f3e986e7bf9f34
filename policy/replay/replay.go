// Package replay has what every policy needs that sends a request a second time:
// its body again, and the answer to the first one out of the way. Whether it is
// right to send it again is decided elsewhere.
package replay

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Possible reports whether the body of a request can be had again, or it has none.
func Possible(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// Body gives the body of a request from its beginning. It must be [Possible].
func Body(req *http.Request) (io.ReadCloser, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req.Body, nil
	}
	return req.GetBody()
}

// Held gives the whole body of a request, also of one that was read, where it is in
// memory and not longer than limit bytes; nil where there is none. A body says that it is
// in memory by a method Held. Nobody may write to what is given.
func Held(req *http.Request, limit int) (body []byte, ok bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, true
	}
	held, ok := req.Body.(interface{ Held() []byte })
	if !ok {
		return nil, false
	}
	body = held.Held()
	return body, len(body) <= limit
}

// CloseBody closes the body of a request that is not sent.
func CloseBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// What is read of a response that is dropped, and for how long.
const (
	drainBytes = 64 << 10
	drainTime  = 500 * time.Millisecond
)

// Drop reads a response to its end, so that its connection can be used again,
// and closes it; that gives back its turn as well. A body that is too large, or
// does not come, is not worth the wait: the former is closed, the latter left
// to end with the context of the call, since not every body can be closed under
// a read.
func Drop(ctx context.Context, resp *http.Response) {
	if resp.Body == nil {
		return
	}
	if resp.Body == http.NoBody || resp.ContentLength > drainBytes {
		resp.Body.Close()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyN(io.Discard, resp.Body, drainBytes)
		resp.Body.Close()
	}()
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
