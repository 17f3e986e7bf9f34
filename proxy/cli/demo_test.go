package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"outrider/proxy/alert"
	"outrider/proxy/simulator"
	"outrider/proxy/telemetry"
)

// The demo, with less of everything: what it promises on the screen holds.
func TestDemoKeepsItsPromises(t *testing.T) {
	withoutCollector(t)
	var out, progress bytes.Buffer
	d := demo{out: &out, progress: &progress, scenes: demoScenes(demoShort), json: true}
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	fitsPaper(t, progress.String())
	var report demoReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("what it printed is not JSON: %v\n%s", err, out.String())
	}
	if !report.Held || len(report.Scenes) != 7 {
		t.Fatalf("held: %t, scenes: %d\n%s", report.Held, len(report.Scenes), out.String())
	}
	scenes := make(map[string]demoSceneReport)
	for _, scene := range report.Scenes {
		scenes[scene.Name] = scene
		for _, row := range scene.Sides {
			if row.Calls == 0 || row.Success+row.Failed != row.Calls {
				t.Errorf("%s, %s: %d calls, %d ok, %d failed", scene.Name, row.Side, row.Calls, row.Success, row.Failed)
			}
		}
		if plain, through := scene.Sides[0], scene.Sides[1]; plain.Calls != through.Calls {
			t.Errorf("%s: %d calls by one side, %d by the other", scene.Name, plain.Calls, through.Calls)
		}
	}

	var told []string
	for _, a := range report.Alerts {
		if told = append(told, a.Rule); a.Trace == "" || a.Calls == 0 || a.Action == "" {
			t.Errorf("an alert that does not say all: %+v", a)
		}
	}
	if strings.Join(told, " ") != "circuit-open quiet-failures" {
		t.Errorf("told of %q", told)
	}
	payments := scenes["payments"].Sides
	if *payments[1].Duplicates != 0 || payments[1].Failed != 0 {
		t.Errorf("payments through Outrider: %d duplicates, %d failed", *payments[1].Duplicates, payments[1].Failed)
	}
	// Of ten charges two are made and then lost, and one more is lost twice: the
	// script is fixed, and so is what becomes of a client without keys.
	if *payments[0].Duplicates != 4 {
		t.Errorf("the plain client made %d charges again, want 4", *payments[0].Duplicates)
	}
	outage := scenes["outage"].Sides
	if *outage[1].InOutage == 0 || *outage[1].InOutage >= *outage[0].InOutage {
		t.Errorf("attempts during the outage: %d through Outrider, %d without", *outage[1].InOutage, *outage[0].InOutage)
	}
	if orders := scenes["orders"].Sides; orders[0].Failed == 0 || orders[1].Failed != 0 || *orders[1].Duplicates != 0 {
		t.Errorf("orders: %d failed without Outrider; through it %d, and %d were made twice", orders[0].Failed, orders[1].Failed, *orders[1].Duplicates)
	}
	if token := scenes["token"].Sides; token[1].Failed != 0 || token[0].Denied == 0 {
		t.Errorf("401s: %d through Outrider, %d without", token[1].Denied, token[0].Denied)
	}
	if report.Trace == nil || report.Trace.Attempts < 2 || report.Trace.TraceID == "" || report.Trace.Upstream != "payments" {
		t.Errorf("the call that is shown: %+v", report.Trace)
	}
}

// A promise that does not hold is an error that says which; the sidecar's
// warnings are kept for whoever looks into it.
func TestDemoFailsWhenAPromiseIsBroken(t *testing.T) {
	withoutCollector(t)
	t.Setenv("TMPDIR", t.TempDir())
	scene := demoScene{
		name: "broken", method: http.MethodPost, path: "/charges", query: always("fail=before&with=503"), charges: true,
		calls: 2, workers: 2, // without a key Outrider sends a POST once
	}
	var out bytes.Buffer
	d := demo{out: &out, progress: io.Discard, scenes: []demoScene{scene}}
	err := d.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "broken: 2 calls failed") || !strings.Contains(err.Error(), "outrider-demo-") {
		t.Errorf("error: %v", err)
	}
	if !strings.Contains(out.String(), "through Outrider      2     0       2      0") {
		t.Errorf("the table:\n%s", out.String())
	}
}

