package retry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/BurntSushi/toml"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// A vector is one call: see testdata/vectors.toml. The stage alone does not see all of it.
type vector struct {
	Name, Beyond, Unplayed string

	Call struct {
		Method           string
		Header           map[string]string
		Body             string
		Once, Overflow   bool
		Deadline, Leaves time.Duration
		Off, Vouched     bool
		Before           string
	}
	Settings struct {
		Attempts          *int
		Base, Cap         *time.Duration
		Statuses          []int
		Unprocessed       []int
		IdempotencyHeader string `toml:"idempotency_header"`
		MintKey           bool   `toml:"mint_key"`
		Budget            *float64
		Timeout           time.Duration
		Rate              string
		MinCalls          int `toml:"min_calls"`
		Open, OAuth2      bool
	}
	Jitter   *float64
	Upstream []struct {
		Status int
		Header map[string]string
		Body   string
		Broken bool
		Error  string
		After  time.Duration
	}
	Want struct {
		Status     int
		Body       string
		RetryAfter string `toml:"retry_after"`
		Error      string
		Attempts   int
		Bodies     []string
		Keys       []string
		Echo       string
	}
	Spans []string
}

func TestVectors(t *testing.T) {
	var file struct{ Vector []vector }
	meta, err := toml.DecodeFile("testdata/vectors.toml", &file)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		t.Fatalf("unknown keys: %v", unknown)
	}
	if len(file.Vector) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vector {
		if v.Beyond == "" {
			t.Run(v.Name, func(t *testing.T) { synctest.Test(t, v.run) })
		}
	}
}

func (v *vector) run(t *testing.T) {
	var events []string
	told := func(format string) func(context.Context, retry.Event) {
		return func(_ context.Context, e retry.Event) {
			events = append(events, fmt.Sprintf(format, e.Attempt, e.Delay, e.Reason))
		}
	}
	set := v.settings()
	set.OnBackoff, set.OnGiveUp, set.OnRepeat = told("retry %d after %v: %s"), told("give up %[1]d: %[3]s"), told("repeat: %[3]s")
	stage, err := retry.New(set)
	if err != nil {
		t.Fatal(err)
	}
	upstream := policytest.NewUpstream(t, v.steps(t)...)
	starts := &clock{next: upstream}
	call := func(key string) policytest.Answer {
		req, cancel := v.request(t)
		defer cancel()
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		events, starts.at, starts.begun = nil, nil, time.Now()
		return policytest.Do(stage.Wrap(starts), req)
	}
	key := ""
	if v.Call.Before != "" {
		first := call("")
		if v.Call.Before == "echo" {
			key = first.Header.Get("Idempotency-Key")
		}
	}
	answer := call(key)

	wantStarts, wantEvents := v.story(t)
	same(t, "starts of attempts", starts.at, wantStarts)
	same(t, "events", events, wantEvents)
	v.checkAnswer(t, answer)
	v.checkReceived(t, upstream.Requests())
	if n := upstream.OpenBodies(); n != 0 {
		t.Errorf("%d response bodies were not closed", n)
	}
}

// story is what the stage has to do with the wanted spans: when an attempt begins, and
// what it tells of its decisions.
func (v *vector) story(t *testing.T) (starts []time.Duration, events []string) {
	for _, line := range v.Spans[1:] {
		first, _, _ := strings.Cut(line, " ")
		switch first {
		case "retry", "give", "repeat:":
			events = append(events, line)
		case "circuit": // what the circuit makes of it
		default:
			at, err := time.ParseDuration(first)
			if err != nil {
				t.Errorf("%q is no line of a vector that the stage plays alone", line)
			}
			starts = append(starts, at)
		}
	}
	return starts, events
}

func (v *vector) settings() retry.Settings {
	s, minted := v.Settings, 0
	set := retry.Settings{
		Attempts: or(s.Attempts, 3), Base: or(s.Base, 100*time.Millisecond), Cap: or(s.Cap, 20*time.Second),
		Statuses: []int{408, 425, 429, 500, 502, 503, 504}, Unprocessed: s.Unprocessed, IdempotencyHeader: s.IdempotencyHeader, MintKey: s.MintKey,
		NewKey:  func() string { minted++; return fmt.Sprintf("minted-%d", minted) },
		Jitter:  policytest.Jitter(or(v.Jitter, 0.5)),
		Repeats: retry.NewRepeats(),
	}
	if s.Statuses != nil {
		set.Statuses = s.Statuses
	}
	if s.Budget != nil {
		set.Budget = retry.NewBudget(*s.Budget, nil)
	}
	return set
}

func or[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}

func (v *vector) steps(t *testing.T) []policytest.Step {
	var steps []policytest.Step
	for _, u := range v.Upstream {
		step := policytest.Step{Status: u.Status, Header: header(u.Header), Body: u.Body, Delay: u.After}
		if u.Broken {
			step.BodyErr = io.ErrUnexpectedEOF
		}
		if u.Error != "" {
			step.Err = failure(t, u.Error)
			step.Unsent = unsent[u.Error]
		}
		steps = append(steps, step)
	}
	return steps
}

