package stale_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/stale"
)

const target = "https://api.test/things?page=1"

var errBroken = errors.New("connection reset")

// The ways in which an upstream ends here, beside those of a script.
var (
	failed   = policytest.Step{Status: 503, Body: "sorry"}
	broken   = policytest.Step{Err: errBroken}
	throttle = policytest.Step{Status: 429}
)

// good is an answer with headers, "Name: value".
func good(body string, lines ...string) policytest.Step {
	return policytest.Step{Body: body, Header: header(lines...)}
}

func header(lines ...string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// judge is what the policies say, in short.
func judge(_ *http.Request, resp *http.Response, err error) (stale.Outcome, stale.Failure) {
	switch {
	case err != nil:
		return stale.Failed, stale.Failure{Reason: "no answer", Err: err}
	case resp.StatusCode >= 500:
		return stale.Failed, stale.Failure{Reason: fmt.Sprintf("status %d", resp.StatusCode), Status: resp.StatusCode}
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return stale.Denied, stale.Failure{}
	case resp.StatusCode == http.StatusTooManyRequests:
		return stale.Unrelated, stale.Failure{}
	}
	return stale.Good, stale.Failure{}
}

// rig is one stage over a scripted upstream.
type rig struct {
	*testing.T
	*policytest.Upstream
	store *stale.Store
	rt    http.RoundTripper
	owner string   // of the credential, whatever its name is
	given []string // "status 503 after 1m0s"
}

func newRig(t *testing.T, keep time.Duration, steps ...policytest.Step) *rig {
	r := &rig{T: t, Upstream: policytest.NewUpstream(t, steps...), store: new(stale.Store)}
	r.rt = r.stage(keep)
	return r
}

// stage is one of possibly several over the store. The credential is the caller's header.
func (r *rig) stage(keep time.Duration) http.RoundTripper {
	return stale.New(stale.Settings{
		Keep: keep, Judge: judge,
		Owner: func(context.Context) string { return r.owner },
		OnGive: func(_ context.Context, f stale.Failure, age time.Duration) {
			r.given = append(r.given, fmt.Sprintf("%s after %v", f.Reason, age))
		},
	}, r.store).Wrap(func(req *http.Request) string { return req.URL.Host + " " + req.Header.Get("Credential") })(r.Upstream)
}

// do sends a request with headers, "Name: value".
func (r *rig) do(method, url string, lines ...string) policytest.Answer {
	r.Helper()
	req := policytest.NewRequest(r.T, method, url, "")
	req.Header = header(lines...)
	return policytest.Do(r.rt, req)
}

func (r *rig) get(lines ...string) policytest.Answer {
	r.Helper()
	return r.do(http.MethodGet, target, lines...)
}

// gives checks the body of an answer, "": that it is the upstream's failure.
func (r *rig) gives(a policytest.Answer, body string) {
	r.Helper()
	switch {
	case body == "" && a.Err == nil && a.Status < 400:
		r.Errorf("answered with the old %q", a.Body)
	case body != "" && (a.Err != nil || a.Body != body):
		r.Errorf("answered %d %q, %v, want the old %q", a.Status, a.Body, a.Err, body)
	}
}

// empty checks that nothing is left behind.
func (r *rig) empty() {
	r.Helper()
	if u := r.store.Usage(); u != (stale.Usage{}) {
		r.Errorf("the store holds %+v", u)
	}
	if n := r.OpenBodies(); n != 0 {
		r.Errorf("%d bodies are open", n)
	}
}
