package breaker_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
)

func TestBodyThatBreaksOffIsAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), times(20, policytest.Step{Body: "half", BodyErr: io.ErrUnexpectedEOF}))
		for i := range 9 {
			if a := r.do(); a.Body != "half" || a.Err != io.ErrUnexpectedEOF {
				t.Fatalf("answer %+v", a)
			}
			r.wantCounts(i+1, i+1, 0) // and no longer a success
		}
		time.Sleep(time.Second)
		r.calls(10)
		r.wantCounts(19, 19, 0)
		r.calls(1)
		r.wantState("open")
	})
}

func TestBodyThatBreaksOffLaterFailsThen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), fine, policytest.Step{Body: "half", BodyDelay: time.Minute, BodyErr: io.ErrUnexpectedEOF})
		r.do()
		ended := make(chan policytest.Answer)
		go func() { ended <- r.do() }()
		synctest.Wait()
		r.wantCounts(2, 0, 0)
		time.Sleep(time.Minute - 1)
		r.wantCounts(0, 0, 0)
		<-ended
		r.wantCounts(1, 1, 0)
	})
}

func TestEndsOfABodyThatAreNoFailure(t *testing.T) {
	for name, read := range map[string]func(t *testing.T, body io.ReadCloser, leave context.CancelFunc){
		"read to its end": func(t *testing.T, body io.ReadCloser, _ context.CancelFunc) {
			io.ReadAll(io.LimitReader(body, 4))
			body.Close()
		},
		"client leaves": func(t *testing.T, body io.ReadCloser, leave context.CancelFunc) {
			time.AfterFunc(time.Second, leave)
			if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
				t.Errorf("reading: %v", err)
			}
			body.Close()
		},
		"closed early": func(t *testing.T, body io.ReadCloser, _ context.CancelFunc) {
			body.Close()
			if _, err := io.ReadAll(body); err == nil {
				t.Error("read a closed body")
			}
		},
		"closed under a read": func(t *testing.T, body io.ReadCloser, _ context.CancelFunc) {
			time.AfterFunc(time.Second, func() { body.Close() })
			if _, err := io.ReadAll(body); err == nil {
				t.Error("read a closed body")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, settings(), policytest.Step{Body: "text", Stall: true})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				resp, err := r.rt.RoundTrip(r.get().WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				read(t, resp.Body, leave)
				r.wantCounts(1, 0, 0)
				if r.OpenBodies() != 0 {
					t.Error("the body was not closed")
				}
			})
		})
	}
}

// TestOldSuccessIsNotTakenFromANewBucket: ten buckets later the slot in which
// the success was counted holds the present.
func TestOldSuccessIsNotTakenFromANewBucket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), policytest.Step{Body: "half", BodyDelay: 30*time.Second + 1, BodyErr: io.ErrUnexpectedEOF}, fine)
		ended := make(chan policytest.Answer)
		go func() { ended <- r.do() }()
		time.Sleep(30 * time.Second)
		r.do()
		r.wantCounts(1, 0, 0)
		<-ended
		r.wantCounts(2, 1, 0)
	})
}

// TestBodyOfAProbeCountsAfterwards: the probe closed the circuit by its
// headers; its body is a matter of the closed circuit.
func TestBodyOfAProbeCountsAfterwards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(), failed, policytest.Step{Body: "half", BodyErr: io.ErrUnexpectedEOF})
		r.open()
		time.Sleep(5 * time.Second)
		r.do()
		r.wantChanges("0s closed→open until 5s", "5s open→half-open", "5s half-open→closed", "5s closed→open until 15s")
	})
}

// TestBodyOfAnEarlierLifeDoesNotCount: what broke off was sent before the
// circuit opened and closed again.
func TestBodyOfAnEarlierLifeDoesNotCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, quick(),
			policytest.Step{Body: "half", BodyDelay: time.Minute, BodyErr: io.ErrUnexpectedEOF}, failed, fine)
		ended := make(chan policytest.Answer)
		go func() { ended <- r.do() }()
		synctest.Wait()
		r.open()
		time.Sleep(5 * time.Second)
		r.do()
		<-ended
		r.wantCounts(0, 0, 0)
	})
}

func TestUpgradedConnectionStaysOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, settings(), policytest.Step{Upgrade: func(peer policytest.Conn) {
			said, _ := io.ReadAll(peer)
			peer.Write(said)
		}})
		ctx, leave := context.WithCancelCause(t.Context())
		resp, err := r.rt.RoundTrip(r.get().WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		conn, ok := resp.Body.(policytest.Conn)
		if !ok {
			t.Fatalf("the body is a %T", resp.Body)
		}
		conn.Write([]byte("hello"))
		conn.CloseWrite()
		if said, err := io.ReadAll(conn); string(said) != "hello" || err != nil {
			t.Errorf("heard %q, %v", said, err)
		}
		leave(errBroken)
		synctest.Wait()
		conn.Read(make([]byte, 1))
		conn.Close()
		r.wantCounts(1, 0, 0)
	})
}
