package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/proxy/simulator"
)

// simulated serves a simulator.
func simulated(t *testing.T) (sim *simulator.Simulator, address string) {
	t.Helper()
	sim, err := simulator.New(simulator.Settings{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() { _ = sim.Close(); server.Close() })
	return sim, server.Listener.Addr().String()
}

// budget is what the upstream api has left for retries.
func (r *running) budget() float64 {
	r.t.Helper()
	_, body := r.ask("GET", "/api/status")
	var status struct{ Upstreams []policy.UpstreamStatus }
	if err := json.Unmarshal([]byte(body), &status); err != nil || len(status.Upstreams) != 1 {
		r.t.Fatalf("the status is %s, %v", body, err)
	}
	return status.Upstreams[0].Budget
}

// Of a call to a port that nobody listens at, the detail spoke of 3 attempts and the member
// attempts was 0: no request was on the wire, and so there are none but tries.
func TestTriesThatGotNoConnectionAreNoAttempts(t *testing.T) {
	r := launch(t, api(closedPort(t))+"retry = { base = \"1ms\", cap = \"2ms\", budget = 1 }\n")
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/x"), strings.NewReader("x"))
	resp, body := do(t, http.DefaultClient, req)
	var problem struct {
		Detail   string
		Attempts int
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if !strings.HasPrefix(problem.Detail, "after 3 tries: ") || problem.Attempts != 0 || resp.Header["Outrider-Attempts"] != nil {
		t.Errorf("Outrider-Attempts: %q, %s", resp.Header["Outrider-Attempts"], body)
	}
}

// A client library that makes three attempts of its own, as those of OpenAI and
// Anthropic do, stops where three of ours were made: three requests arrive, not nine.
// That is so of the provider's answers and of our own, and where the budget is spent.
func TestRetriesOfClientLibrariesDoNotMultiply(t *testing.T) {
	for fault, status := range map[string]int{"503": 503, "reset": 502} {
		for budget, want := range map[string]int64{"1": 3, "0": 1} {
			sim, address := simulated(t)
			r := launch(t, api(address)+"retry = { base = \"1ms\", cap = \"2ms\", budget = "+budget+" }\n")
			for attempt := range 3 {
				req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/api/fault/script/a?"+strings.Repeat("do="+fault+"&", 9)), nil)
				req.Header.Set("X-Stainless-Retry-Count", fmt.Sprint(attempt))
				resp, _ := do(t, http.DefaultClient, req)
				if resp.StatusCode != status {
					t.Errorf("%s: answered %d", fault, resp.StatusCode)
				}
				if resp.Header.Get("X-Should-Retry") == "false" {
					break
				}
			}
			if sent := sim.Stats().Paths["/fault/script/a"]; sent != want {
				t.Errorf("%s, budget %s: %d requests arrived, want %d", fault, budget, sent, want)
			}
		}
	}
}

// A library that does not stop pays: its retries earn no others one.
func TestRetriesOfCallersCountAgainstTheBudget(t *testing.T) {
	_, address := simulated(t)
	r := launch(t, api(address)+"retry = { attempts = 1 }\n")
	for attempt := range 3 {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", r.url("/api/status/503?"+fmt.Sprint(attempt)), nil)
		req.Header.Set("X-Stainless-Retry-Count", fmt.Sprint(attempt))
		do(t, http.DefaultClient, req)
	}
	for range 2 { // of which the second has the body of the first
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/status/500"), strings.NewReader("order"))
		do(t, http.DefaultClient, req)
	}
	if left := r.budget(); left < 47 || left >= 48 {
		t.Errorf("%v retries are left of 50, after three of callers", left)
	}
	_, metrics := r.ask("GET", "/metrics")
	for reason, n := range map[string]int{"retry count": 2, "same request": 1} {
		if line := fmt.Sprintf("outrider_repeats_total{reason=%q,upstream=\"api\"} %d\n", reason, n); !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

func TestAnswerSaysThatTheBudgetIsSpent(t *testing.T) {
	_, address := simulated(t)
	r := launch(t, api(address)+"retry = { budget = 0 }\n")
	for path, status := range map[string]int{"/api/status/503": 503, "/api/fault/reset-before": 502} {
		resp, body := get(t, http.DefaultClient, r.url(path))
		if h := resp.Header; resp.StatusCode != status || h.Get("Outrider-Retry") != "budget" || h.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: %d %v", path, resp.StatusCode, h)
		}
		if own := strings.Contains(body, `"not_retried":"budget"`); own != (status == 502) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// A connection that dies under a second request is no reason to send it again unseen:
// what arrives is what we count and pay for, and a POST arrives once.
func TestConnectionThatDiesIsNoHiddenResend(t *testing.T) {
	arrived := make(chan string, 10)
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		for n := 0; ; n++ {
			line, _, _ := strings.Cut(head(r), " HTTP/")
			if line == "" {
				return
			}
			arrived <- line
			if n == 1 {
				return // in place of an answer
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := launch(t, api(address)+"retry = { base = \"1ms\", cap = \"2ms\" }\n")
	for _, call := range []struct {
		method   string
		status   int
		attempts string
		arrived  int
		budget   float64
	}{
		{"GET", 200, "", 1, 50},
		{"GET", 200, "2", 2, 49}, // the second of its connection, and the first of another
		{"POST", 502, "", 1, 49}, // the second of that
	} {
		req, _ := http.NewRequestWithContext(t.Context(), call.method, r.url("/api/x"), nil)
		resp, body := do(t, http.DefaultClient, req)
		if resp.StatusCode != call.status || resp.Header.Get("Outrider-Attempts") != call.attempts {
			t.Errorf("%s: %d %s, attempts %q", call.method, resp.StatusCode, body, resp.Header.Get("Outrider-Attempts"))
		}
		for range call.arrived {
			<-arrived
		}
		if left := r.budget(); left < call.budget || left >= call.budget+1 {
			t.Errorf("%s: %v retries are left, want %v", call.method, left, call.budget)
		}
	}
	if len(arrived) != 0 {
		t.Errorf("%s arrived, too", <-arrived)
	}
}

// A payment whose answers are all lost is charged once: our own attempts carry one key,
// the answer of our own names it, and the caller's retry under it gets the stored answer.
func TestPaymentWithoutAnswersIsChargedOnce(t *testing.T) {
	sim, address := simulated(t)
	r := launch(t, api(address)+"retry = { base = \"1ms\", cap = \"2ms\", idempotency_header = \"Idempotency-Key\", mint_key = true }\n")
	pay := func(key string) *http.Response {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/charges?fail=after&with=reset&times=3"), strings.NewReader("amount=100"))
		req.Header.Set("X-Logical-Id", "order-1")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, _ := do(t, http.DefaultClient, req)
		return resp
	}
	lost := pay("")
	key := lost.Header.Get("Idempotency-Key")
	if lost.StatusCode != 502 || lost.Header.Get("Outrider-Attempts") != "3" || key == "" {
		t.Fatalf("answered %d with %v", lost.StatusCode, lost.Header)
	}
	if paid := pay(key); paid.StatusCode/100 != 2 {
		t.Errorf("the caller's retry was answered %d", paid.StatusCode)
	}
	if s := sim.Stats(); s.Effects != 1 || s.Duplicates != 0 || s.Keys[key].Received != 4 {
		t.Errorf("%d charges, and the key arrived %d times", s.Effects, s.Keys[key].Received)
	}
	if _, metrics := r.ask("GET", "/metrics"); !strings.Contains(metrics, `outrider_repeats_total{reason="same key",upstream="api"} 1`) {
		t.Error("the caller's retry was not recognised")
	}
}
