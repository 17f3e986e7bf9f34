package simulator_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

func TestOneKeyIsChargedOnce(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	first := call(sim, "POST", "/charges", "amount=1", "Idempotency-Key", "k", "X-Logical-Id", "order")
	again := call(sim, "POST", "/charges", "amount=1", "Idempotency-Key", "k", "X-Logical-Id", "order")
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s, then %d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if w := call(sim, "POST", "/charges", "amount=2", "Idempotency-Key", "k"); w.Code != 422 {
		t.Errorf("another body: %d", w.Code)
	}
	if w := call(sim, "POST", "/charges", "amount=1", "Idempotency-Key", "k", "Authorization", "Bearer other"); w.Code != 201 || w.Body.String() == first.Body.String() {
		t.Errorf("another credential's key: %d %s", w.Code, w.Body)
	}
	s := sim.Stats()
	if s.Effects != 2 || s.Duplicates != 0 || s.Keys["k"] != (simulator.Effects{Received: 4, Effects: 2}) || s.Logical["order"] != (simulator.Effects{Received: 2, Effects: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestWithoutAKeyEveryCallIsACharge(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for range 3 {
		call(sim, "POST", "/charges", "amount=1", "X-Logical-Id", "order")
	}
	if s := sim.Stats(); s.Effects != 3 || s.Duplicates != 2 {
		t.Errorf("%d effects, %d duplicates", s.Effects, s.Duplicates)
	}
}

func TestKeyInUseIsAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		var wait sync.WaitGroup
		wait.Go(func() {
			if w := call(sim, "POST", "/charges?work=5s", "x", "Idempotency-Key", "k"); w.Code != 201 {
				t.Errorf("the first: %d", w.Code)
			}
		})
		synctest.Wait()
		if w := call(sim, "POST", "/charges", "x", "Idempotency-Key", "k"); w.Code != 409 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("meanwhile: %d", w.Code)
		}
		time.Sleep(5 * time.Second)
		wait.Wait()
		if w := call(sim, "POST", "/charges", "x", "Idempotency-Key", "k"); w.Code != 201 {
			t.Errorf("afterwards: %d", w.Code)
		}
		if s := sim.Stats(); s.Effects != 1 {
			t.Errorf("%d effects", s.Effects)
		}
	})
}

// The failure that charges customers twice: it was done, and nobody heard.
func TestFailureAfterTheEffect(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	post := func(query, key, logical string) (int, error) {
		r, _ := http.NewRequest("POST", base+"/charges"+query, strings.NewReader("amount=1"))
		r.Header.Set("X-Logical-Id", logical)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		resp, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	if _, err := post("?fail=after", "k1", "with a key"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
	if code, err := post("?fail=after", "k1", "with a key"); code != 201 {
		t.Errorf("again: %d %v", code, err)
	}
	if s := sim.Stats(); s.Effects != 1 || s.Duplicates != 0 {
		t.Errorf("with a key: %d effects, %d duplicates", s.Effects, s.Duplicates)
	}
	for i, want := range []int{503, 503, 201} {
		if code, _ := post("?fail=after&with=503&times=2", "", "without"); code != want {
			t.Errorf("without a key, call %d: %d", i+1, code)
		}
	}
	if s := sim.Stats(); s.Effects != 4 || s.Duplicates != 2 {
		t.Errorf("without a key: %d effects, %d duplicates", s.Effects, s.Duplicates)
	}
}

func TestFailureBeforeTheEffectAndStoredFailure(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for i, want := range []int{503, 201, 201} {
		if w := call(sim, "POST", "/charges?fail=before&with=503", "x", "Idempotency-Key", "a"); w.Code != want {
			t.Errorf("before, call %d: %d", i+1, w.Code)
		}
	}
	if s := sim.Stats(); s.Effects != 1 {
		t.Errorf("before: %d effects", s.Effects)
	}
	for range 3 {
		if w := call(sim, "POST", "/charges?fail=stored", "x", "Idempotency-Key", "b"); w.Code != 500 {
			t.Errorf("stored: %d", w.Code)
		}
	}
	if s := sim.Stats(); s.Effects != 1 {
		t.Errorf("stored: %d effects", s.Effects)
	}
	if w := call(sim, "POST", "/charges?fail=never&with=fire", "x"); w.Code != 400 {
		t.Errorf("nonsense: %d", w.Code)
	}
}

func TestStatsNameCredentialsByFingerprint(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	const canary = "Bearer canary-7f3a"
	get(sim, "/echo/a?secret=1", "Authorization", canary)
	get(sim, "/limited/window/crm", "Authorization", canary)
	get(sim, "/status/404", "X-Api-Key", "canary-key")
	s := sim.Stats()
	if s.Credentials[simulator.Fingerprint(canary)] != 2 || s.Credentials[simulator.Fingerprint("canary-key")] != 1 {
		t.Errorf("%v", s.Credentials)
	}
	if s.Requests != 3 || s.Methods["GET"] != 3 || s.Paths["/echo/a"] != 1 || s.Statuses["200"] != 2 || s.Statuses["404"] != 1 {
		t.Errorf("%+v", s)
	}
	if text := get(sim, "/_stats").Body.String(); strings.Contains(text, "canary") || strings.Contains(text, "secret") {
		t.Errorf("a secret in %s", text)
	}
}

func TestStatsAreBoundedAndSaySo(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{MaxEntries: 3, Limit: 1, Per: time.Hour})
	for i := range 5 {
		get(sim, fmt.Sprintf("/limited/window/n%d", i))
		get(sim, fmt.Sprintf("/limited/window/n%d", i))
	}
	s := sim.Stats()
	if len(s.Paths) != 3 || len(s.Quotas) != 3 || s.Uncounted == 0 || s.Throttled != 5 || s.Requests != 10 {
		t.Errorf("%+v", s)
	}
	if w := get(sim, "/limited/window/n4"); w.Code != 429 { // the newest are remembered
		t.Errorf("n4: %d", w.Code)
	}
	if w := get(sim, "/limited/window/n0"); w.Code != 200 { // the oldest is forgotten
		t.Errorf("n0: %d", w.Code)
	}
}

func TestResetForgetsAllButTokens(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{Limit: 1, Per: time.Hour})
	g := sim.Grant("app", "")
	for range 2 {
		get(sim, "/limited/window/crm")
		get(sim, "/fault/503?times=1")
		call(sim, "POST", "/charges", "x", "Idempotency-Key", "k")
	}
	if err := sim.Control(simulator.Control{Outage: "503"}); err != nil {
		t.Fatal(err)
	}
	if w := call(sim, "POST", "/_reset", ""); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	if s := sim.Stats(); s.Requests != 0 || s.Effects != 0 || len(s.Paths) != 0 || len(s.Quotas) != 0 {
		t.Errorf("%+v", s)
	}
	if get(sim, "/limited/window/crm").Code != 200 || get(sim, "/fault/503?times=1").Code != 503 || reaches(sim, g.AccessToken).Code != 200 {
		t.Error("a quota or a count survived, or a token did not")
	}
	if w := call(sim, "POST", "/charges", "y", "Idempotency-Key", "k"); w.Code != 201 {
		t.Errorf("a charge survived: %d", w.Code)
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	for range 3 {
		fetch(client, base+"/echo") // each on a connection of its own
	}
	if s := sim.Stats(); s.Connections != 3 || s.Requests != 3 || s.Peak != 1 {
		t.Errorf("%+v", s)
	}
}
