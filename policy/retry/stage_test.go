package retry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// settings are those of an upstream that says nothing about retries.
func settings() retry.Settings {
	return retry.Settings{
		Attempts: 3, Base: 100 * time.Millisecond, Cap: 20 * time.Second,
		Statuses: []int{408, 425, 429, 500, 502, 503, 504},
		Jitter:   policytest.Jitter(0.5),
	}
}

func newStage(t testing.TB, s retry.Settings) *retry.Stage {
	t.Helper()
	stage, err := retry.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return stage
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestNewReportsEverythingAtOnce(t *testing.T) {
	_, err := retry.New(retry.Settings{Attempts: 2, Statuses: []int{200, 700}, Unprocessed: []int{204}, MintKey: true})
	for _, want := range []string{"base", "randomness", "200", "700", "unprocessed: 204", "minting"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v: no word about %q", err, want)
		}
	}
	if _, err := retry.New(retry.Settings{}); err == nil || !strings.Contains(err.Error(), "attempts = 0") {
		t.Errorf("no attempts: %v", err)
	}
	if _, err := retry.New(retry.Settings{Attempts: 1}); err != nil {
		t.Errorf("one attempt needs nothing else, got %v", err)
	}
}

// leaving is a context of a call that ends in two ways: the caller goes, or a
// clock of ours runs out, which leaves its cause.
var leaving = map[string]error{ // reason → cause
	retry.ClientGone: context.Canceled,
	retry.Deadline:   errors.New("timeout of 20ms passed"),
}

// TestCallThatEndsDuringBackoff returns the cause of its context, at once, and
// the body that was made for the next attempt is closed.
func TestCallThatEndsDuringBackoff(t *testing.T) {
	for reason, cause := range leaving {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
			var told []retry.Event
			set := settings()
			set.OnGiveUp = func(_ context.Context, e retry.Event) { told = append(told, e) }
			upstream := policytest.NewUpstream(t, policytest.Step{Status: 503, Body: "busy"})
			req := policytest.NewRequest(t, "PUT", "https://api.test/x", "abc").WithContext(ctx)
			again := &counted{Reader: strings.NewReader("abc")}
			req.GetBody = func() (io.ReadCloser, error) { return again, nil }

			answer := policytest.Do(newStage(t, set).Wrap(upstream), req)
			if answer.Err != cause || answer.Took != 20*time.Millisecond {
				t.Errorf("got %v after %v, want the cause after 20ms", answer.Err, answer.Took)
			}
			if again.closed != 1 {
				t.Errorf("the body of the attempt that was not made: closed %d times", again.closed)
			}
			if upstream.OpenBodies() != 0 {
				t.Error("the dropped response is still open")
			}
			same(t, "told", told, []retry.Event{{Attempt: 1, Reason: reason}})
		})
	}
}

func TestCallThatEndsDuringAnAttemptIsNotRetried(t *testing.T) {
	for reason, cause := range leaving {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
			var told []retry.Event
			set := settings()
			set.OnGiveUp = func(_ context.Context, e retry.Event) { told = append(told, e) }
			upstream := policytest.NewUpstream(t, policytest.Step{Hang: true})
			req := policytest.NewRequest(t, "GET", "https://api.test/x", "").WithContext(ctx)

			answer := policytest.Do(newStage(t, set).Wrap(upstream), req)
			if answer.Err != cause || upstream.Tries() != 1 {
				t.Errorf("got %v after %d attempts", answer.Err, upstream.Tries())
			}
			same(t, "told", told, []retry.Event{{Attempt: 1, Reason: reason}})
		})
	}
}

// TestLastResponseIsTheUpstreamsOwn: the very same body, of which not a byte
// was read, so that what comes slowly is not held up.
func TestLastResponseIsTheUpstreamsOwn(t *testing.T) {
	for _, status := range []int{200, 404, 503} {
		body := &unread{t: t}
		resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: body, ContentLength: -1}
		set := settings()
		set.Attempts = 1
		got, err := newStage(t, set).Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
			return resp, nil
		})).RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if got != resp || got.Body != io.ReadCloser(body) || err != nil {
			t.Errorf("status %d: got %v, %v", status, got, err)
		}
	}
}

