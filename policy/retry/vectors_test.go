package retry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/BurntSushi/toml"

	"outrider/policy/policytest"
	"outrider/policy/retry"
)

// A vector is one call: see testdata/vectors.toml.
type vector struct {
	Name string
	Call struct {
		Method         string
		Header         map[string]string
		Body           string
		Once, Overflow bool
		Deadline       time.Duration
		Off, Vouched   bool
	}
	Settings struct {
		Attempts          *int
		Base, Cap         *time.Duration
		Statuses          []int
		Unprocessed       []int
		IdempotencyHeader string `toml:"idempotency_header"`
		MintKey           bool   `toml:"mint_key"`
		Budget            *float64
	}
	Jitter   *float64
	Upstream []struct {
		Status int
		Header map[string]string
		Body   string
		Error  string
		After  time.Duration
	}
	Want struct {
		Starts     []time.Duration
		Status     int
		Body       string
		RetryAfter string `toml:"retry_after"`
		Error      string
		Attempts   int
		Bodies     []string
		Keys       []string
		Echo       string
		Retries    []string
		GiveUp     string `toml:"give_up"`
	}
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
		t.Run(v.Name, func(t *testing.T) { synctest.Test(t, v.run) })
	}
}

func (v *vector) run(t *testing.T) {
	var retries, giveUps []string
	stage, err := retry.New(v.settings(
		func(_ context.Context, e retry.Event) {
			retries = append(retries, fmt.Sprintf("%d after %v: %s", e.Attempt, e.Delay, e.Reason))
		},
		func(_ context.Context, e retry.Event) {
			giveUps = append(giveUps, fmt.Sprintf("%d: %s", e.Attempt, e.Reason))
		},
	))
	if err != nil {
		t.Fatal(err)
	}
	upstream := policytest.NewUpstream(t, v.steps(t)...)
	starts := &clock{next: upstream, begun: time.Now()}
	req, cancel := v.request(t)
	defer cancel()
	answer := policytest.Do(stage.Wrap(starts), req)

	same(t, "starts of attempts", starts.at, v.Want.Starts)
	same(t, "retries", retries, v.Want.Retries)
	var giveUp []string
	if v.Want.GiveUp != "" {
		giveUp = []string{v.Want.GiveUp}
	}
	same(t, "reasons to give up", giveUps, giveUp)
	v.checkAnswer(t, answer)
	v.checkReceived(t, upstream.Requests())
	if n := upstream.OpenBodies(); n != 0 {
		t.Errorf("%d response bodies were not closed", n)
	}
}

func (v *vector) settings(onRetry, onGiveUp func(context.Context, retry.Event)) retry.Settings {
	s, minted := v.Settings, 0
	fraction := or(v.Jitter, 0.5)
	set := retry.Settings{
		Attempts: or(s.Attempts, 3), Base: or(s.Base, 100*time.Millisecond), Cap: or(s.Cap, 20*time.Second),
		Statuses: []int{408, 425, 429, 500, 502, 503, 504}, Unprocessed: s.Unprocessed, IdempotencyHeader: s.IdempotencyHeader, MintKey: s.MintKey,
		NewKey:  func() string { minted++; return fmt.Sprintf("minted-%d", minted) },
		Jitter:  policytest.Jitter(fraction),
		OnRetry: onRetry, OnGiveUp: onGiveUp,
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
		if u.Error != "" {
			step.Err = failure(t, u.Error)
			step.Unsent = u.Error == "refused" || u.Error == "permanent"
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
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("larger than the buffer") }
	}
	ctx := retry.WithControls(t.Context(), retry.Controls{Off: v.Call.Off, Idempotent: v.Call.Vouched})
	cancel := func() {}
	if d := v.Call.Deadline; d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	return req.WithContext(ctx), cancel
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

// clock notes when each attempt begins.
type clock struct {
	next  http.RoundTripper
	begun time.Time
	at    []time.Duration
}

func (c *clock) RoundTrip(req *http.Request) (*http.Response, error) {
	c.at = append(c.at, time.Since(c.begun))
	return c.next.RoundTrip(req)
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

var errCertificate = &tls.CertificateVerificationError{Err: errors.New("unknown authority")}

func failure(t *testing.T, name string) error {
	switch name {
	case "refused":
		return syscall.ECONNREFUSED
	case "reset":
		return syscall.ECONNRESET
	case "timeout":
		return timeoutError{}
	case "certificate":
		return errCertificate
	case "permanent":
		return permanentError{}
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
