package policytest

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// upgrade answers 101 and starts the step's function at the other end.
func (u *Upstream) upgrade(req *http.Request, step Step) *http.Response {
	if step.Status == 0 {
		step.Status = http.StatusSwitchingProtocols
	}
	resp := response(req, step)
	ours, theirs := connPair()
	stop := context.AfterFunc(req.Context(), func() { ours.fail(context.Cause(req.Context())) })
	u.mu.Lock()
	u.open++
	u.mu.Unlock()
	ours.release = func() {
		stop()
		u.mu.Lock()
		u.open--
		u.mu.Unlock()
	}
	go func() {
		defer theirs.Close()
		step.Upgrade(theirs)
	}()
	resp.Body = ours
	return resp
}

// conn is one end of two pipes that run in opposite directions.
type conn struct {
	in      *io.PipeReader
	out     *io.PipeWriter
	once    sync.Once
	release func() // nil: nothing to do
}

func connPair() (a, b *conn) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return &conn{in: ar, out: aw}, &conn{in: br, out: bw}
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.Write(p) }

// CloseWrite lets the other end read to its end, and then io.EOF.
func (c *conn) CloseWrite() error { return c.out.Close() }

// fail breaks the connection for both ends.
func (c *conn) fail(err error) {
	c.in.CloseWithError(err)
	c.out.CloseWithError(err)
}

// Close closes both directions.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.out.Close()
		if c.release != nil {
			c.release()
		}
	})
	return c.in.Close()
}