// Traces that nobody took are not said to have arrived.
func TestDemoSaysWhereTracesWent(t *testing.T) {
	withoutCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // tcpmux: nobody listens
	scene := demoScene{name: "echo", method: http.MethodGet, path: "/echo/x", query: always(""), calls: 1, workers: 1}
	var progress bytes.Buffer
	d := demo{out: io.Discard, progress: &progress, scenes: []demoScene{scene}}
	if err := d.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(progress.String(), "Traces could not be sent to http://127.0.0.1:1.") {
		t.Errorf("it said:\n%s", progress.String())
	}
}

func withoutCollector(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"} {
		t.Setenv(name, "")
	}
}

func TestDemoPlainClientRepeatsWhatItShouldNot(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer old" {
			t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
		}
		sent.Add(1)
		w.WriteHeader(map[string]int{"/throttled": 429, "/down": 503, "/denied": 401, "/fine": 201}[r.URL.Path])
	})
	for _, c := range []struct {
		path string
		ok   bool
		sent int64
	}{{"/throttled", false, 4}, {"/down", false, 4}, {"/denied", false, 1}, {"/fine", true, 1}} {
		sent.Store(0)
		ok := plainClient(server.Client(), server.URL, "old")(t.Context(), demoCall{method: http.MethodPost, target: c.path})
		if ok != c.ok || sent.Load() != c.sent {
			t.Errorf("%s: ok %t after %d requests, want %t after %d", c.path, ok, sent.Load(), c.ok, c.sent)
		}
	}
}

func TestDemoAccounts(t *testing.T) {
	outcomes := []demoOutcome{{0, 4 * time.Millisecond, true}}
	for i := range 19 {
		outcomes = append(outcomes, demoOutcome{time.Second, time.Duration(100+i) * time.Millisecond, i >= 10})
	}
	r := demoResult{
		scene:    demoScene{name: "x", path: "/p", charges: true, outage: "raw", over: 900 * time.Millisecond},
		outcomes: [2][]demoOutcome{outcomes, outcomes},
		stats: [2]simulator.Stats{0: {
			Paths: map[string]int64{"/p": 31, "/oauth/token": 2}, Statuses: map[string]int64{"429": 3, "401": 2, "raw": 5}, Duplicates: 7,
		}},
	}
	row := r.row(0, demoPlain)
	if row.Calls != 20 || row.Success != 10 || row.Failed != 10 || row.Attempts != 31 || row.Throttled != 3 || row.Denied != 2 {
		t.Errorf("row: %+v", row)
	}
	if row.P50 != 108 || row.P95 != 117 || *row.FailedP50 != 104 {
		t.Errorf("p50 %v, p95 %v, p50 of failures %v", row.P50, row.P95, *row.FailedP50)
	}
	if *row.Duplicates != 7 || *row.InOutage != 5 || *row.Recovered != 210 {
		t.Errorf("duplicates %d, in the outage %d, recovered after %v", *row.Duplicates, *row.InOutage, *row.Recovered)
	}
}

