package policytest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
)

const url = "https://api.test/v1/a%2Fb?q=1"

func TestUpstreamFollowsItsScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		up := policytest.NewUpstream(t,
			policytest.Step{Status: 503, Header: http.Header{"Retry-After": {"1"}}, Delay: 2 * time.Second},
			policytest.Step{Body: "hello", Times: 2},
			policytest.Step{Err: io.ErrUnexpectedEOF, Times: -1},
		)
		post := policytest.NewRequest(t, "POST", url, "sent")
		post.Header.Set("Idempotency-Key", "k")
		first := policytest.Do(up, post)
		if first.Status != 503 || first.Header.Get("Retry-After") != "1" || first.Took != 2*time.Second {
			t.Errorf("first answer is %+v", first)
		}
		for range 2 {
			if a := policytest.Do(up, policytest.NewRequest(t, "GET", url, "")); a.Status != 200 || a.Body != "hello" || a.Err != nil {
				t.Errorf("repeated answer is %+v", a)
			}
		}
		for range 3 {
			if a := policytest.Do(up, policytest.NewRequest(t, "GET", url, "")); a.Err != io.ErrUnexpectedEOF {
				t.Errorf("last answer is %+v", a)
			}
		}
		got := up.Requests()
		want := policytest.Request{
			At: begun, Method: "POST", Target: "/v1/a%2Fb?q=1", Host: "api.test",
			Header: http.Header{"Idempotency-Key": {"k"}}, Body: "sent",
		}
		if len(got) != 6 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("received %d, the first %+v, want %+v", len(got), got[0], want)
		}
		if up.OpenBodies() != 0 {
			t.Errorf("%d bodies are open", up.OpenBodies())
		}
	})
}

func TestRequestAfterTheScriptFailsTheTest(t *testing.T) {
	silent := &silentTB{TB: t}
	a := policytest.Do(policytest.NewUpstream(silent), policytest.NewRequest(t, "GET", url, ""))
	if a.Err == nil || !silent.failed {
		t.Errorf("answer %+v, test failed: %t", a, silent.failed)
	}
}

// silentTB notes failures in place of failing.
type silentTB struct {
	testing.TB
	failed bool
}

func (s *silentTB) Errorf(string, ...any) { s.failed = true }

func TestUnsentIsNotReceivedAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Unsent: true, Delay: time.Second})
		body := &closing{Reader: strings.NewReader("x")}
		req := policytest.NewRequest(t, "POST", url, "x")
		req.Body = body
		a := policytest.Do(up, req)
		var unsent interface{ Unsent() bool }
		if !errors.As(a.Err, &unsent) || !unsent.Unsent() || !errors.Is(a.Err, syscall.ECONNREFUSED) || a.Took != time.Second {
			t.Errorf("answer is %+v", a)
		}
		if len(up.Requests()) != 0 || up.Tries() != 1 || !body.closed {
			t.Errorf("received %d of %d, body closed: %t", len(up.Requests()), up.Tries(), body.closed)
		}
	})
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestContextEndsEverythingByItsCause(t *testing.T) {
	left := errors.New("left")
	for name, step := range map[string]policytest.Step{
		"hang":         {Hang: true},
		"delay":        {Delay: time.Hour},
		"unsent delay": {Unsent: true, Delay: time.Hour},
		"body delay":   {Body: "x", BodyDelay: time.Hour},
		"stall":        {Body: "x", Stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, leave := context.WithCancelCause(t.Context())
				time.AfterFunc(3*time.Second, func() { leave(left) })
				up := policytest.NewUpstream(t, step)
				a := policytest.Do(up, policytest.NewRequest(t, "GET", url, "").WithContext(ctx))
				if !errors.Is(a.Err, left) || a.Took != 3*time.Second {
					t.Errorf("answer is %+v", a)
				}
				again := policytest.Do(up, policytest.NewRequest(t, "GET", url, "").WithContext(ctx))
				if again.Err != left || up.Tries() != 1 {
					t.Errorf("with a context that has ended: %+v after %d tries", again, up.Tries())
				}
			})
		})
	}
}

func TestContextEndsARequestBodyThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		pr, pw := io.Pipe()
		go pw.Write([]byte("some"))
		req := policytest.Streamed(policytest.NewRequest(t, "POST", url, "x")).WithContext(ctx)
		req.Body = pr
		up := policytest.NewUpstream(t, policytest.Step{})
		a := policytest.Do(up, req)
		if a.Err != context.DeadlineExceeded || a.Took != time.Second || up.Requests()[0].Body != "some" {
			t.Errorf("answer is %+v, received %q", a, up.Requests()[0].Body)
		}
	})
}

func TestBodiesEndAsScripted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t,
			policytest.Step{Body: "half", BodyErr: io.ErrUnexpectedEOF},
			policytest.Step{Body: "whole", Trailer: http.Header{"Checksum": {"1"}}},
			policytest.Step{Body: "late", BodyDelay: time.Second},
			policytest.Step{Body: "none", Status: 204},
			policytest.Step{Body: "x"},
		)
		get := func() policytest.Answer { return policytest.Do(up, policytest.NewRequest(t, "GET", url, "")) }
		if a := get(); a.Body != "half" || a.Err != io.ErrUnexpectedEOF {
			t.Errorf("broken off: %+v", a)
		}
		if a := get(); a.Body != "whole" || a.Trailer.Get("Checksum") != "1" {
			t.Errorf("with a trailer: %+v", a)
		}
		if a := get(); a.Body != "late" || a.Took != time.Second {
			t.Errorf("late: %+v", a)
		}
		if a := get(); a.Status != 204 || a.Body != "" {
			t.Errorf("204: %+v", a)
		}
		resp, err := up.RoundTrip(policytest.NewRequest(t, "GET", url, ""))
		if err != nil || up.OpenBodies() != 1 {
			t.Fatalf("%v, %d open", err, up.OpenBodies())
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose || up.OpenBodies() != 0 {
			t.Errorf("reading after Close: %v, %d open", err, up.OpenBodies())
		}
	})
}

func TestUpgradeIsAConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Upgrade: func(peer policytest.Conn) {
			said, _ := io.ReadAll(peer)
			peer.Write([]byte("heard " + string(said)))
		}})
		resp, err := up.RoundTrip(policytest.NewRequest(t, "GET", url, ""))
		if err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		conn := resp.Body.(policytest.Conn)
		conn.Write([]byte("hello"))
		conn.CloseWrite()
		if heard, err := io.ReadAll(conn); string(heard) != "heard hello" || err != nil {
			t.Errorf("heard %q, %v", heard, err)
		}
		conn.Close()
		conn.Close()
		if up.OpenBodies() != 0 {
			t.Errorf("%d bodies are open", up.OpenBodies())
		}
	})
}

func TestStepMayEndTheGoroutine(t *testing.T) {
	up := policytest.NewUpstream(t, policytest.Step{Do: func(*http.Request) { runtime.Goexit() }})
	ended := make(chan bool)
	go func() {
		came := false
		defer func() { ended <- came }()
		policytest.Do(up, policytest.NewRequest(t, "GET", url, ""))
		came = true
	}()
	if <-ended {
		t.Error("RoundTrip came back")
	}
}

func TestNetCarriesHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := policytest.NewNet()
		network.Serve(t, "api.test:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			time.Sleep(time.Minute)
			w.Write([]byte(r.Method + " " + string(body)))
		}))
		transport := network.Transport(t)
		a := policytest.Do(transport, policytest.NewRequest(t, "POST", "http://api.test/", "x"))
		if a.Status != 200 || a.Body != "POST x" || a.Took != time.Minute {
			t.Errorf("answer is %+v", a)
		}
		a = policytest.Do(transport, policytest.NewRequest(t, "GET", "http://other.test/", ""))
		if !errors.Is(a.Err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens, but %+v", a)
		}
		if _, err := network.Listen("api.test:80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listening twice: %v", err)
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := policytest.NewNet()
		l, err := network.Listen("api.test:80")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := network.Dial(ctx, "tcp", "api.test:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody accepts: %v", err)
		}
		l.Close()
		if _, err := network.Dial(t.Context(), "tcp", "api.test:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestJitterIsPinned(t *testing.T) {
	if got := policytest.Jitter(0.25)(time.Second); got != 250*time.Millisecond {
		t.Errorf("a quarter of a second is %v", got)
	}
}
