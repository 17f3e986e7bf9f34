package simulator_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

func TestFirstCallsOfAKeyFailAndThenNone(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for i, want := range []int{503, 503, 200, 200} {
		w := get(sim, "/fault/503?times=2&key=a&retry_after=2.0&retry_after_ms=1500")
		if w.Code != want {
			t.Errorf("call %d: %d, want %d", i+1, w.Code, want)
		}
		h := w.Header()
		if want == 503 && (h.Get("Retry-After") != "2.0" || h.Get("Retry-After-Ms") != "1500") {
			t.Errorf("call %d: headers %v", i+1, h)
		}
	}
	if w := get(sim, "/fault/503?times=2&key=b"); w.Code != 503 {
		t.Errorf("another key shares the count: %d", w.Code)
	}
	if w := get(sim, "/fault/429?times=1&key=a"); w.Code != 429 {
		t.Errorf("another fault shares the count: %d", w.Code)
	}
}

func TestScriptIsPlayedOnce(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	const steps = "?do=503&do=429|Retry-After:2|x-should-retry:%20false&do=201&key="
	for i, want := range []int{503, 429, 201, 200, 200} {
		w := get(sim, "/fault/script/a"+steps)
		if h := w.Header(); w.Code != want || want == 429 && (h.Get("Retry-After") != "2" || h.Get("X-Should-Retry") != "false") {
			t.Errorf("call %d: %d %v, want %d", i+1, w.Code, h, want)
		}
	}
	for _, other := range []string{"/fault/script/b" + steps, "/fault/script/a" + steps + "k"} {
		if w := get(sim, other); w.Code != 503 {
			t.Errorf("%s does not begin anew: %d", other, w.Code)
		}
	}
	for _, wrong := range []string{"", "?do=", "?do=503&do=sometimes", "?do=503|Retry%20After:1", "?do=503|A:b%0D%0Ac"} {
		if w := get(sim, "/fault/script/a"+wrong); w.Code != 400 {
			t.Errorf("%q: %d", wrong, w.Code)
		}
	}
}

func TestRetryDateIsAnHTTPDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		time.Sleep(1500 * time.Millisecond)
		if got := get(sim, "/fault/503?retry_date=5s").Header().Get("Retry-After"); got != "Sat, 01 Jan 2000 00:00:07 GMT" {
			t.Errorf("Retry-After: %s", got)
		}
	})
}

func TestFlakyIsTheSameForTheSameSeed(t *testing.T) {
	run := func(set simulator.Settings, query string) (codes []int) {
		sim := newSimulator(t, set)
		for range 200 {
			codes = append(codes, get(sim, "/fault/flaky?p=0.3"+query).Code)
		}
		return codes
	}
	first := run(simulator.Settings{Seed: 1}, "")
	if !slices.Equal(first, run(simulator.Settings{Seed: 1}, "")) || !slices.Equal(first, run(simulator.Settings{Seed: 9}, "&seed=1")) {
		t.Error("one seed, two fates")
	}
	if slices.Equal(first, run(simulator.Settings{Seed: 2}, "")) {
		t.Error("two seeds, one fate")
	}
	failed := 0
	for _, c := range first {
		failed += map[int]int{503: 1}[c]
	}
	if failed < 40 || failed > 80 {
		t.Errorf("%d of 200 failed, for a share of 0.3", failed)
	}
}

func TestNewTokenIsAllThatHelps(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for i, c := range []struct {
		token string
		want  int
	}{{"", 401}, {"Bearer old", 401}, {"Bearer old", 401}, {"Bearer new", 200}, {"Bearer old", 401}, {"Bearer newer", 200}} {
		w := get(sim, "/fault/401-until-new-token", "Authorization", c.token)
		if w.Code != c.want || (c.want == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("call %d with %q: %d", i+1, c.token, w.Code)
		}
	}
}

func TestLateAndSlowTakeAsLongAsTheySay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		for target, want := range map[string]time.Duration{
			"/fault/late?delay=7s":                    7 * time.Second,
			"/fault/hang?for=1h":                      time.Hour,
			"/fault/slow-drip?bytes=4&interval=250ms": time.Second,
			"/stream/5?interval=1s":                   4 * time.Second,
			"/sse?events=3&interval=1m":               2 * time.Minute,
			"/fault/late?delay=7s&times=0":            0,
		} {
			start := time.Now()
			if w := get(sim, target); w.Code != 200 {
				t.Errorf("%s: %d", target, w.Code)
			}
			if got := time.Since(start); got != want {
				t.Errorf("%s took %s", target, got)
			}
		}
	})
}

