package report

import (
	"fmt"
	"io"
)

// A Target is what a figure is held to: its median alone, or as a share of others'.
type Target struct {
	Words   string   // what is held to it
	Group   string   // of the table
	Row     string   // whose figure
	Column  string   // which
	Against []string // rows whose figure it is divided by, the best of them; empty: none
	Most    float64  // if not 0, what it may be at most
	Least   float64  // if not 0, what it has to be at least
	Unit    string   // said behind the figure
}

// A Verdict is what became of a target.
type Verdict struct {
	Target   `json:"-"`
	Words    string  `json:"words"`
	Known    bool    `json:"known"` // false: it, or what it is compared with, was not measured
	Measured float64 `json:"measured"`
	Met      bool    `json:"met"`
}

// Judge looks at the tables. A target of a group that is not among them has no verdict.
func Judge(targets []Target, tables []*Table) []Verdict {
	var verdicts []Verdict
	for _, target := range targets {
		for _, table := range tables {
			if table.Group == target.Group {
				verdicts = append(verdicts, target.judge(table))
			}
		}
	}
	return verdicts
}

func (t Target) judge(table *Table) Verdict {
	v := Verdict{Target: t, Words: t.Words}
	values := table.Values(t.Row, t.Column)
	if len(values) == 0 {
		return v
	}
	v.Measured, v.Known = Median(values), true
	if len(t.Against) > 0 {
		best, known := t.best(table)
		v.Known = known && best > 0
		if !v.Known {
			return v
		}
		v.Measured /= best
	}
	v.Met = (t.Most == 0 || v.Measured <= t.Most) && (t.Least == 0 || v.Measured >= t.Least)
	return v
}

// best is the best of what the figure is compared with: the least where less is better.
func (t Target) best(table *Table) (float64, bool) {
	best, known := 0.0, false
	for _, row := range t.Against {
		values := table.Values(row, t.Column)
		if len(values) == 0 {
			continue
		}
		median := Median(values)
		if !known || t.Least != 0 && median > best || t.Least == 0 && median < best {
			best, known = median, true
		}
	}
	return best, known
}

// WriteVerdicts writes them as a table in Markdown.
func WriteVerdicts(w io.Writer, verdicts []Verdict) {
	fmt.Fprint(w, "### Targets\n\n| target | wanted | measured | |\n|---|---:|---:|---|\n")
	for _, v := range verdicts {
		wanted := "≤ " + v.figure(v.Most)
		if v.Least != 0 {
			wanted = "≥ " + v.figure(v.Least)
		}
		measured, mark := v.figure(v.Measured), "✗"
		switch {
		case !v.Known:
			measured, mark = "not measured", "–"
		case v.Met:
			mark = "✓"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", v.Words, wanted, measured, mark)
	}
	fmt.Fprintln(w)
}

// figure is a share with two digits behind the point, and anything else with one.
func (t Target) figure(value float64) string {
	if len(t.Against) > 0 {
		return Number(value, 2) + " ×"
	}
	return Number(value, 1) + " " + t.Unit
}