func (v *vector) request(t *testing.T) (*http.Request, context.CancelFunc) {
	method := v.Call.Method
	if method == "" {
		method = "GET"
	}
	req := policytest.NewRequest(t, method, "https://api.test/x", v.Call.Body)
	for name, value := range v.Call.Header {
		req.Header.Set(name, value)
	}
	if v.Call.Once {
		req = policytest.Streamed(req)
	}
	if v.Call.Overflow {
		req = policytest.Streamed(req)
		body := &overflowing{ReadCloser: req.Body}
		req.Body, req.GetBody = body, body.again
	}
	ctx := retry.WithControls(t.Context(), retry.Controls{Off: v.Call.Off, Idempotent: v.Call.Vouched})
	ctx, cancel := context.WithCancel(ctx)
	if d := v.Call.Leaves; d > 0 {
		time.AfterFunc(d, cancel)
	}
	if d := v.Call.Deadline + v.Settings.Timeout; d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	return req.WithContext(ctx), cancel
}

// overflowing is a body of which nothing is kept: it can be had again until it is read.
type overflowing struct {
	io.ReadCloser
	read atomic.Bool
}

func (b *overflowing) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
}

func (b *overflowing) again() (io.ReadCloser, error) {
	if b.read.Load() {
		return nil, errors.New("larger than the buffer")
	}
	return b, nil
}

func (v *vector) checkAnswer(t *testing.T, got policytest.Answer) {
	t.Helper()
	want := v.Want
	if got.Status != want.Status || got.Body != want.Body {
		t.Errorf("answer %d %q, want %d %q", got.Status, got.Body, want.Status, want.Body)
	}
	if want.RetryAfter != "" && got.Header.Get("Retry-After") != want.RetryAfter {
		t.Errorf("Retry-After: %q, want %q", got.Header.Get("Retry-After"), want.RetryAfter)
	}
	if echo := got.Header.Get("Idempotency-Key"); echo != want.Echo {
		t.Errorf("key on the response: %q, want %q", echo, want.Echo)
	}
	if (got.Err != nil) != (want.Error != "") || want.Error != "" && !errors.Is(got.Err, failure(t, want.Error)) {
		t.Errorf("error %v, want %s", got.Err, want.Error)
	}
	attempts := 0
	if e, ok := errors.AsType[*retry.ExhaustedError](got.Err); ok {
		attempts = e.Attempts
	}
	if attempts != want.Attempts {
		t.Errorf("error %v names %d attempts, want %d", got.Err, attempts, want.Attempts)
	}
}

// checkReceived looks at what reached the upstream: of attempts that sent
// nothing it knows nothing.
func (v *vector) checkReceived(t *testing.T, got []policytest.Request) {
	t.Helper()
	var bodies, keys []string
	for _, r := range got {
		if r.Body != "" {
			bodies = append(bodies, r.Body)
		}
		keys = append(keys, r.Header["Idempotency-Key"]...)
	}
	same(t, "bodies received", bodies, v.Want.Bodies)
	same(t, "keys received", keys, v.Want.Keys)
}

// clock notes when each attempt begins that is not refused by ourselves.
type clock struct {
	next  http.RoundTripper
	begun time.Time
	at    []time.Duration
}

func (c *clock) RoundTrip(req *http.Request) (*http.Response, error) {
	at := time.Since(c.begun)
	resp, err := c.next.RoundTrip(req)
	if err != (localError{}) {
		c.at = append(c.at, at)
	}
	return resp, err
}

// The errors that an attempt can end in. They are comparable, for errors.Is.

type localError struct{}

func (localError) Error() string                    { return "the circuit is open" }
func (localError) Refusal() (string, time.Duration) { return "circuit-open", 0 }

type permanentError struct{}

func (permanentError) Error() string   { return "address denied" }
func (permanentError) Permanent() bool { return true }

type timeoutError struct{}

func (timeoutError) Error() string { return "attempt_timeout" }
func (timeoutError) Timeout() bool { return true }

var (
	errProxy  = errors.New("the proxy let nothing through")
	errStream = errors.New("the stream was refused")
)

// unsent are the errors of which no byte was sent.
var unsent = map[string]bool{
	"refused": true, "handshake": true, "unsent": true, "stream": true, "certificate": true, "permanent": true,
}

var errCertificate = &tls.CertificateVerificationError{Err: errors.New("unknown authority")}

func failure(t *testing.T, name string) error {
	switch name {
	case "refused":
		return syscall.ECONNREFUSED
	case "handshake":
		return io.EOF
	case "unsent":
		return errProxy
	case "stream":
		return errStream
	case "reset":
		return syscall.ECONNRESET
	case "timeout":
		return timeoutError{}
	case "certificate":
		return errCertificate
	case "permanent":
		return permanentError{}
	case "broken":
		return io.ErrUnexpectedEOF
	case "left":
		return context.Canceled
	case "local":
		return localError{}
	}
	t.Fatalf("unknown error %q", name)
	return nil
}

func header(fields map[string]string) http.Header {
	h := http.Header{}
	for name, value := range fields {
		h.Set(name, value)
	}
	return h
}

func same[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
