package stale_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/policytest"
	"outrider/policy/stale"
)

func TestMemoryIsBoundedAndTheOldestGoesFirst(t *testing.T) {
	const n = stale.Most/stale.MaxBody + 10
	body := strings.Repeat("x", stale.MaxBody)
	r := newRig(t, minutes, policytest.Step{Times: n, Body: body}, policytest.Step{Times: 2, Status: 503})
	for i := range n {
		r.do("GET", fmt.Sprintf("https://api.test/%d", i))
		if u := r.store.Usage(); u.Bytes > stale.Most {
			t.Fatalf("%d bytes are held after %d answers", u.Bytes, i+1)
		}
	}
	if u := r.store.Usage(); u.Answers < stale.Most/stale.MaxBody-1 {
		t.Errorf("%d answers are kept: there is room for more", u.Answers)
	}
	r.gives(r.do("GET", "https://api.test/0"), "")
	r.gives(r.do("GET", fmt.Sprintf("https://api.test/%d", n-1)), body)
}

// A thousand downloads at once are copied only as far as there is room.
func TestCopiesUnderWayCountAsMemory(t *testing.T) {
	const n = 2 * stale.Most / stale.MaxBody
	body := strings.Repeat("x", stale.MaxBody)
	r := newRig(t, minutes, policytest.Step{Times: n, Body: body})
	open := make([]*http.Response, n)
	for i := range open {
		resp, err := r.rt.RoundTrip(policytest.NewRequest(t, "GET", fmt.Sprintf("https://api.test/%d", i), ""))
		if err != nil {
			t.Fatal(err)
		}
		for read := 0; read < stale.MaxBody-1; {
			m, err := resp.Body.Read(make([]byte, stale.MaxBody-1-read))
			if err != nil {
				t.Fatal(err)
			}
			read += m
		}
		open[i] = resp
	}
	if u := r.store.Usage(); u.Bytes > stale.Most || u.Bytes < stale.Most-stale.MaxBody {
		t.Errorf("%d bytes are held", u.Bytes)
	}
	for _, resp := range open {
		_ = resp.Body.Close()
	}
	r.empty()
}

// A body that comes in pieces is copied into memory that grows ahead of it. What is counted
// is that memory, which was up to twice what had come.
func TestMemoryAheadOfABodyCounts(t *testing.T) {
	const come = stale.MaxBody/2 + 1
	r := newRig(t, minutes, policytest.Step{Body: strings.Repeat("x", stale.MaxBody)})
	resp, err := r.rt.RoundTrip(policytest.NewRequest(t, "GET", target, ""))
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1)
	for range come {
		if _, err := io.ReadFull(resp.Body, piece); err != nil {
			t.Fatal(err)
		}
	}
	if held := r.store.Usage().Bytes; held <= come || held > come+come/2 {
		t.Errorf("%d bytes are held for the %d that have come", held, come)
	}
	_ = resp.Body.Close()
	r.empty()
}

func TestWhatIsTooOldIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, minutes, good("old"))
		r.get()
		time.Sleep(minutes)
		if u := r.store.Usage(); u.Answers != 1 {
			t.Errorf("%d answers are kept, want 1", u.Answers)
		}
		time.Sleep(1)
		r.empty()
	})
}

// Whatever is asked and answered in whatever order: an old answer goes to the credential
// that got it, while it is the same account's, to the URL that it is of, and is never older
// than it may be.
func TestOldAnswersAreTheOwnAndNotTooOld(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(*testing.T) {
			defer func() { failed = recover() }() // rt ends a check by a panic, which belongs outside of the bubble
			checkOldAnswers(rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

func checkOldAnswers(t *rapid.T) {
	keep := time.Duration(rapid.IntRange(1, 20).Draw(t, "keep")) * time.Second
	upstream := &labelling{}
	owner := func(context.Context) string { return upstream.account }
	rt := stale.New(stale.Settings{Keep: keep, Judge: judge, Owner: owner}, new(stale.Store)).
		Wrap(func(req *http.Request) string { return req.URL.Host + " " + req.Header.Get("Credential") })(upstream)
	for range rapid.IntRange(1, 60).Draw(t, "calls") {
		upstream.status = rapid.SampledFrom([]int{200, 200, 503, 503, 404, 429}).Draw(t, "status")
		who := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "credential")
		upstream.account = rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "account")
		url := rapid.SampledFrom([]string{"https://api.test/1", "https://api.test/2"}).Draw(t, "url")
		req, _ := http.NewRequestWithContext(context.Background(), rapid.SampledFrom([]string{"GET", "GET", "GET", "PUT"}).Draw(t, "method"), url, http.NoBody)
		req.Header.Set("Credential", who)
		a := policytest.Do(rt, req)
		if a.Header.Get("Cache-Status") != "" {
			label, made, _ := strings.Cut(a.Body, "@")
			at, err := time.Parse(time.RFC3339Nano, made)
			if err != nil || label != upstream.account+" "+who+" "+url || time.Since(at) > keep {
				t.Fatalf("%s got %q for %s at %v, of which %v are allowed", who, a.Body, url, time.Now(), keep)
			}
		}
		time.Sleep(time.Duration(rapid.IntRange(0, 10000).Draw(t, "pause")) * time.Millisecond)
	}
}

// labelling answers with who asked for what, and when.
type labelling struct {
	status  int
	account string
}

func (l *labelling) RoundTrip(req *http.Request) (*http.Response, error) {
	body := fmt.Sprintf("%s %s %s@%s", l.account, req.Header.Get("Credential"), req.URL, time.Now().Format(time.RFC3339Nano))
	return &http.Response{StatusCode: l.status, Header: http.Header{}, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}
