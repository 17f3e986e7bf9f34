package report_test

import (
	"strings"
	"testing"

	"outrider/bench/report"
)

func measured() *report.Table {
	table := &report.Table{Group: "bulk"}
	for row, value := range map[string]float64{"ours": 90, "slow": 50, "fast": 100} {
		table.Add(row, "MiB/s", value)
	}
	return table
}

func TestTargetIsHeldToTheBestOfTheOthers(t *testing.T) {
	for _, test := range []struct {
		target   report.Target
		measured float64
		met      bool
	}{
		{report.Target{Against: []string{"slow", "fast"}, Least: 0.8}, 0.9, true},
		{report.Target{Against: []string{"slow", "fast"}, Least: 0.95}, 0.9, false},
		{report.Target{Against: []string{"fast", "slow"}, Most: 1.5}, 1.8, false},
		{report.Target{Against: []string{"absent", "fast"}, Most: 1}, 0.9, true},
		{report.Target{Most: 90}, 90, true},
		{report.Target{Least: 91}, 90, false},
	} {
		test.target.Group, test.target.Row, test.target.Column = "bulk", "ours", "MiB/s"
		got := report.Judge([]report.Target{test.target}, []*report.Table{measured()})
		if len(got) != 1 || !got[0].Known || got[0].Measured != test.measured || got[0].Met != test.met {
			t.Errorf("%+v: got %+v", test.target, got)
		}
	}
}

func TestTargetWithoutAnythingToCompareIsNotMeasured(t *testing.T) {
	targets := []report.Target{
		{Words: "speed", Group: "bulk", Row: "ours", Column: "MiB/s", Against: []string{"absent"}, Most: 1},
		{Words: "size", Group: "other", Row: "ours", Column: "MiB", Most: 1},
	}
	verdicts := report.Judge(targets, []*report.Table{measured()})
	var got strings.Builder
	report.WriteVerdicts(&got, verdicts)
	const want = `### Targets

| target | wanted | measured | |
|---|---:|---:|---|
| speed | ≤ 1.00 × | not measured | – |

`
	if got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}
