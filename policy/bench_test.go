package policy_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
)

// everything is an upstream as somebody configures it who wants all that guards a call.
const everything = `
[upstream.api]
url = "https://api.test"
auth = { type = "bearer", token = "env:TOKEN" }
limit = { rate = "1000000/s", concurrency = 1000 }
retry = { attempts = 3, budget = "10%" }
circuit = { consecutive = 5 }
`

// memory is an upstream that answers from memory, and whose answers cost nothing: they
// are the same one.
type memory struct {
	response http.Response
	body     bytes.Reader
}

func (m *memory) RoundTrip(req *http.Request) (*http.Response, error) {
	m.body.Reset(page)
	m.response = http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: m.response.Header,
		Body: (*memoryBody)(m), ContentLength: int64(len(page)), Request: req,
	}
	return &m.response, nil
}

// memoryBody is the body of the answer.
type memoryBody memory

func (b *memoryBody) Read(p []byte) (int, error) { return b.body.Read(p) }
func (b *memoryBody) Close() error               { return nil }

var page = bytes.Repeat([]byte("."), 1024)

// chain gives a call through the whole plan of a document, to an upstream that answers
// from memory: what it costs is what the policies do.
func chain(t testing.TB, document string) func() {
	upstream := &memory{response: http.Response{Header: http.Header{
		"Content-Type": {"application/json"}, "Server": {"nginx"}, "Date": {"Fri, 27 Nov 2026 03:00:00 GMT"},
	}}}
	env := newRig(nil, upstream).env
	env.Observe = func(context.Context, policy.Event) {}
	env.Secret = func(config.Reference) (string, error) { return "0123456789", nil }
	file, err := config.Parse("bench.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := set.ByName("api")
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/user/repos", nil)
	req.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Authorization": {"Bearer of-the-caller"}}
	outer, cancel := context.WithCancel(t.Context()) // as a listener's ends when its client leaves
	t.Cleanup(cancel)
	buffer := make([]byte, 2048)
	return func() {
		ctx := policy.WithCall(outer, &policy.Call{Upstream: "api"})
		ctx = policy.WithControls(ctx, policy.Controls{})
		resp, err := u.Plan(req.Method, "/user/repos").RoundTrip(req.WithContext(policy.Within(ctx)))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buffer)
		}
		resp.Body.Close()
		if err != io.EOF {
			t.Fatal(err)
		}
	}
}

// What a call costs is counted, so that it does not grow unseen. Two of the allocations
// are what a listener makes of a request: its Call, and the request. One is the context of
// that, with all that the chain needs, two are a header with room for the credential, and one
// a body that holds a slot, where those are counted.
func TestCallThatSucceedsAllocatesLittle(t *testing.T) {
	for _, test := range []struct {
		name, document string
		want           float64
	}{
		{"everything", everything, 6},
		{"all but slots", strings.Replace(everything, ", concurrency = 1000", "", 1), 5},
		{"nothing configured", plain, 3},
	} {
		call := chain(t, test.document)
		for range 100 { // after some, the circuit knows when an answer is overdue
			call()
		}
		if got := testing.AllocsPerRun(1000, call); got != test.want {
			t.Errorf("%s: %v allocations for each call, want %v", test.name, got, test.want)
		}
	}
}

// BenchmarkChain is what all policies of a call cost together.
func BenchmarkChain(b *testing.B) {
	call := chain(b, everything)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

// BenchmarkBareChain is the same of an upstream of which nothing is configured but its URL.
func BenchmarkBareChain(b *testing.B) {
	call := chain(b, plain)
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}