type unread struct{ t *testing.T }

func (u *unread) Read([]byte) (int, error) { u.t.Error("read"); return 0, io.EOF }
func (u *unread) Close() error             { u.t.Error("closed"); return nil }

func TestDroppedResponses(t *testing.T) {
	const limit = 64 << 10
	tests := []struct {
		name     string
		size     int
		declared int64
		read     int // what is read before it is closed
	}{
		{"small: read to its end, for the connection's sake", 100, 100, 100},
		{"small, of unknown length", 100, -1, 100},
		{"large: closed at once", limit + 1, limit + 1, 0},
		{"large, of unknown length: read as far as it is worth it", 1 << 20, -1, limit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dropped := &counted{Reader: bytes.NewReader(make([]byte, tt.size))}
				n := 0
				rt := newStage(t, settings()).Wrap(roundTripper(func(*http.Request) (*http.Response, error) {
					if n++; n == 1 {
						return &http.Response{StatusCode: 502, Body: dropped, ContentLength: tt.declared}, nil
					}
					if dropped.closed != 1 {
						t.Errorf("closed %d times before the next attempt", dropped.closed)
					}
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}))
				if answer := policytest.Do(rt, policytest.NewRequest(t, "GET", "https://api.test/x", "")); answer.Status != 200 {
					t.Errorf("answer %+v", answer)
				}
				if dropped.read != tt.read {
					t.Errorf("read %d bytes, want %d", dropped.read, tt.read)
				}
			})
		})
	}
}

type counted struct {
	io.Reader
	read, closed int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}
func (c *counted) Close() error { c.closed++; return nil }

// TestDroppedResponseThatStallsDoesNotHoldTheCall: a server that says 503 and
// then nothing more takes half a second of the call, not all of it; what is
// left of the response ends with the call's context.
func TestDroppedResponseThatStallsDoesNotHoldTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		upstream := policytest.NewUpstream(t,
			policytest.Step{Status: 502, Body: "we are", Stall: true},
			policytest.Step{Body: "fine"})
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "").WithContext(ctx)
		answer := policytest.Do(newStage(t, settings()).Wrap(upstream), req)
		if answer.Body != "fine" || answer.Took != 500*time.Millisecond {
			t.Errorf("got %q, %v after %v", answer.Body, answer.Err, answer.Took)
		}
		cancel()
		synctest.Wait()
		if upstream.OpenBodies() != 0 {
			t.Error("the stalled response outlives the call")
		}
	})
}

// TestTimeToDropAResponseIsPartOfTheWait: attempts begin when they were said to.
func TestTimeToDropAResponseIsPartOfTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t,
			policytest.Step{Status: 503, Body: "busy", BodyDelay: 400 * time.Millisecond},
			policytest.Step{})
		answer := policytest.Do(newStage(t, settings()).Wrap(upstream), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if answer.Status != 200 || answer.Took != 500*time.Millisecond {
			t.Errorf("got %+v", answer)
		}
	})
}

// TestEachAttemptHasItsOwnRequest: no attempt sees what another did to its
// header or body, nobody writes to the caller's, and the trailer stays the map
// that the body fills at its end.
func TestEachAttemptHasItsOwnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := policytest.NewRequest(t, "PUT", "https://api.test/x", "0123456789")
		req.Header.Set("X-Caller", "me")
		req.Trailer = http.Header{"Checksum": nil}
		var seen []*http.Request
		rt := newStage(t, settings()).Wrap(roundTripper(func(r *http.Request) (*http.Response, error) {
			seen = append(seen, r)
			if r.Header.Get("X-Attempt") != "" {
				t.Error("the header of another attempt")
			}
			if len(seen) > 1 { // the first is the caller's own, and must be cloned to be changed
				r.Header.Set("X-Attempt", "changed")
			}
			if _, ok := r.Trailer["Checksum"]; !ok || len(seen) > 1 && r.Trailer.Get("Checksum") != "late" {
				t.Errorf("attempt %d: trailer %v", len(seen), r.Trailer)
			}
			req.Trailer["Checksum"] = []string{"late"}
			part := make([]byte, 4) // as far as it came before the connection broke
			if n, err := io.ReadFull(r.Body, part); string(part) != "0123" {
				t.Errorf("attempt %d: body begins with %q, %v", len(seen), part[:n], err)
			}
			r.Body.Close()
			return nil, io.ErrUnexpectedEOF
		}))
		if _, err := rt.RoundTrip(req); !errors.Is(err, io.ErrUnexpectedEOF) || len(seen) != 3 {
			t.Errorf("%v after %d attempts", err, len(seen))
		}
		if seen[0] != req || seen[1] == req || seen[2] == seen[1] {
			t.Error("attempts share a request")
		}
		if len(req.Header) != 1 {
			t.Errorf("the caller's header was written to: %v", req.Header)
		}
	})
}

