package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"outrider/policy"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// A screen is what top shows: it is built anew from what is known, for each event.
type screen struct {
	paint    paint
	width    int
	height   int
	lost     string // why nothing comes; "": it does
	status   statusView
	calls    []telemetry.Record // the newest first
	selected string             // upstream; "": none
	filter   string
	editing  bool // the filter is being typed
	paused   bool
	unusable string // why the filter is not; ""
}

// The least that the calls get of the height.
const leastCalls = 5

// lines are as many as the screen is high, none of them wider than it.
func (s *screen) lines() []string {
	lines := append([]string{s.heading()}, s.alerts()...)
	lines = append(lines, "")
	upstreams := s.upstreams()
	if room := max(s.height-len(lines)-leastCalls-3, 2); len(upstreams) > room {
		more := len(upstreams) - room + 1
		upstreams = append(upstreams[:room-1:room-1], s.paint.style(styleFaint, fmt.Sprintf("  and %d more, all calmer", more)))
	}
	lines = append(lines, upstreams...)
	lines = append(lines, "", s.callsHeading())
	for i := range s.calls {
		if len(lines) >= s.height-1 {
			break
		}
		lines = append(lines, callLine(s.paint, &s.calls[i]))
	}
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(s.height-1, 0)], s.keys())
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, s.width, "…")
	}
	return lines
}

func (s *screen) heading() string {
	v := s.status
	text := s.paint.style(styleBold, "outrider "+v.Version)
	switch {
	case s.lost != "":
		return text + "  " + s.paint.style(styleBad, s.lost)
	case !v.Ready:
		text += "  " + s.paint.style(styleWarn, "draining")
	}
	active, waiting := 0, 0
	for _, u := range v.Upstreams {
		for _, q := range u.Quotas {
			waiting += q.Waiting
			if q.Bucket == "" { // a call that counts to a bucket is in the quota of its limit, too
				active += q.Active
			}
		}
	}
	text += fmt.Sprintf("  at %s  %s  %d under way  %d waiting", v.Listen[""], count(len(v.Upstreams), "upstream"), active, waiting)
	if v.Outbox != nil {
		text += "  outbox: " + s.outbox(*v.Outbox)
	}
	return text
}

// alerts are the newest, and what else somebody has to do something about.
func (s *screen) alerts() []string {
	const most = 3
	var lines []string
	if r := s.status.Reload; r != nil && r.Error != "" {
		first, _, _ := strings.Cut(r.Error, "\n")
		lines = append(lines, s.paint.style(styleBad, "the last reload was refused: "+printable(first)))
	}
	for _, a := range s.status.Alerts[:min(len(s.status.Alerts), most)] {
		lines = append(lines, s.paint.style(styleBad, fmt.Sprintf("ALERT for %s: ", ago(a.Since)))+printable(a.Title+": "+a.Detail))
	}
	if more := len(s.status.Alerts) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %s: outrider status", count(more, "more alert")))
	}
	return lines
}

// ago is a time that has passed, in whole seconds.
func ago(since time.Time) time.Duration { return time.Since(since).Round(time.Second) }

const upstreamColumns = "  %-14s %8s %7s %8s %8s %8s %6s  %-24s %7s  %s"

// upstreams are a table of them, the busiest first.
func (s *screen) upstreams() []string {
	head := fmt.Sprintf(upstreamColumns, "UPSTREAM", "CALLS/S", "FAILED", "P50", "P95", "P99", "SENT", "QUOTA", "WAITING", "CIRCUIT, CREDENTIAL")
	lines := []string{s.paint.style(styleFaint, head)}
	for _, u := range s.order() {
		lines = append(lines, s.upstream(u))
	}
	return lines
}

// order has those with trouble first, then the busy ones.
func (s *screen) order() []policy.UpstreamStatus {
	list := slices.Clone(s.status.Upstreams)
	slices.SortStableFunc(list, func(a, b policy.UpstreamStatus) int {
		return cmp.Or(cmp.Compare(trouble(b), trouble(a)),
			cmp.Compare(s.status.Traffic[b.Name].Calls, s.status.Traffic[a.Name].Calls), strings.Compare(a.Name, b.Name))
	})
	return list
}

// trouble counts what is not as it should be.
func trouble(u policy.UpstreamStatus) int {
	n := 0
	for _, c := range u.Circuits {
		if c.State != "closed" {
			n++
		}
	}
	for _, c := range u.Credentials {
		if c.Error != "" || c.NotKept != "" {
			n++
		}
	}
	return n
}

