package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
)

// A pipeWriter is the answer's side of a connection whose request body is read
// from a pipe.
type pipeWriter struct{ net.Conn }

func (pipeWriter) Header() http.Header         { return http.Header{} }
func (pipeWriter) WriteHeader(int)             {}
func (pipeWriter) Write(p []byte) (int, error) { return len(p), nil }

// A client of a stream that flows both ways, such as a watch by gRPC, has nothing
// to say for as long as it is told something. It was cut after idle_timeout, in
// the middle of its answer.
func TestClientThatIsToldSomethingMayBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer func() { _ = client.Close() }()
		w := pipeWriter{server}
		u := newUpload(w, server)
		u.patience = time.Minute
		d := &download{w: w, conn: *http.NewResponseController(w), patience: time.Minute, upload: u}
		began := time.Now()
		ended := make(chan error)
		go func() {
			_, err := u.Read(make([]byte, 1))
			ended <- err
		}()
		for range 10 {
			time.Sleep(time.Minute - time.Nanosecond)
			_, _ = d.Write([]byte("event"))
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
		if took, want := time.Since(began), 11*time.Minute-10*time.Nanosecond; took != want {
			t.Errorf("the read ended after %s, want %s: a minute after the last that the client was told", took, want)
		}
		if !u.silent.Load() {
			t.Error("and the client is not said to have been silent")
		}
	})
}

// What the client is told at the very end of its body must not put a deadline on
// the connection's next request, nor keep a body that nobody wants any more.
func TestSparedClientLeavesNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer func() { _ = client.Close() }()
		w := pipeWriter{server}
		u := newUpload(w, io.NopCloser(io.LimitReader(server, 1)))
		u.patience = time.Minute
		go func() { _, _ = client.Write([]byte("x")) }()
		if _, err := io.ReadAll(u); err != nil {
			t.Fatal(err)
		}
		u.spare()
		time.Sleep(time.Hour)
		go func() { _, _ = client.Write([]byte("y")) }()
		if _, err := server.Read(make([]byte, 1)); err != nil {
			t.Errorf("the next request: %v", err)
		}

		u = newUpload(w, server)
		reading := make(chan error)
		go func() {
			_, err := u.Read(make([]byte, 1))
			reading <- err
		}()
		synctest.Wait()
		go u.leave()
		synctest.Wait()
		u.spare()
		if err := <-reading; err == nil {
			t.Error("a body that nobody wants was read on")
		}
	})
}

// An upload that was under way when the upstream failed was left, which its read took for a
// client that breaks off: nobody was told what had failed, and the connection was cut.
func TestBodyThatWeLeaveIsNoFaultOfItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := net.Pipe()
		defer func() { _ = client.Close() }()
		u := newUpload(pipeWriter{server}, server)
		call := new(policy.Call)
		s := &stream{source: u, limit: 10, total: new(kept), call: call, reading: true, room: make([]byte, 10), current: new(streamReader)}
		s.changed.L = &s.mu
		go s.fill()
		synctest.Wait()
		u.leave()
		synctest.Wait()
		if s.reading || s.err != http.ErrBodyReadAfterClose || call.BodyFailed() {
			t.Errorf("the read ended with %v; the client is at fault: %t", s.err, call.BodyFailed())
		}
	})
}
