package policy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
)

// inTurns gives a call to each of so many upstreams, one after the other.
func inTurns(t testing.TB, upstreams int) func() {
	var document strings.Builder
	for i := range upstreams {
		fmt.Fprintf(&document, "[upstream.u%d]\nurl = \"https://api.test\"\nhosts = []\nauth = { type = \"bearer\", token = \"env:TOKEN\" }\n", i)
	}
	env := newRig(nil, &memory{response: http.Response{Header: http.Header{"Date": {"Fri, 27 Nov 2026 03:00:00 GMT"}}}}).env
	env.Observe = func(context.Context, policy.Event) {}
	file, err := config.Parse("bench.toml", []byte(document.String()))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/user/repos", nil)
	names := make([]string, upstreams)
	for i := range names {
		names[i] = fmt.Sprint("u", i)
	}
	next := 0
	return func() {
		name := names[next%upstreams]
		next++
		u, _ := set.ByName(name)
		ctx := policy.WithControls(policy.WithCall(t.Context(), &policy.Call{Upstream: name}), policy.Controls{})
		resp, err := u.Plan(req.Method, "/user/repos").RoundTrip(req.WithContext(policy.Within(ctx)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// BenchmarkInTurns is what a call costs when many upstreams are called in turns: what is
// known of each is in no cache any more.
func BenchmarkInTurns(b *testing.B) {
	for _, upstreams := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(upstreams), func(b *testing.B) {
			call := inTurns(b, upstreams)
			for range upstreams {
				call()
			}
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}
