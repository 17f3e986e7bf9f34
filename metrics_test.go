package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A measured maps the names that a metric has in queries → the labels that it has there.
type measured map[string]map[string]bool

// measuredMetrics are those of docs/metrics.md, whose tables a test of the telemetry holds to
// what is really printed.
func measuredMetrics(t *testing.T) measured {
	t.Helper()
	all := measured{"up": {"instance": true, "job": true}}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	for _, found := range row.FindAllStringSubmatch(documents(t)["docs/metrics.md"], -1) {
		labels := map[string]bool{"instance": true, "job": true}
		for _, label := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(found[3], -1) {
			labels[label[1]] = true
		}
		names := []string{found[1]}
		if found[2] == "histogram" {
			labels["le"] = true
			names = []string{found[1] + "_bucket", found[1] + "_sum", found[1] + "_count"}
		}
		for _, name := range names {
			all[name] = labels
		}
	}
	return all
}

// Parts of a query.
var (
	queriedMetric = regexp.MustCompile(`\b((?:outrider|http|go|process)_[a-z_]+|up)\b(\{[^}]*\})?`)
	groupedLabels = regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`)
	matchedLabel  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	shownLabel    = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// ask checks a query, and the text that shows its labels, against what there is.
func (m measured) ask(t *testing.T, where, query, text string) {
	t.Helper()
	found := queriedMetric.FindAllStringSubmatch(groupedLabels.ReplaceAllString(query, ""), -1)
	if len(found) == 0 {
		t.Errorf("%s: %s asks for no metric", where, query)
	}
	there := map[string]bool{} // labels of all metrics that are asked for
	for _, metric := range found {
		name, selector := metric[1], metric[2]
		labels, known := m[name]
		if !known && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s asks for %s, which is not in docs/metrics.md", where, name)
		}
		maps.Copy(there, labels)
		for _, label := range matchedLabel.FindAllStringSubmatch(selector, -1) {
			if !labels[label[1]] {
				t.Errorf("%s asks for %s by %s, which it does not have", where, name, label[1])
			}
		}
	}
	left := there // labels of the result
	if groups := groupedLabels.FindAllStringSubmatch(query, -1); len(groups) > 0 {
		left = map[string]bool{}
		for _, group := range groups {
			for label := range strings.SplitSeq(group[1], ", ") {
				left[label] = true
				if !there[label] {
					t.Errorf("%s: nothing in %s has the label %s", where, query, label)
				}
			}
		}
	}
	for _, label := range shownLabel.FindAllStringSubmatch(text, -1) {
		if !left[label[1]] {
			t.Errorf("%s shows %s, which the result of %s does not have", where, label[1], query)
		}
	}
}

// TestDashboardAsksForWhatThereIs keeps the dashboard from rotting: a metric that was renamed
// would leave an empty panel, and nothing that says so.
func TestDashboardAsksForWhatThereIs(t *testing.T) {
	const path = "examples/grafana-dashboard.json"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type target struct{ Expr, LegendFormat string }
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []target
		}
		Annotations struct {
			List []struct{ Name, Expr, TextFormat string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	metrics := measuredMetrics(t)
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if there, ok := taken[at]; ok || at[0] >= 24 {
					t.Fatalf("%q lies on %q", p.Title, there)
				}
				taken[at] = p.Title
			}
		}
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			metrics.ask(t, p.Title, target.Expr, target.LegendFormat)
		}
	}
	for _, a := range dashboard.Annotations.List {
		metrics.ask(t, a.Name, a.Expr, a.TextFormat)
	}
}

// TestAlertRulesAskForWhatThereIs does the same for the rules for Prometheus.
func TestAlertRulesAskForWhatThereIs(t *testing.T) {
	const path = "examples/prometheus-rules.yml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	metrics := measuredMetrics(t)
	rule := regexp.MustCompile(`(?m)^ +- alert: (\S+)\n +expr: (.*)\n(?: +for: .*\n)? +annotations:\n +summary: (.*)$`)
	rules := rule.FindAllStringSubmatch(string(data), -1)
	if want := strings.Count(string(data), "alert: "); len(rules) != want || want == 0 {
		t.Fatalf("%d of %d rules can be read", len(rules), want)
	}
	for _, r := range rules {
		metrics.ask(t, r[1], r[2], r[3])
	}
}
