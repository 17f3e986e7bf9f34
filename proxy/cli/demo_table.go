package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"outrider/proxy/telemetry"
)

// report prints the table, what is to be said about it, and one call.
func (p *demoPrinter) report(report demoReport) {
	p.line("")
	p.table(report)
	for _, scene := range report.Scenes {
		plain, through := scene.Sides[0], scene.Sides[1]
		if plain.InOutage != nil {
			p.line("%s: attempts that met the outage: %d of the plain client, %d through Outrider.",
				scene.Name, *plain.InOutage, *through.InOutage)
		}
	}
	if report.Trace != nil {
		p.line("")
		p.trace(report.Trace)
	}
}

// demoColumns are the table's numbers, with their widths.
var demoColumns = []struct {
	title string
	width int
}{{"calls", 5}, {"ok", 4}, {"failed", 6}, {"twice", 5}, {"429s", 4}, {"sent", 4}, {"p50", 7}, {"p95", 7}}

func (p *demoPrinter) table(report demoReport) {
	var head strings.Builder
	fmt.Fprintf(&head, "%-18s", "")
	for _, c := range demoColumns {
		fmt.Fprintf(&head, "  %*s", c.width, c.title)
	}
	p.line("%s", p.style(styleFaint, head.String()))
	for _, scene := range report.Scenes {
		p.line("%s  %s", p.style(styleBold, scene.Name), p.style(styleFaint, scene.About))
		for _, row := range scene.Sides {
			p.line("%s", p.row(row))
		}
	}
	p.line("")
	p.line("%s", p.style(styleFaint, "ok, failed, p50 and p95 (of all calls) as the application saw them; twice (effects"))
	p.line("%s", p.style(styleFaint, "made again), 429s and sent (requests on the wire) as the provider counted them."))
}

func (p *demoPrinter) row(row demoRow) string {
	twice := "–"
	if row.Duplicates != nil {
		twice = fmt.Sprint(*row.Duplicates)
	}
	cells := []string{
		fmt.Sprint(row.Calls), fmt.Sprint(row.Success), fmt.Sprint(row.Failed), twice,
		fmt.Sprint(row.Throttled), fmt.Sprint(row.Attempts), milliseconds(row.P50), milliseconds(row.P95),
	}
	bad := []bool{false, false, row.Failed > 0, row.Duplicates != nil && *row.Duplicates > 0, row.Throttled > 0, false, false, false}
	var b strings.Builder
	fmt.Fprintf(&b, "  %-16s", row.Side)
	for i, c := range demoColumns {
		pad := strings.Repeat(" ", max(0, c.width-utf8.RuneCountInString(cells[i])))
		b.WriteString("  " + pad + p.bad(cells[i], bad[i]))
	}
	return b.String()
}

// milliseconds is a time as a person reads it.
func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// trace prints one call: its attempts and waits in the order of time.
func (p *demoPrinter) trace(r *telemetry.Record) {
	type step struct {
		at   float64
		text string
	}
	var steps []step
	for i, t := range r.Tries {
		text := fmt.Sprintf("attempt %d   ", i+1)
		if t.Error != "" {
			text += t.Error
		} else {
			text += fmt.Sprint(t.Status)
		}
		text += " after " + milliseconds(t.DurationMS)
		if t.Reused {
			text += ", on a connection in use before"
		}
		steps = append(steps, step{t.StartMS, text})
	}
	for _, w := range r.Waits {
		steps = append(steps, step{w.StartMS, fmt.Sprintf("%-9s   %s, because of: %s", w.Kind, milliseconds(w.DurationMS), w.Reason)})
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		if a.at < b.at {
			return -1
		} else if a.at > b.at {
			return 1
		}
		return 0
	})
	p.line("%s", p.style(styleBold, fmt.Sprintf("One of the calls: %s /%s%s", r.Method, r.Upstream, r.Path)))
	p.line("  trace %s, %s", r.TraceID, r.Time.Local().Format(time.TimeOnly))
	for _, s := range steps {
		p.line("  %8.1f ms  %s", s.at, s.text)
	}
	p.line("  %8.1f ms  answer      %d, after %d attempts", r.DurationMS, r.Status, r.Attempts)
}
