package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"outrider/proxy/alert"
)

// report prints the table, what is to be said about it, and one call.
func (p *demoPrinter) report(report demoReport) {
	p.line("")
	p.table(report)
	p.line("")
	for _, scene := range report.Scenes {
		p.note(scene)
	}
	if report.Held {
		p.line("")
		p.line("%s", p.style(styleGood, "Held: nothing was made twice, and no call failed but in the outage."))
	}
	if len(report.Alerts) > 0 {
		p.line("")
		p.alerts(report.Alerts)
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
	p.line("%s", p.style(styleFaint, "ok, failed, p50, p95 (of all calls): as the application saw it; twice (effects"))
	p.line("%s", p.style(styleFaint, "made again), 429s, sent (requests on the wire): as the provider counted it."))
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
	if ms < 9.95 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// note says of a scene what the table has no column for.
func (p *demoPrinter) note(scene demoSceneReport) {
	plain, through := scene.Sides[0], scene.Sides[1]
	indent := scene.Name
	say := func(format string, args ...any) {
		p.line("%-12s %s", indent, fmt.Sprintf(format, args...))
		indent = ""
	}
	if plain.InOutage != nil {
		say("%d requests of the plain client met it, %d through Outrider.", *plain.InOutage, *through.InOutage)
		say("Answers came again after %s, and %s through Outrider.", maybe(plain.Recovered), maybe(through.Recovered))
	}
	if plain.FailedP50 != nil && through.FailedP50 != nil {
		say("A failed call took %s, and %s through Outrider (medians).", maybe(plain.FailedP50), maybe(through.FailedP50))
	}
	if plain.InOutage != nil && through.Failed > plain.Failed {
		say("More calls failed through Outrider, whose circuit says so at once;")
		say("the plain client goes on asking until somebody answers.")
	}
	if scene.Note != "" {
		say("%s", scene.Note)
	}
	if plain.Denied+through.Denied > 0 {
		say("401 for %d requests of the plain client, for %d through Outrider.", plain.Denied, through.Denied)
	}
}

// alerts prints what Outrider told of, each with what to do.
func (p *demoPrinter) alerts(alerts []alert.Alert) {
	p.line("%s", p.style(styleBold, "What Outrider told of: on its page, in its log, and whom you name."))
	for _, a := range alerts {
		p.line("  %s  %s, trace %s", p.style(styleBad, a.Title), count(a.Calls, "call"), a.Trace)
		for _, line := range wrapped(a.Action, demoWidth-4) {
			p.line("    %s", line)
		}
	}
}

// wrapped breaks text into lines of so many characters.
func wrapped(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// maybe is a time that there may not be.
func maybe(ms *float64) string {
	if ms == nil {
		return "never"
	}
	return milliseconds(*ms)
}
