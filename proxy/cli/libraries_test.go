//go:build unix

package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Scripts as somebody has them who knows nothing of Outrider. The keys in them
// are worth nothing.
const (
	requestsAtGitHub = `
import requests
r = requests.get("https://api.github.com/user", headers={"Authorization": "token none", "Accept": "application/vnd.github+json"})
print(r.status_code, r.json()["login"])
`
	stripeCharge = `
const Stripe = require('stripe');
const stripe = new (Stripe.Stripe || Stripe.default || Stripe)('sk_test_none', {maxNetworkRetries: 0});
stripe.charges.create({amount: 100, currency: 'usd', source: 'tok_visa'}).then((c) => console.log(c.id, c.amount));
`
	openAIModels = `
const OpenAI = require('openai');
const openai = new (OpenAI.OpenAI || OpenAI.default || OpenAI)({apiKey: 'none', maxRetries: 0});
openai.models.list().then((l) => console.log(l.data[0].id));
`
	openAIStream = `
const OpenAI = require('openai');
const openai = new (OpenAI.OpenAI || OpenAI.default || OpenAI)({apiKey: 'none', maxRetries: 0});
(async () => {
  const stream = await openai.chat.completions.create({model: 'm', messages: [{role: 'user', content: 'hi'}], stream: true});
  let text = '';
  for await (const part of stream) text += part.choices[0].delta.content;
  console.log(text);
})();
`
)

// provider plays GitHub, Stripe and OpenAI. The first call of each path meets a
// 503, but for the stream, which nobody may send twice.
func provider(got *ledger, met map[string]*atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got.note(r)
		if first := met[r.URL.Path]; first != nil && first.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/user":
			_, _ = io.WriteString(w, `{"login":"octocat"}`)
		case "/v1/charges":
			_, _ = io.WriteString(w, `{"id":"ch_1","object":"charge","amount":100}`)
		case "/v1/models":
			_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"model-1","object":"model"}]}`)
		case "/v1/chat/completions":
			w.Header().Set("Content-Type", "text/event-stream")
			for _, word := range []string{"one ", "two ", "three"} {
				_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", word)
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = io.WriteString(w, "data: [DONE]\n\n")
		}
	}
}

// The unmodified libraries of providers, and a script with requests, run under
// outrider exec: the credential is put on, the 503 is retried (a payment under
// one key), and the call is traced.
func TestLibrariesRunUnderExec(t *testing.T) {
	t.Setenv("KEY", "sesame")
	var spans atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			spans.Add(1)
		}
	}))
	t.Cleanup(collector.Close)
	for _, c := range []struct {
		name, script, host, path, want string
		program                        func(t *testing.T) []string
		attempts                       int
	}{
		{"requests", requestsAtGitHub, "api.github.com", "/user", "200 octocat", pythonPrograms, 2},
		{"stripe", stripeCharge, "api.stripe.com", "/v1/charges", "ch_1 100", nodePrograms("stripe"), 2},
		{"openai", openAIModels, "api.openai.com", "/v1/models", "model-1", nodePrograms("openai"), 2},
		{"openai, streaming", openAIStream, "api.openai.com", "/v1/chat/completions", "one two three", nodePrograms("openai"), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, program := range c.program(t) {
				got := &ledger{}
				server := upstream(t, provider(got, map[string]*atomic.Int32{c.path: {}}))
				if c.attempts == 1 {
					server = upstream(t, provider(got, nil))
				}
				config := home(t, fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.provider]
url = %q
hosts = [%q]
auth = { type = "bearer", token = "env:KEY" }
retry = { base = "1ms", cap = "1ms", idempotency_header = "Idempotency-Key", mint_key = true }
`, collector.URL, server.URL, c.host))
				spans.Store(0)
				flag := "-e"
				if c.name == "requests" {
					flag = "-c"
				}
				cmd := outrider(t, "--config", config, "exec", "--", program, flag, c.script)
				var out, errs strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &errs
				if err := cmd.Run(); err != nil || strings.TrimSpace(out.String()) != c.want {
					t.Fatalf("%s: %v %q, want %q\n%s", program, err, out.String(), c.want, errs.String())
				}
				entries := got.take()
				if len(entries) != c.attempts {
					t.Errorf("%s: %d requests, want %d", program, len(entries), c.attempts)
				}
				for _, entry := range entries {
					if a := entry.header["Authorization"]; len(a) != 1 || a[0] != "Bearer sesame" {
						t.Errorf("%s: Authorization %q", program, a)
					}
					if key := entry.header.Get("Idempotency-Key"); c.name == "stripe" && (key == "" || key != entries[0].header.Get("Idempotency-Key")) {
						t.Errorf("%s: the payment was sent under the keys %q and %q", program, entries[0].header.Get("Idempotency-Key"), key)
					}
				}
				if spans.Load() == 0 {
					t.Errorf("%s: no spans were sent", program)
				}
			}
		})
	}
}

func pythonPrograms(t *testing.T) []string {
	for _, program := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(program, "-c", "import requests").Run() == nil {
			return []string{program}
		}
	}
	missing(t, "Python's requests is not installed: apt-get install -y python3-requests")
	return nil
}

// nodePrograms are the Node of the path and those that OUTRIDER_TEST_NODES lists,
// where they find a package.
func nodePrograms(name string) func(t *testing.T) []string {
	return func(t *testing.T) []string {
		programs := append([]string{"node"}, filepath.SplitList(os.Getenv("OUTRIDER_TEST_NODES"))...)
		if exec.Command("node", "-e", "require('"+name+"')").Run() != nil {
			missing(t, "the package "+name+" is not installed: npm install --prefix DIR "+name+", and NODE_PATH=DIR/node_modules")
		}
		return programs
	}
}

// missing skips a test; where nothing may be skipped it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("OUTRIDER_TEST_NO_SKIP") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Stripe's library takes a host and a port, and no path: the upstream has a port
// for itself.
func TestLibraryAtAPortOfItsOwn(t *testing.T) {
	t.Setenv("KEY", "sesame")
	programs := nodePrograms("stripe")(t)
	got := &ledger{}
	server := upstream(t, provider(got, nil))
	r := launch(t, captured(server.Listener.Addr().String())+"listen = \"127.0.0.1:0\"\n")
	_, port, _ := net.SplitHostPort(r.addresses["api"])
	script := strings.Replace(stripeCharge, "{maxNetworkRetries", "{host: '127.0.0.1', port: "+port+", protocol: 'http', maxNetworkRetries", 1)
	for _, program := range programs {
		out, _ := command(t, invocation{}, nil, program, "-e", script)
		entries := got.take()
		if strings.TrimSpace(out) != "ch_1 100" || len(entries) != 1 || strings.Join(entries[0].header["Authorization"], ",") != "Bearer sesame" {
			t.Errorf("%s: %q after %v", program, out, entries)
		}
	}
}
