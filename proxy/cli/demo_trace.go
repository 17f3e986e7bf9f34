package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"outrider/proxy/telemetry"
)

// trace prints one call: its attempts and waits, in the order of time.
func (p *demoPrinter) trace(r *telemetry.Record) {
	type step struct {
		at         float64
		name, text string
	}
	var steps []step
	for i, t := range r.Tries {
		end := fmt.Sprint(t.Status)
		if t.Error != "" {
			end = plainWords(t.Error)
		}
		text := end + " after " + milliseconds(t.DurationMS)
		if t.Reused {
			text += ", reused connection"
		}
		steps = append(steps, step{t.StartMS, fmt.Sprintf("attempt %d", i+1), text})
	}
	for _, w := range r.Waits {
		steps = append(steps, step{w.StartMS, w.Kind, milliseconds(w.DurationMS) + ", " + plainWords(w.Reason)})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	steps = append(steps, step{r.DurationMS, "answer", fmt.Sprintf("%d, after %d attempts", r.Status, r.Attempts)})

	p.line("%s", p.style(styleBold, fmt.Sprintf("One of the calls: %s /%s%s", r.Method, r.Upstream, r.Path)))
	p.line("  trace %s, at %s", r.TraceID, r.Time.Local().Format(time.TimeOnly))
	for _, s := range steps {
		p.line("  %7.1f ms  %-10s  %s", s.at, s.name, s.text)
	}
}

// plainWords makes words of a name: connection_reset.
func plainWords(name string) string { return strings.ReplaceAll(name, "_", " ") }