func TestMintedKeyDoesNotTouchTheCallersRequest(t *testing.T) {
	set := settings()
	set.IdempotencyHeader, set.MintKey, set.NewKey = "Idempotency-Key", true, func() string { return "k" }
	req := policytest.NewRequest(t, "POST", "https://api.test/x", "")
	req.Header = nil
	resp, err := newStage(t, set).Wrap(roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Idempotency-Key") != "k" {
			t.Errorf("sent %v", r.Header)
		}
		return &http.Response{StatusCode: 201, Body: http.NoBody}, nil // and no header at all
	})).RoundTrip(req)
	if err != nil || resp.Header.Get("Idempotency-Key") != "k" {
		t.Errorf("got %v, %v", resp.Header, err)
	}
	if req.Header != nil {
		t.Errorf("the caller's header: %v", req.Header)
	}
}

func TestTwoKeysAreNone(t *testing.T) {
	set := settings()
	set.IdempotencyHeader = "Idempotency-Key"
	stage := newStage(t, set)
	req := policytest.NewRequest(t, "POST", "https://api.test/x", "")
	req.Header["Idempotency-Key"] = []string{"a"}
	if class := stage.Class(req); class != retry.Keyed {
		t.Errorf("one key: %s", class)
	}
	req.Header["Idempotency-Key"] = []string{"a", "b"}
	if class := stage.Class(req); class != retry.Unsafe {
		t.Errorf("two keys: %s", class)
	}
}

func TestReplayable(t *testing.T) {
	body := func() io.ReadCloser { return io.NopCloser(strings.NewReader("x")) }
	get := func() (io.ReadCloser, error) { return body(), nil }
	for name, tt := range map[string]struct {
		req  http.Request
		want bool
	}{
		"no body":            {http.Request{}, true},
		"empty body":         {http.Request{Body: http.NoBody}, true},
		"body to have again": {http.Request{Body: body(), GetBody: get}, true},
		"body to have once":  {http.Request{Body: body()}, false},
		"upgrade":            {http.Request{Header: http.Header{"Upgrade": {"websocket"}}}, false},
		"early data":         {http.Request{Header: http.Header{"Early-Data": {"1"}}}, false},
		"early data, twice":  {http.Request{Header: http.Header{"Early-Data": {"1", "1"}}}, false},
		"invalid early data": {http.Request{Header: http.Header{"Early-Data": {"0"}}}, false}, // counts like a valid one
	} {
		if got := retry.Replayable(&tt.req); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOneStageServesManyCalls is for the race detector.
func TestOneStageServesManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := settings()
		set.Budget = retry.NewBudget(1, nil)
		set.IdempotencyHeader, set.MintKey, set.NewKey = "Idempotency-Key", true, func() string { return "k" }
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 50, Status: 502, Body: "x"}, policytest.Step{Times: -1})
		rt := newStage(t, set).Wrap(upstream)
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				answer := policytest.Do(rt, policytest.NewRequest(t, "POST", "https://api.test/x", "abc"))
				if answer.Status != 200 {
					t.Errorf("%+v", answer)
				}
			})
		}
		calls.Wait()
		if n := upstream.Tries(); n != 100 {
			t.Errorf("%d attempts", n)
		}
	})
}
