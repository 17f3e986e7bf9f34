package telemetry_test

import (
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// A family is what is known of a metric by its name: its kind and its labels.
type family struct {
	kind   string
	labels map[string]bool
}

func (f *family) String() string {
	if f == nil {
		return "is not there"
	}
	return "is a " + f.kind + " by (" + strings.Join(slices.Sorted(maps.Keys(f.labels)), ", ") + ")"
}

// TestMetricsAreAsDocumented compares the table in docs/metrics.md with what is really
// printed after everything has happened once, so that neither lacks what the other has.
func TestMetricsAreAsDocumented(t *testing.T) {
	r := newRig(t, telemetry.Settings{Version: "v1", KeepErrors: true})
	everything(t, r)
	text := r.metrics(t)
	printed, documented := printedMetrics(text), documentedMetrics(t)
	for name := range documented {
		if _, there := printed[name]; !there {
			printed[name] = nil
		}
	}
	for name, got := range printed {
		if want := documented[name]; got.String() != want.String() {
			t.Errorf("%s %s; in docs/metrics.md it %s", name, got, want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// everything has each metric, and each of its labels, appear.
func everything(t *testing.T, r *rig) {
	t.Helper()
	ctx, span, call := r.begin("GET", "crm")
	chain := policy.Passage(r.Transport(answers(slices.Repeat([]int{503}, 100)...)))
	for range 100 { // of which not all spans are kept
		if err := send(t, chain, outbound(ctx, "GET", "https://crm.test/")); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []policy.EventKind{
		policy.EventWait, policy.EventRetry, policy.EventGiveUp, policy.EventHedge, policy.EventRepeat,
		policy.EventStale, policy.EventQuiet, policy.EventGate, policy.EventRefresh, policy.EventCircuit,
	} {
		r.Observe(ctx, policy.Event{Kind: kind, Upstream: "crm", Reason: "reason", From: "from", To: "to",
			Delay: time.Second, Until: time.Now().Add(time.Hour)})
	}
	r.Intercepted(ctx, "crm", "opened")
	r.Connections("crm").Add(1)
	span.End(&telemetry.Outcome{Call: call, Method: "GET", Status: 502, Problem: "upstream-reset", Err: errors.New("reset")})

	now := time.Now()
	used := 0.5
	r.Watch(func() []policy.UpstreamStatus {
		return []policy.UpstreamStatus{{
			Name: "crm", Circuits: []policy.CircuitStatus{{Key: "crm.test", State: "open"}},
			Credentials: []policy.CredentialStatus{{Name: "default", State: "live", Obtained: &now, Expires: &now}},
			Quotas: []policy.QuotaStatus{
				{Key: "crm.test", Limit: "2/s", Tokens: 1, Room: 2, Utilization: &used},
				{Key: "crm.test", Limit: "learned", Bucket: "core", Utilization: &used, Learned: &policy.LearnedStatus{Limit: 10, Remaining: 5, Unit: "points", Each: 1}},
			},
		}}
	})
	r.LettersKept(ctx, "crm", 1)
	r.LetterEnded(ctx, "crm", "delivered", time.Minute)
	r.CallbackEnded(ctx, "delivered")
	r.WatchOutbox(func() (telemetry.Outbox, bool) {
		return telemetry.Outbox{Upstreams: []telemetry.OutboxLetters{{Upstream: "crm"}}}, true
	})
	r.WatchProcess(func() telemetry.Process {
		return telemetry.Process{Read: now, Alerts: map[string]int{"quota-low": 1}}
	})
}

// printedMetrics reads those of ours from a metrics page. What Go and the process tell of
// themselves is documented by others.
func printedMetrics(text string) map[string]*family {
	families := make(map[string]*family)
	var current *family
	label := regexp.MustCompile(`([a-z_]+)="`)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if declared, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(declared, " ")
			current = &family{kind: kind, labels: make(map[string]bool)}
			if strings.HasPrefix(name, "outrider_") || strings.HasPrefix(name, "http_") {
				families[name] = current
			}
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, found := range label.FindAllStringSubmatch(line, -1) {
			if current.kind != "histogram" || found[1] != "le" {
				current.labels[found[1]] = true
			}
		}
	}
	return families
}

// documentedMetrics reads the table.
func documentedMetrics(t *testing.T) map[string]*family {
	t.Helper()
	data, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	families := make(map[string]*family)
	word := regexp.MustCompile("`([a-z_]+)`")
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:outrider|http)_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|").FindAllStringSubmatch(string(data), -1) {
		f := &family{kind: row[2], labels: make(map[string]bool)}
		for _, found := range word.FindAllStringSubmatch(row[3], -1) {
			f.labels[found[1]] = true
		}
		families[row[1]] = f
	}
	if len(families) == 0 {
		t.Fatal("docs/metrics.md has no table of metrics")
	}
	return families
}
