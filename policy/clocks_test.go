package policy_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
)

// watchful is a transport that waits for the end of the call, as do those that wait for anything.
type watchful struct{ next http.RoundTripper }

func (w watchful) RoundTrip(req *http.Request) (*http.Response, error) {
	defer context.AfterFunc(req.Context(), func() {})()
	return w.next.RoundTrip(req)
}

// A call that names a connection goes through a chain that is made for it. It had a timer of its
// own, too, which stayed for as long as the call might have taken.
func TestCallsLeaveNothingBehind(t *testing.T) {
	env := newRig(nil, watchful{&memory{response: http.Response{Header: http.Header{}}}}).env
	env.Observe = func(context.Context, policy.Event) {}
	env.Secret = func(config.Reference) (string, error) { return "0123456789", nil }
	file, err := config.Parse("test.toml", []byte(strings.Replace(everything, "rate = \"1000000/s\", ", "", 1)+"[upstream.api.connection.acme]\ntoken = \"env:TOKEN\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	upstream, _ := set.ByName("api")
	plan := upstream.Plan(http.MethodGet, "/x")
	for name, way := range map[string]func(context.Context) (http.RoundTripper, error){
		"a call":                      func(context.Context) (http.RoundTripper, error) { return plan, nil },
		"one that names a connection": func(ctx context.Context) (http.RoundTripper, error) { return plan.Connect(ctx, "acme") },
	} {
		const calls = 2000
		call := func() {
			ctx := policy.WithCall(t.Context(), &policy.Call{Upstream: "api"})
			through, err := way(ctx)
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(policy.Within(ctx), http.MethodGet, "https://api.test/x", http.NoBody)
			resp, err := through.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		objects := func() int {
			runtime.GC()
			runtime.GC() // what pools have is gone
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapObjects)
		}
		call()
		before := objects()
		for range calls {
			call()
		}
		if left := objects() - before; left > calls/10 {
			t.Errorf("%s leaves %d objects behind, by %d", name, left, calls)
		}
	}
	runtime.KeepAlive(set)
}