func (s *screen) upstream(u policy.UpstreamStatus) string {
	var rate, failed, sent string
	p50, p95, p99 := "", "", ""
	if t, ok := s.status.Traffic[u.Name]; ok && t.Calls > 0 {
		rate = fmt.Sprintf("%.1f", float64(t.Calls)/max(t.Seconds, 1))
		failed = fmt.Sprintf("%.1f %%", 100*float64(t.Failed)/float64(t.Calls))
		sent = fmt.Sprintf("%.2f×", float64(t.Attempts)/float64(t.Calls))
		p50, p95, p99 = roughly(t.P50MS), roughly(t.P95MS), roughly(t.P99MS)
	}
	quota, waiting := s.quota(u)
	line := fmt.Sprintf(upstreamColumns, clipped(u.Name, 14), rate, failed, p50, p95, p99, sent, quota, waiting, s.health(u))
	if u.Name == s.selected {
		return s.paint.style("7", "▸"+line[1:])
	}
	return line
}

// quota is what the most urgent of an upstream says, and how many wait in all.
func (s *screen) quota(u policy.UpstreamStatus) (text, waiting string) {
	var urgent *policy.QuotaStatus
	all := 0
	for i := range u.Quotas {
		q := &u.Quotas[i]
		all += q.Waiting
		if urgent == nil || quotaUrgency(*q) > quotaUrgency(*urgent) {
			urgent = q
		}
	}
	if all > 0 {
		waiting = fmt.Sprint(all)
	}
	switch {
	case urgent == nil:
		return "", waiting
	case urgent.Gate != nil:
		return "closed for " + remaining(*urgent.Gate), waiting
	case urgent.Utilization != nil:
		text = fmt.Sprintf("%3.0f %% used", 100**urgent.Utilization)
		if known := urgent.Learned; known != nil && known.Reset != nil {
			text += ", back in " + remaining(*known.Reset)
		}
	}
	return text, waiting
}

// health tells of circuits and credentials that are not as they should be.
func (s *screen) health(u policy.UpstreamStatus) string {
	var parts []string
	open := 0
	for _, c := range u.Circuits {
		if c.State != "closed" {
			open++
		}
	}
	switch {
	case open == 1 && len(u.Circuits) == 1:
		parts = append(parts, s.paint.style(styleBad, u.Circuits[0].State))
	case open > 0:
		parts = append(parts, s.paint.style(styleBad, fmt.Sprintf("%d of %s open", open, count(len(u.Circuits), "circuit"))))
	}
	for _, c := range u.Credentials {
		if c.Error != "" || c.NotKept != "" {
			parts = append(parts, s.paint.style(styleBad, "credential "+c.Name+": "+c.State))
		}
	}
	if letters := lettersOf(s.status.Outbox, u.Name); letters != nil && letters.Dead > 0 {
		parts = append(parts, s.paint.style(styleBad, count(letters.Dead, "dead letter")))
	}
	return strings.Join(parts, ", ")
}

// outbox is how the outbox stands, in a few words.
func (s *screen) outbox(standing outbox.Standing) string {
	if standing.Away != "" {
		return s.paint.style(styleBad, "away")
	}
	waiting, eta := waitingOf(standing, "")
	text := fmt.Sprintf("%d waiting", waiting)
	if eta > 0 {
		text += ", about " + roughTime(eta)
	}
	if standing.Refusing != "" {
		text += ", " + s.paint.style(styleBad, "letters refused")
	}
	return text
}

func (s *screen) callsHeading() string {
	text := s.paint.style(styleFaint, "CALLS")
	switch {
	case s.editing:
		text += "  filter: " + printable(s.filter) + "▏"
	case s.filter != "":
		text += "  filter: " + printable(s.filter)
	}
	if s.unusable != "" {
		text += "  " + s.paint.style(styleBad, s.unusable)
	}
	if s.paused {
		text += "  " + s.paint.style(styleWarn, "paused")
	}
	return text
}

func (s *screen) keys() string {
	if s.editing {
		return s.paint.style(styleFaint, "Enter: use the filter   Esc: no filter")
	}
	return s.paint.style(styleFaint, "q: quit   ↑ ↓: upstream   Enter: its calls   /: filter   f: failed   p: pause   Esc: all calls")
}

// clipped is text of at most so many characters.
func clipped(text string, most int) string { return ansi.Truncate(text, most, "…") }
