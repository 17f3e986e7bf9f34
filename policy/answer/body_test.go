package answer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/answer"
	"outrider/policy/policytest"
)

// quotaSpent is the rule of most of these tests, and spent a body that it fits.
var quotaSpent = answer.Rule{Statuses: []int{429}, Field: "error.code", Values: []string{"insufficient_quota"}, Means: answer.Exhausted}

const spent = `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`

// A look is one answer that went through a stage: what it was found to mean, and what
// its reader got.
type look struct {
	found  *answer.Finding
	body   string
	err    error         // that ended the body
	waited time.Duration // for the answer, until its reader had it
}

// through sends one request through a stage to a provider with one answer.
func through(t *testing.T, settings answer.Settings, step policytest.Step) look {
	t.Helper()
	stage, err := answer.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	var l look
	told := 0
	provider := policytest.NewUpstream(t, step)
	rt := stage.Wrap(func(_ *http.Request, _ *http.Response, f *answer.Finding, _ time.Time) { l.found, told = f, told+1 })(provider)
	begun := time.Now()
	resp, err := rt.RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", ""))
	if err != nil {
		t.Fatal(err)
	}
	l.waited = time.Since(begun)
	body, err := io.ReadAll(resp.Body)
	l.body, l.err = string(body), err
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if n := provider.OpenBodies(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
	return l
}

func jsonStep(status int, body string) policytest.Step {
	return policytest.Step{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// Which bodies are read, and that each of them goes on as it came.
func TestBodyGoesOnAsItCame(t *testing.T) {
	long := `{"error":{"code":"insufficient_quota"},"padding":"` + strings.Repeat("x", 64<<10) + `"}`
	for name, test := range map[string]struct {
		kind, coding string
		status       int
		body         string
		fits         bool
	}{
		"JSON":                             {"application/json", "", 429, spent, true},
		"JSON of a kind":                   {"application/problem+json; v=1", "", 429, spent, true},
		"of another status":                {"application/json", "", 400, spent, false},
		"with another word":                {"application/json", "", 429, `{"error":{"code":"rate_limit_exceeded"}}`, false},
		"text":                             {"text/plain", "", 429, spent, false},
		"of no type":                       {"", "", 429, spent, false},
		"of a broken type":                 {"application/json; =", "", 429, spent, false},
		"broken JSON":                      {"application/json", "", 429, spent[:len(spent)-1], false},
		"JSON, and more":                   {"application/json", "", 429, spent + "{}", false},
		"JSON, and space":                  {"application/json", "", 429, spent + " \r\n", true},
		"JSON behind a byte order mark":    {"application/json", "", 429, "\xef\xbb\xbf" + spent, true},
		"nothing":                          {"application/json", "", 429, "", false},
		"gzip":                             {"application/json", "gzip", 429, zipped(spent), true},
		"no gzip, although it says so":     {"application/json", "gzip", 429, spent, false},
		"half of gzip":                     {"application/json", "gzip", 429, zipped(spent)[:40], false},
		"gzip that unpacks to much":        {"application/json", "gzip", 429, zipped(long), false},
		"a coding that we do not know":     {"application/json", "br", 429, spent, false},
		"more than an answer that says no": {"application/json", "", 429, long, false},
	} {
		step := jsonStep(test.status, test.body)
		step.Header = http.Header{"Content-Type": {test.kind}, "Content-Encoding": {test.coding}}
		for _, streamed := range []bool{false, true} {
			if streamed {
				step.Trailer = http.Header{"X-Sum": {"1"}} // and so no length
			}
			got := through(t, answer.Settings{Rules: []answer.Rule{quotaSpent}}, step)
			if (got.found != nil) != test.fits {
				t.Errorf("%s: found %+v", name, got.found)
			}
			if got.body != test.body || got.err != nil {
				t.Errorf("%s: the reader got %d bytes of %d, and %v", name, len(got.body), len(test.body), got.err)
			}
		}
	}
}

// A body that breaks off while it is looked at breaks off for its reader in the same place.
func TestBodyBreaksOffWhereItDid(t *testing.T) {
	step := jsonStep(429, spent[:20])
	step.BodyErr = io.ErrUnexpectedEOF
	got := through(t, answer.Settings{Rules: []answer.Rule{quotaSpent}}, step)
	if got.found != nil || got.body != spent[:20] || !errors.Is(got.err, io.ErrUnexpectedEOF) {
		t.Errorf("found %v, and the reader got %q and %v", got.found, got.body, got.err)
	}
}

// The last read of a body writes into the trailers of its answer, and a goroutine may be
// at it while whoever passes the answer on looks up which will come: a map that is written
// and read at a time ends the process. And trailers that nobody announced were there at
// once, and so were announced after all. So they are there when the body has been read by
// its reader, and not before.
func TestTrailersComeWithTheEndOfTheBody(t *testing.T) {
	for name, announced := range map[string]http.Header{"announced": {"X-Sum": nil}, "not announced": nil} {
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: 429, Header: http.Header{"Content-Type": {"application/json"}}, Trailer: maps.Clone(announced), ContentLength: -1, Request: req}
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(spent), atEnd(func() {
				if resp.Trailer == nil { // as net/http does it
					resp.Trailer = http.Header{}
				}
				resp.Trailer.Set("X-Sum", "1")
			})))
			return resp, nil
		})
		stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{quotaSpent}})
		var found *answer.Finding
		rt := stage.Wrap(func(_ *http.Request, _ *http.Response, f *answer.Finding, _ time.Time) { found = f })(transport)
		resp, err := rt.RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		if found == nil || !maps.EqualFunc(resp.Trailer, announced, slices.Equal) {
			t.Errorf("%s: found %v, and trailers %v before the body was read", name, found, resp.Trailer)
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != spent || err != nil || resp.Trailer.Get("X-Sum") != "1" {
			t.Errorf("%s: got %q, %v and trailers %v", name, body, err, resp.Trailer)
		}
		resp.Body.Close()
	}
}