func TestDemoPromises(t *testing.T) {
	good := demoOutcome{ok: true}
	for _, c := range []struct {
		name     string
		scene    demoScene
		outcomes []demoOutcome
		stats    simulator.Stats
		want     string
	}{
		{"fine", demoScene{name: "x"}, []demoOutcome{good}, simulator.Stats{}, ""},
		{"failed", demoScene{name: "x"}, []demoOutcome{good, {}}, simulator.Stats{}, "x: 1 call failed"},
		{"twice", demoScene{name: "x", charges: true}, []demoOutcome{good}, simulator.Stats{Effects: 3, Duplicates: 2}, "x: 2 duplicates"},
		{"never", demoScene{name: "x", charges: true}, []demoOutcome{good, good}, simulator.Stats{Effects: 1}, "x: 1 call succeeded without effect"},
		{"outage", demoScene{name: "x", outage: "raw", calm: time.Second}, []demoOutcome{{}, {begun: 2 * time.Second, ok: true}}, simulator.Stats{}, ""},
		{"not recovered", demoScene{name: "x", outage: "raw", calm: time.Second}, []demoOutcome{{begun: 2 * time.Second}}, simulator.Stats{},
			"x: 1 call failed after the provider had recovered"},
		{"storm", demoScene{name: "x", outage: "raw", calm: time.Second}, []demoOutcome{good}, simulator.Stats{Statuses: map[string]int64{"raw": 9}},
			"x: 9 attempts during the outage, and 5 without Outrider"},
	} {
		plain := simulator.Stats{Statuses: map[string]int64{"raw": 5}}
		r := demoResult{scene: c.scene, outcomes: [2][]demoOutcome{nil, c.outcomes}, stats: [2]simulator.Stats{plain, c.stats}}
		if got := strings.Join(r.broken(), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A report as it is printed where there is no terminal: no colour, aligned, and
// never wider than a terminal is.
func TestDemoReportOnPaper(t *testing.T) {
	three, eleven, six, half := int64(3), int64(11), 605.0, 0.5
	report := demoReport{
		Scenes: []demoSceneReport{{Name: "outage", About: "nobody is there", Sides: []demoRow{
			{Side: demoPlain, Calls: 100, Success: 97, Failed: 3, Attempts: 1234, Throttled: 84, Duplicates: &three, InOutage: &eleven, P50: 0.31, P95: 12345, FailedP50: &six, Recovered: &half},
			{Side: demoOutrider, Calls: 100, Success: 95, Failed: 5, Attempts: 107, InOutage: &three, P50: 9.96, P95: 605, FailedP50: &half},
		}}},
		Alerts: []alert.Alert{{Title: "Circuit of outage open", Calls: 7, Trace: "4bf92f3577b34da6a3ce929d0e0e4736",
			Action: "Look at the provider's status page. Calls are refused with 503 until a probe succeeds; to have it otherwise: outrider circuit close outage."}},
		Trace: &telemetry.Record{
			Method: "POST", Upstream: "payments", Path: "/charges", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Status: 201, Attempts: 2, DurationMS: 64.2,
			Tries: []telemetry.Try{{StartMS: 0.1, DurationMS: 2, Error: "connection_reset", Sent: true}, {StartMS: 62, DurationMS: 2.1, Status: 201, Sent: true, Reused: true}},
			Waits: []telemetry.Wait{{StartMS: 2.2, DurationMS: 59.8, Kind: "backoff", Reason: "connection reset"}},
		},
	}
	var b bytes.Buffer
	newDemoPrinter(&b).report(report)
	for _, want := range []string{
		"                    calls    ok  failed  twice  429s  sent      p50      p95\n",
		"  plain client        100    97       3      3    84  1234   0.3 ms  12345 ms\n",
		"  through Outrider    100    95       5      –     0   107    10 ms   605 ms\n",
		"outage       11 requests of the plain client met it, 3 through Outrider.\n",
		"             Answers came again after 0.5 ms, and never through Outrider.\n",
		"             More calls failed through Outrider",
		"  Circuit of outage open  7 calls, trace 4bf92f3577b34da6a3ce929d0e0e4736\n    Look at the provider's status page. Calls are refused with 503 until a probe\n",
		"      0.1 ms  attempt 1   connection reset after 2.0 ms\n      2.2 ms  backoff     60 ms, connection reset\n     62.0 ms  attempt 2   201 after 2.1 ms, reused connection\n",
		"     64.2 ms  answer      201, after 2 attempts\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("missing:\n%s\nin:\n%s", want, b.String())
		}
	}
	fitsPaper(t, b.String())
}

// fitsPaper checks text that does not go to a terminal.
func fitsPaper(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > demoWidth+1 || strings.ContainsAny(line, "\x1b\r") {
			t.Errorf("too wide, or with codes: %q", line)
		}
	}
}

func TestDemoScenesFitTheirLines(t *testing.T) {
	p := newDemoPrinter(io.Discard)
	for _, size := range []demoSize{demoFull, demoShort} {
		for _, scene := range demoScenes(size) {
			if line := scene.name + "  " + scene.about; utf8.RuneCountInString(line) > demoWidth {
				t.Errorf("wider than %d: %s", demoWidth, line)
			}
			gauges := demoGauges{new(demoGauge), new(demoGauge)}
			gauges[0].failed.Store(int64(scene.calls))
			if line := p.sceneLine("✓", scene, gauges); utf8.RuneCountInString(line) >= demoWidth {
				t.Errorf("wraps: %s", line)
			}
		}
	}
}
