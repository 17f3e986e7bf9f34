package cli

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy"
)

// A call that was answered with two 503s, as a real Jaeger has it, by both protocols of OTLP.
func TestJaegerShowsEveryAttemptOfACall(t *testing.T) {
	j := runJaeger(t)
	_, base := identity(t)
	for protocol, endpoint := range map[string]string{"http/protobuf": j.http, "grpc": j.grpc} {
		t.Run(protocol, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
service_name = "shop"
[upstream.api]
url = %q
retry = { base = "20ms", cap = "40ms" }
`, endpoint, base))
			resp, _ := get(t, http.DefaultClient, r.url("/api/fault/503?times=2&key="+protocol[:4]))
			r.halt()
			j.shows(t, resp, "shop", `
server GET api: http.response.body.size=21, http.response.status_code=200, outrider.attempts=3, outrider.class=ok, url.path=/fault/503
  client GET: error.type=503, error=true, http.response.status_code=503
  internal backoff: outrider.attempt=2, outrider.reason=status 503
  client GET: error.type=503, error=true, http.request.resend_count=1, http.response.status_code=503
  internal backoff: outrider.attempt=3, outrider.reason=status 503
  client GET: http.request.resend_count=2, http.response.status_code=200
`)
		})
	}
}

// All that a call may wait for, in one trace: a token, its turn, and that the upstream is
// well again. The token request is a trace of its own, and the wait for it leads there.
func TestJaegerShowsWhatACallWaitedFor(t *testing.T) {
	j := runJaeger(t)
	sim, _ := identity(t)
	t.Setenv("CRM_SECRET", "demo-secret")
	picture := os.Getenv("OUTRIDER_TEST_PICTURE") != "" // of this very trace, for people
	busy, free := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			close(busy)
			<-free
			return
		}
		if picture {
			time.Sleep(40 * time.Millisecond) // as far away as providers are
		}
		sim.ServeHTTP(w, r)
	})
	t.Cleanup(release) // before the server is closed
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
state_dir = %q
[telemetry]
endpoint = %q
[upstream.crm]
url = %q
limit = { concurrency = 1, per = "host" }
retry = { base = "100ms", cap = "200ms" }
[upstream.crm.auth]
type = "oauth2"
grant = "client_credentials"
token_url = %[4]q
client_id = "demo"
client_secret = "env:CRM_SECRET"
[[upstream.crm.rule]]
match = "GET /busy"
auth = { type = "none" }
`, t.TempDir(), j.http, server.URL, server.URL+"/oauth/token?answer=slow&delay=120ms"))

	done := make(chan struct{})
	go func() { // takes the only turn
		defer close(done)
		get(t, http.DefaultClient, r.url("/crm/busy"))
	}()
	<-busy
	answered := make(chan *http.Response)
	go func() {
		resp, _ := get(t, http.DefaultClient, r.url("/crm/fault/script/report?do=503&do=503"))
		answered <- resp
	}()
	eventually(t, "a call in line", func() (bool, string) {
		quotas := r.states()[0].Quotas
		return slices.ContainsFunc(quotas, func(q policy.QuotaStatus) bool { return q.Waiting == 1 }), fmt.Sprint(quotas)
	})
	if picture {
		time.Sleep(150 * time.Millisecond) // a wait that can be seen
	}
	release()
	resp := <-answered
	<-done
	r.halt()

	trace := j.shows(t, resp, "outrider", `
server GET crm: http.response.body.size=21, http.response.status_code=200, outrider.attempts=3, outrider.class=ok, url.path=/fault/script/report
  internal token wait: outrider.reason=first, and a link
  internal queue wait: outrider.priority=normal, outrider.reason=concurrency
  client GET: error.type=503, error=true, http.response.status_code=503
  internal backoff: outrider.attempt=2, outrider.reason=status 503
  client GET: error.type=503, error=true, http.request.resend_count=1, http.response.status_code=503
  internal backoff: outrider.attempt=3, outrider.reason=status 503
  client GET: http.request.resend_count=2, http.response.status_code=200
`)
	refresh := j.trace(trace.link(trace.named("token wait")), 2)
	if want := `
internal token refresh: outrider.from=first, and a link
  client POST token: http.response.status_code=200
`; refresh.String() != want[1:] {
		t.Errorf("the refresh is\n%s\nwant%s", refresh, want)
	}
	if back := refresh.link(refresh.named("token refresh")); back != trace.TraceID {
		t.Errorf("the refresh leads to %s, and not back to the call that caused it, %s", back, trace.TraceID)
	}
	if picture {
		draw(t, "../../docs/trace.svg", trace)
	}
}

// Calls that fail say why: one is not sent again, since nobody knows what came of it, and
// one is not sent at all.
func TestJaegerShowsWhyACallFailed(t *testing.T) {
	j := runJaeger(t)
	_, base := identity(t)
	nobody := freePorts(t, 1)[0]
	r := launchUnstopped(t, "", anyPorts+fmt.Sprintf(`
[telemetry]
endpoint = %q
[upstream.api]
url = %q
[upstream.gone]
url = "http://%s"
retry = { attempts = 2, base = "1ms", cap = "2ms" }
`, j.http, base, nobody))
	post, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/fault/503"), strings.NewReader("order"))
	refused, _ := do(t, http.DefaultClient, post)
	unsent, _ := get(t, http.DefaultClient, r.url("/gone/x"))
	r.halt()
	j.shows(t, refused, "outrider", `
server POST api: error.type=503, error=true, http.request.body.size=5, http.response.body.size=32, http.response.status_code=503, outrider.attempts=1, outrider.class=fault, url.path=/fault/503
  event=outrider.give-up, outrider.attempt=1, outrider.reason=unsafe method
  client POST: error.type=503, error=true, http.response.status_code=503
`)
	j.shows(t, unsent, "outrider", `
server GET gone: error.type=upstream-unreachable, error=true, http.response.status_code=502, otel.status_description=connection_refused: dial tcp HOST: connection refused, outrider.attempts=0, outrider.class=fault, outrider.problem=upstream-unreachable, url.path=/x
  error.type=connection_refused, event=outrider.attempt.unsent, outrider.error=connection_refused: dial tcp HOST: connection refused
  error.type=connection_refused, event=outrider.attempt.unsent, outrider.error=connection_refused: dial tcp HOST: connection refused
  event=outrider.give-up, outrider.attempt=2, outrider.reason=attempts
  internal backoff: outrider.attempt=2, outrider.reason=connect refused
`)
}