// atEnd is the end of a body, at which something happens.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }

// Nobody waits for a body that does not come: not for more than two seconds, not for
// more than the attempt has left, and not for more than half of what the call has.
func TestSlowBodyIsNotWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		attempt, answered, comes time.Duration
		waited                   time.Duration
		fits                     bool
		uploaded                 bool // until the answer began
	}{
		"in time":                {20 * time.Second, 0, time.Second, time.Second, true, false},
		"too late":               {20 * time.Second, 0, 3 * time.Second, 2 * time.Second, false, false},
		"at an attempt's end":    {10 * time.Second, 9 * time.Second, 3 * time.Second, 10 * time.Second, false, false},
		"after its end":          {10 * time.Second, 11 * time.Second, 3 * time.Second, 11 * time.Second, false, false},
		"after a long upload":    {10 * time.Second, time.Minute, time.Second, 61 * time.Second, true, true},
		"of an attempt for ever": {0, 0, 3 * time.Second, 2 * time.Second, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			step := jsonStep(429, spent)
			step.Delay, step.BodyDelay = test.answered, test.comes
			got := through(t, answer.Settings{
				Rules: []answer.Rule{quotaSpent}, Attempt: test.attempt,
				Uploaded: func(context.Context) (time.Duration, bool) { return 0, test.uploaded },
			}, step)
			if (got.found != nil) != test.fits || got.waited != test.waited {
				t.Errorf("%s: found %v after %v, want %v", name, got.found, got.waited, test.waited)
			}
			if got.body != spent || got.err != nil {
				t.Errorf("%s: the reader got %q and %v", name, got.body, got.err)
			}
		})
	}
}

// What came of a stream before it was given up on is its reader's at once, and so is the
// rest, as it comes.
func TestStreamGoesOnBehindWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider, far := io.Pipe()
		transport := roundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: -1, Body: provider, Request: req}, nil
		})
		go func() {
			for _, part := range []string{"[1", ",2", ",3]"} {
				_, _ = io.WriteString(far, part)
				time.Sleep(10 * time.Second)
			}
			far.Close()
		}()
		rule := answer.Rule{Statuses: []int{200}, Field: "error", Values: []string{"ratelimited"}, Means: answer.Throttled}
		stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{rule}})
		begun := time.Now()
		resp, err := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(transport).RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		buffer := make([]byte, 100)
		for _, want := range []struct {
			part string
			at   time.Duration
		}{{"[1", 2 * time.Second}, {",2", 10 * time.Second}, {",3]", 20 * time.Second}} {
			n, err := resp.Body.Read(buffer)
			if string(buffer[:n]) != want.part || err != nil || time.Since(begun) != want.at {
				t.Errorf("got %q, %v after %v, want %q after %v", buffer[:n], err, time.Since(begun), want.part, want.at)
			}
		}
		if n, err := resp.Body.Read(buffer); n != 0 || err != io.EOF {
			t.Errorf("got %q and %v at the end", buffer[:n], err)
		}
	})
}

// A reader that leaves while a body is waited for takes the goroutine with it: the bubble
// would not end otherwise.
func TestClosingEndsTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		step := jsonStep(429, spent[:20])
		step.Stall = true
		stage, _ := answer.New(answer.Settings{Rules: []answer.Rule{quotaSpent}})
		resp, err := stage.Wrap(func(*http.Request, *http.Response, *answer.Finding, time.Time) {})(policytest.NewUpstream(t, step)).
			RoundTrip(policytest.NewRequest(t, "GET", "https://api.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
