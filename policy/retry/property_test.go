package retry_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// TestWhateverHappens draws calls, what the caller says of them, and what the
// upstream does, and holds the promises of the package against it:
//
//   - a request that may do harm twice is not sent again after bytes of it left, unless
//     the answer says that nothing was done;
//   - a key that was used for another request is not tried again;
//   - attempts ≤ calls + new calls·ratio + 50 + half a retry per idle second, exactly,
//     whatever the shape of the outage, where new calls are no retries of their callers';
//   - no attempt begins before the server's hint, or after the deadline;
//   - no attempt sees a body that another has read from;
//   - every response that is not handed on is closed.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(*testing.T) {
			defer func() { failed = recover() }() // rt ends a check by a panic, which belongs outside of the bubble
			checkPromises(rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

func checkPromises(t *rapid.T) {
	ratio := rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "ratio")
	world := &world{t: t}
	set := settings()
	set.Attempts = rapid.IntRange(1, 6).Draw(t, "attempts")
	set.IdempotencyHeader = rapid.SampledFrom([]string{"", "Idempotency-Key"}).Draw(t, "header")
	set.MintKey = set.IdempotencyHeader != "" && rapid.Bool().Draw(t, "mint")
	minted := 0
	set.NewKey = func() string { minted++; return fmt.Sprint("minted ", minted) }
	world.unprocessed = rapid.Bool().Draw(t, "unprocessed")
	if world.unprocessed {
		set.Unprocessed = []int{429}
	}
	repeats := 0
	set.Repeats = retry.NewRepeats()
	set.OnRepeat = func(context.Context, retry.Event) { repeats++ }
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	set.Jitter = func(max time.Duration) time.Duration { return time.Duration(random.Int64N(int64(max))) }
	set.Budget = retry.NewBudget(ratio, nil)
	stage, err := retry.New(set)
	if err != nil {
		t.Fatal(err)
	}
	rt := stage.Wrap(world)

	calls := rapid.IntRange(1, 120).Draw(t, "calls")
	pauses := rapid.SampledFrom([]int{0, 100, 3000}).Draw(t, "pauses")
	world.reads = rapid.Bool().Draw(t, "reads")
	weather := rapid.SampledFrom(shapes).Draw(t, "shape of the outage")
	for i := range calls {
		world.statuses = weather(i, calls)
		world.call(rt, set.IdempotencyHeader, set.MintKey)
		time.Sleep(time.Duration(rapid.IntRange(0, pauses).Draw(t, "pause")) * time.Millisecond)
	}
	world.first() // what was idle since the last call
	if bound := float64(calls) + float64(calls-repeats)*ratio + 50 + world.idle.Seconds()/2; float64(world.attempts) > bound {
		t.Fatalf("%d attempts for %d calls, %d of them repeated, bound %v", world.attempts, calls, repeats, bound)
	}
	if ratio == 0 && world.attempts != calls {
		t.Fatalf("%d attempts for %d calls without a budget", world.attempts, calls)
	}
	if world.open != 0 {
		t.Fatalf("%d responses were not closed", world.open)
	}
}

// What the upstream answers: statuses, and 0 for a connection that is lost.
var (
	mixed     = []int{0, 421, 429, 500, 503, 200, 404, 409, 422}
	faults    = []int{0, 429, 500, 503}
	throttles = []int{429}
	losses    = []int{0}
	health    = []int{200}
)

// shapes are outages: what call i of n meets.
var shapes = []func(i, n int) []int{
	func(_, _ int) []int { return mixed },
	func(_, _ int) []int { return faults },
	func(_, _ int) []int { return throttles },
	func(_, _ int) []int { return losses },
	func(i, n int) []int { return either(i < n/2, faults, health) },              // it comes back
	func(i, n int) []int { return either(i < n/2, health, losses) },              // it goes
	func(i, n int) []int { return either(i >= n/3 && i < 2*n/3, losses, mixed) }, // it is away for a while
	func(i, _ int) []int { return either(i%7 < 4, throttles, mixed) },            // it flaps
}

func either(is bool, yes, no []int) []int {
	if is {
		return yes
	}
	return no
}