// Where there is no connection to break, the answer is aborted.
func TestFaultsAbortWithoutAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		for _, target := range []string{"/fault/reset-before", "/fault/garbage", "/fault/hang", "/fault/hang-after-headers"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			r := httptest.NewRequestWithContext(ctx, "GET", target, nil)
			got := func() (v any) {
				defer func() { v = recover() }()
				sim.ServeHTTP(httptest.NewRecorder(), r)
				return nil
			}()
			cancel()
			if got != http.ErrAbortHandler {
				t.Errorf("%s: %v", target, got)
			}
		}
		if s := sim.Stats(); s.Statuses["aborted"] != 4 || s.InFlight != 0 {
			t.Errorf("statuses %v, in flight %d", s.Statuses, s.InFlight)
		}
	})
}

func TestWireFaultsAreWhatClientsSee(t *testing.T) {
	_, base, client := serve(t, simulator.Settings{})
	for path, want := range map[string]func(status int, body string, err error) bool{
		"close":         func(_ int, _ string, err error) bool { return errors.Is(err, io.EOF) },
		"reset-before":  func(_ int, _ string, err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		"reset-in-head": func(_ int, _ string, err error) bool { return err != nil }, // net/http has several words for it
		"reset-after-first-byte": func(s int, b string, err error) bool {
			return s == 200 && b == "x" && errors.Is(err, syscall.ECONNRESET)
		},
		"truncate": func(s int, b string, err error) bool {
			return s == 200 && b != "" && errors.Is(err, io.ErrUnexpectedEOF)
		},
		"wrong-length": func(s int, b string, err error) bool { return s == 200 && b == "five " && err == nil },
		"bad-chunk":    func(s int, b string, err error) bool { return s == 200 && b == "hello" && err != nil },
		"no-last-chunk": func(s int, b string, err error) bool {
			return s == 200 && b == "hello" && errors.Is(err, io.ErrUnexpectedEOF)
		},
		"garbage":                 func(_ int, _ string, err error) bool { return err != nil && strings.Contains(err.Error(), "malformed") },
		"two-lengths":             func(_ int, _ string, err error) bool { return err != nil },
		"length-and-chunked":      func(_ int, b string, err error) bool { return err != nil || b == "hello" },
		"smuggle?for=1ms":         func(s int, b string, err error) bool { return s == 200 && b == "first" && err == nil },
		"huge-head?size=11000000": func(_ int, _ string, err error) bool { return err != nil && strings.Contains(err.Error(), "header") },
		"huge-head?size=2000":     func(s int, _ string, err error) bool { return s == 200 && err == nil },
		"flaky?p=1&as=reset":      func(_ int, _ string, err error) bool { return errors.Is(err, syscall.ECONNRESET) },
		"flaky?p=1&as=close":      func(_ int, _ string, err error) bool { return errors.Is(err, io.EOF) },
		"flaky?p=1&as=truncate":   func(_ int, _ string, err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
		"flaky?p=1&as=504":        func(s int, _ string, err error) bool { return s == 504 && err == nil },
		"reset-before?times=0":    func(s int, _ string, err error) bool { return s == 200 && err == nil },
		"redirect?to=/elsewhere":  func(s int, _ string, err error) bool { return s == 302 && err == nil },
	} {
		status, body, err := fetch(client, base+"/fault/"+path)
		if !want(status, body, err) {
			t.Errorf("%s: status %d, body %q, %v", path, status, body, err)
		}
	}
}

// Whoever reads on finds an answer that belongs to nobody.
func TestSmuggledAnswerStaysOnTheConnection(t *testing.T) {
	_, base, _ := serve(t, simulator.Settings{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /fault/smuggle?for=1h HTTP/1.1\r\nHost: sim.test\r\n\r\n")
	r := bufio.NewReader(conn)
	for _, want := range []string{"first", "this was never asked of us.\n"} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != want {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestHangsEndWithTheClient(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	for _, path := range []string{"/fault/hang", "/fault/hang-after-headers", "/fault/flaky?p=1&as=hang"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		r, _ := http.NewRequestWithContext(ctx, "POST", base+path, bytes.NewReader(make([]byte, 1<<20)))
		resp, err := client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, err)
		}
		cancel()
	}
	for range 1000 { // the server hears of it in its own time
		if sim.Stats().InFlight == 0 {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Error("requests are left after their clients are gone")
}

// Close breaks off what hangs, so that it neither waits nor looks complete.
func TestCloseEndsWhatHangs(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	failed := make(chan error)
	paths := []string{"/fault/hang", "/stream/10?interval=1h", "/limited/window/crm?hold=1h"}
	for _, path := range paths {
		go func() {
			_, _, err := fetch(client, base+path)
			failed <- err
		}()
	}
	for sim.Stats().InFlight < len(paths) {
		<-time.After(time.Millisecond)
	}
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	for range paths {
		if <-failed == nil {
			t.Error("an answer looks complete")
		}
	}
	if _, _, err := fetch(client, base+"/echo"); err == nil {
		t.Error("it still answers")
	}
	if err := sim.Serve(nopListener{}); err != nil {
		t.Errorf("serving after the close: %v", err)
	}
}

type nopListener struct{ net.Listener }

func (nopListener) Close() error { return nil }

func TestOutageReachesEverythingButItsOwnPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		if w := call(sim, "POST", "/_control", `{"outage":"503","for":"5s","retry_after":"2"}`); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, path := range []string{"/", "/echo", "/limited/window/x", "/nowhere", "/charges", "/oauth/token"} {
			if w := get(sim, path); w.Code != 503 || w.Header().Get("Retry-After") != "2" {
				t.Errorf("%s: %d %q", path, w.Code, w.Header().Get("Retry-After"))
			}
		}
		if w := get(sim, "/_stats"); w.Code != 200 {
			t.Errorf("/_stats: %d", w.Code)
		}
		time.Sleep(5*time.Second - 1)
		if w := get(sim, "/echo"); w.Code != 503 {
			t.Errorf("just before the end: %d", w.Code)
		}
		time.Sleep(1)
		if w := get(sim, "/echo"); w.Code != 200 {
			t.Errorf("at the end: %d", w.Code)
		}

		if err := sim.Control(simulator.Control{Outage: "500"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if w := get(sim, "/echo"); w.Code != 500 {
			t.Errorf("an outage without end: %d", w.Code)
		}
		call(sim, "POST", "/_control", `{"outage":"off"}`)
		if w := get(sim, "/echo"); w.Code != 200 {
			t.Errorf("turned off: %d", w.Code)
		}
	})
}

func TestOutageResetsConnections(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	if err := sim.Control(simulator.Control{Outage: "reset"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := fetch(client, base+"/echo"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

func TestControlRefusesNonsense(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for _, body := range []string{"", "x", `{"outage":"fire"}`, `{"outage":"503","for":"5"}`, `{"outage":"503","for":"-5s"}`, `{"outrage":"503"}`} {
		if w := call(sim, "POST", "/_control", body); w.Code != 400 {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	if got := get(sim, "/_control").Body.String(); !strings.Contains(got, `"off"`) {
		t.Errorf("something was turned on: %s", got)
	}
	if w := get(sim, "/_reset"); w.Code != 405 {
		t.Errorf("GET /_reset: %d", w.Code)
	}
}

func TestRefusalsAreInTheWordsOfTheirProviders(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for _, name := range simulator.Refusals() {
		w := get(sim, "/refused/"+name+"?times=1")
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if w := get(sim, "/refused/"+name+"?times=1"); w.Code != 200 || w.Body.String() != `{"ok":true,"call":2}`+"\n" {
			t.Errorf("%s: the second is %d %s", name, w.Code, w.Body)
		}
	}
	if w := get(sim, "/refused/nobody"); w.Code != 404 || !strings.Contains(w.Body.String(), "stripe-lock") {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
}

// A quiet failure is one in the body alone, until its plan is over.
func TestQuietFailuresAreGoodByTheirStatus(t *testing.T) {
	for name, part := range map[string]string{
		"slack": `{"ok":false,"error":"channel_not_found"}`, "slack/api/x?error=fatal_error": `{"ok":false,"error":"fatal_error"}`,
		"graphql": `"errors":[{`, "graphql-partial": `"viewer":{`, "graphql-user": `"userErrors":[{`, "salesforce": `"httpStatusCode":400`,
		"graph-batch": `"status":404`, "dynamodb-batch": `"UnprocessedItems":{"orders"`, "elastic-bulk": `"errors":true`, "empty": `{"data":[]}`,
	} {
		sim := newSimulator(t, simulator.Settings{})
		path := "/quiet/" + name + "?times=1"
		if strings.Contains(name, "?") {
			path = "/quiet/" + name + "&times=1"
		}
		if w := get(sim, path); w.Code != 200 || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if w := get(sim, path); w.Code != 200 || w.Body.String() != `{"ok":true,"call":2,"data":[2]}`+"\n" {
			t.Errorf("%s, afterwards: %d %s", name, w.Code, w.Body)
		}
	}
	if w := get(newSimulator(t, simulator.Settings{}), "/quiet/nobody"); w.Code != 404 || !strings.Contains(w.Body.String(), "elastic-bulk") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
