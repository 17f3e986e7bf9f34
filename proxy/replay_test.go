package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"

	"outrider/policy"
)

// sourceFunc is a request body that comes from a function.
type sourceFunc func(p []byte) (int, error)

func (f sourceFunc) Read(p []byte) (int, error) { return f(p) }
func (f sourceFunc) Close() error               { return nil }

// When the first attempt had failed in the middle of an upload, net/http filled
// in the trailers while the second attempt wrote their names: a map that is
// read and written at once ends the whole process.
func TestTrailersComeWithTheEndOfTheAttemptsBody(t *testing.T) {
	rest := make(chan struct{})
	in := httptest.NewRequest("PUT", "/x", nil)
	in.ContentLength, in.Trailer = -1, http.Header{"X-Sum": nil}
	in.Body = sourceFunc(func([]byte) (int, error) {
		<-rest
		in.Trailer["X-Sum"] = []string{"42"}
		return 0, io.EOF
	})
	ctx := policy.WithCall(t.Context(), &policy.Call{})
	out := outbound(context.Background(), in, route{scheme: "http", host: "api.test", target: target{path: "/x"}})
	release, err := prepareBody(ctx, in, out, 1<<20, &kept{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()

	read := make(chan error)
	go func() {
		_, err := out.Body.Read(make([]byte, 8))
		read <- err
	}()
	_ = out.Body.Close() // the first attempt is over
	if err := <-read; err == nil {
		t.Fatal("a closed body was read")
	}
	second, err := out.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	close(rest)
	for name, values := range out.Trailer { // as a transport does that writes its head
		if values != nil {
			t.Errorf("%s is there before the body was read", name)
		}
	}
	if _, err := io.ReadAll(second); err != nil {
		t.Fatal(err)
	}
	if got := out.Trailer.Get("X-Sum"); got != "42" {
		t.Errorf("after the body the trailer is %q, want 42", got)
	}
}

// A body that grew too large while the second attempt read what was remembered
// has to reach that attempt whole.
func TestOverflowDuringAReplayLosesNothing(t *testing.T) {
	parts := make(chan string)
	in := httptest.NewRequest("PUT", "/x", nil)
	in.ContentLength = -1
	in.Body = sourceFunc(func(p []byte) (int, error) {
		part, ok := <-parts
		if !ok {
			return 0, io.EOF
		}
		return copy(p, part), nil
	})
	memory := &kept{}
	out := &http.Request{}
	release, err := prepareBody(policy.WithCall(context.Background(), &policy.Call{}), in, out, 10, memory)
	if err != nil {
		t.Fatal(err)
	}
	first := out.Body
	go func() { parts <- "remember" }()
	if _, err := io.ReadFull(first, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := first.Read(make([]byte, 8))
		failed <- err
	}()
	parts <- "ed, and more" // read for the first attempt, which may end before it has it
	_ = first.Close()
	<-failed
	second, err := out.GetBody()
	if err == nil {
		go func() { close(parts) }()
		whole, err := io.ReadAll(second)
		if err != nil || string(whole) != "remembered, and more" {
			t.Errorf("the second attempt got %q %v", whole, err)
		}
	}
	release()
	if n := memory.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// An informational answer over HTTP/2 that came late was written by the
// transport's goroutine into the answer that the handler wrote.
func TestLateInformationIsDropped(t *testing.T) {
	w := httptest.NewRecorder()
	x := &exchange{w: w, r: httptest.NewRequest("GET", "/", nil)}
	late := make(chan struct{})
	x.finish()
	go func() {
		defer close(late)
		_ = x.Inform(http.StatusEarlyHints, textproto.MIMEHeader{"Link": {"</late>"}})
	}()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusBadGateway)
	<-late
	if w.Code != http.StatusBadGateway || w.Header().Get("Link") != "" {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
}

// A small body that found no room said that it could be had again until somebody had
// read it: a call that needs it whole, to sign it, had nothing to send then.
func TestBodyWithoutRoomIsSentOnce(t *testing.T) {
	in := httptest.NewRequest("PUT", "/x", strings.NewReader("small"))
	out := outbound(context.Background(), in, route{scheme: "http", host: "api.test", target: target{path: "/x"}})
	full := &kept{}
	full.take(replayTotal)
	release, err := prepareBody(policy.WithCall(t.Context(), &policy.Call{}), in, out, 1<<20, full)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if out.GetBody != nil {
		t.Error("it says that it can be had again")
	}
	if body, err := io.ReadAll(out.Body); err != nil || string(body) != "small" {
		t.Errorf("body %q, %v", body, err)
	}
}

// A body of a GiB is 16,000 pieces, of which the next garbage collection knows nothing.
func TestPiecesOfAStreamedBodyCostLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	in := httptest.NewRequest("PUT", "/x", nil)
	in.ContentLength = 1 << 30
	in.Body = sourceFunc(func(p []byte) (int, error) { return len(p), nil })
	ctx := policy.WithCall(t.Context(), &policy.Call{})
	out := outbound(context.Background(), in, route{scheme: "http", host: "api.test", target: target{path: "/x"}})
	release, err := prepareBody(ctx, in, out, 1<<10, &kept{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	piece := make([]byte, largeBuffer)
	got := testing.AllocsPerRun(100, func() {
		if n, err := out.Body.Read(piece); n != len(piece) || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
	})
	if got > 0 {
		t.Errorf("a piece takes %v allocations", got)
	}
}

// A read that waits for the client ends with its attempt, and the one that is under way goes
// to the next.
func TestEndOfAnAttemptWakesItsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		come := make(chan string)
		in := httptest.NewRequest("PUT", "/x", nil)
		in.ContentLength = -1
		in.Body = sourceFunc(func(p []byte) (int, error) { return copy(p, <-come), io.EOF })
		ctx := policy.WithCall(t.Context(), &policy.Call{})
		out := outbound(context.Background(), in, route{scheme: "http", host: "api.test", target: target{path: "/x"}})
		release, err := prepareBody(ctx, in, out, 1<<10, &kept{})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		ended := make(chan error, 1)
		go func() {
			_, err := out.Body.Read(make([]byte, 8))
			ended <- err
		}()
		synctest.Wait()
		second, err := out.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if _ = out.Body.Close(); <-ended == nil {
			t.Error("an attempt that is over read on")
		}
		go func() { come <- "late" }()
		if data, err := io.ReadAll(second); string(data) != "late" || err != nil {
			t.Errorf("the next attempt read %q, %v", data, err)
		}
	})
}