// world is caller and upstream.
type world struct {
	t              *rapid.T
	attempts, open int
	reads          bool          // all that is called may be sent again: this is what costs most
	unprocessed    bool          // a 429 says that nothing was done
	statuses       []int         // of the answers to come
	idle           time.Duration // without a first attempt, from one second on
	last           time.Time     // first attempt
	// Of the current call.
	started  bool // its first attempt was made
	harmful  bool // must not be applied twice
	keyed    bool // it carries a key that is honoured, and needs it
	applied  bool // an attempt may have been
	reused   bool // its key was used for another request
	notUntil time.Time
	deadline time.Time
}

func (w *world) call(rt http.RoundTripper, header string, mint bool) {
	t := w.t
	methods := []string{"GET", "PUT", "DELETE", "QUERY", "POST", "PATCH", "PURGE"}
	if w.reads {
		methods = methods[:4]
	}
	method := rapid.SampledFrom(methods).Draw(t, "method")
	req, err := http.NewRequest(method, "https://api.test/x", strings.NewReader("0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	keyed := rapid.Bool().Draw(t, "keyed")
	if keyed {
		req.Header.Set("Idempotency-Key", rapid.SampledFrom([]string{"mine", "yours", fmt.Sprint("of ", w.attempts)}).Draw(t, "key"))
	}
	if rapid.IntRange(0, 9).Draw(t, "a retry of the caller's") == 0 {
		req.Header.Set("X-Stainless-Retry-Count", "1")
	}
	controls := retry.Controls{Idempotent: rapid.IntRange(0, 9).Draw(t, "vouched") == 0}
	post := method == "POST" || method == "PATCH"
	w.keyed = (post || method == "PURGE") && (keyed && header != "" || mint && post)
	w.harmful = (post || method == "PURGE") && !controls.Idempotent && !w.keyed
	w.started, w.applied, w.reused, w.notUntil = false, false, false, time.Time{}
	timeout := time.Duration(rapid.IntRange(1, 20000).Draw(t, "deadline")) * time.Millisecond
	w.deadline = time.Now().Add(timeout)

	ctx, cancel := context.WithDeadline(retry.WithControls(context.Background(), controls), w.deadline)
	defer cancel()
	resp, err := rt.RoundTrip(req.WithContext(ctx))
	if err == nil {
		resp.Body.Close()
	}
	if time.Now().After(w.deadline) {
		t.Fatalf("%v after the deadline", time.Since(w.deadline))
	}
}

// first notes a first attempt.
func (w *world) first() {
	if !w.last.IsZero() {
		w.idle += max(0, time.Since(w.last)-time.Second)
	}
	w.last = time.Now()
}

// RoundTrip is one attempt.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	t, now := w.t, time.Now()
	w.attempts++
	if !w.started {
		w.started = true
		w.first()
	}
	if now.Before(w.notUntil) {
		t.Fatalf("%v early", w.notUntil.Sub(now))
	}
	if !now.Before(w.deadline) {
		t.Fatal("an attempt that cannot be in time")
	}
	defer req.Body.Close()
	if rapid.IntRange(0, 4).Draw(t, "unsent") == 0 {
		return nil, &policytest.UnsentError{Err: syscall.ECONNREFUSED}
	}
	if w.harmful && w.applied {
		t.Fatalf("%s was sent again after it may have been applied", req.Method)
	}
	if w.reused {
		t.Fatal("a key was tried again that is another request's")
	}
	part := make([]byte, rapid.IntRange(1, 10).Draw(t, "read"))
	if _, err := io.ReadFull(req.Body, part); err != nil || part[0] != '0' {
		t.Fatalf("the body begins with %q, %v", part, err)
	}
	status := rapid.SampledFrom(w.statuses).Draw(t, "status")
	w.applied = w.applied || status != 421 && !(status == 429 && w.unprocessed)
	w.reused = status == 422 && w.keyed
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1}
	switch hint := rapid.IntRange(0, 5).Draw(t, "hint"); {
	case hint == 0:
		resp.Header.Set("Retry-After", "2")
		w.notUntil = now.Add(2 * time.Second)
	case hint == 1:
		resp.Header.Set("x-should-retry", rapid.SampledFrom([]string{"true", "false"}).Draw(t, "word"))
	}
	w.open++
	resp.Body = &opened{strings.NewReader("answer"), w}
	return resp, nil
}

type opened struct {
	io.Reader
	w *world
}

func (o *opened) Close() error { o.w.open--; return nil }
