package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// A demoReport is the result of a demo, as --json prints it.
type demoReport struct {
	Scenes []demoSceneReport `json:"scenes"`
	Held   bool              `json:"held"`            // every promise of every scene
	Alerts []alert.Alert     `json:"alerts"`          // what Outrider told of meanwhile
	Trace  *telemetry.Record `json:"trace,omitempty"` // one call through Outrider, with its attempts and waits
	Page   string            `json:"page"`
}

// A demoSceneReport is the result of one scene. A promise that was broken is
// named in full.
type demoSceneReport struct {
	Name   string    `json:"name"`
	About  string    `json:"about"`
	Note   string    `json:"note,omitempty"`
	Sides  []demoRow `json:"sides"`
	Broken []string  `json:"broken,omitempty"`
}

// A demoRow is one side of a scene. What the application saw comes first, then
// what the provider counted.
type demoRow struct {
	Side    string  `json:"side"`
	Calls   int     `json:"calls"`
	Success int     `json:"success"`
	Failed  int     `json:"failed"`
	P50     float64 `json:"p50_ms"` // of all calls, those that failed included
	P95     float64 `json:"p95_ms"`

	FailedP50 *float64 `json:"failed_p50_ms,omitempty"` // of the calls that failed; nil: none did
	Recovered *float64 `json:"recovered_ms,omitempty"`  // from the outage's end to the next success; nil: a scene without one

	Attempts   int64  `json:"attempts"`                // requests on the wire
	Throttled  int64  `json:"throttled"`               // of these, answered 429
	Denied     int64  `json:"denied"`                  // of these, answered 401
	Duplicates *int64 `json:"duplicates,omitempty"`    // effects beyond the first of a call; nil: a scene without effects
	InOutage   *int64 `json:"during_outage,omitempty"` // attempts that met the outage; nil: a scene without one
}

func newDemoReport(stage *demoStage, results []demoResult) demoReport {
	report := demoReport{Held: true, Alerts: stage.sidecar.alarms.Active(), Page: "http://" + stage.sidecar.adminAt + "/"}
	slices.Reverse(report.Alerts) // in the order in which they were told
	for _, r := range results {
		scene := demoSceneReport{Name: r.scene.name, About: r.scene.about, Note: r.scene.note}
		scene.Broken = append(r.broken(), r.scene.untold(report.Alerts)...)
		for i, side := range stage.sides {
			scene.Sides = append(scene.Sides, r.row(i, side.name))
		}
		report.Held = report.Held && len(scene.Broken) == 0
		report.Scenes = append(report.Scenes, scene)
	}
	report.Trace = telling(results)
	return report
}

// row sums up one side.
func (r *demoResult) row(side int, name string) demoRow {
	row := demoRow{Side: name, Calls: len(r.outcomes[side])}
	var took, failed []time.Duration
	for _, o := range r.outcomes[side] {
		took = append(took, o.took)
		if o.ok {
			row.Success++
		} else {
			row.Failed++
			failed = append(failed, o.took)
		}
	}
	row.P50, row.P95 = percentile(took, 50), percentile(took, 95)
	if len(failed) > 0 {
		p50 := percentile(failed, 50)
		row.FailedP50 = &p50
	}

	stats := r.stats[side]
	row.Attempts = stats.Paths[r.scene.path]
	row.Throttled, row.Denied = stats.Statuses["429"], stats.Statuses["401"]
	if r.scene.charges {
		row.Duplicates = &stats.Duplicates
	}
	if r.scene.outage != "" {
		met := stats.Statuses[r.scene.outage]
		row.InOutage, row.Recovered = &met, r.recovered(side)
	}
	return row
}

// recovered is how long after the outage, in milliseconds, the application had
// an answer again; nil if it never had.
func (r *demoResult) recovered(side int) *float64 {
	first := time.Duration(-1)
	for _, o := range r.outcomes[side] {
		if after := o.begun + o.took - r.scene.over; o.ok && after >= 0 && (first < 0 || after < first) {
			first = after
		}
	}
	if first < 0 {
		return nil
	}
	ms := inMilliseconds(first)
	return &ms
}

// percentile is the nearest rank, in milliseconds. It sorts.
func percentile(took []time.Duration, p int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	rank := (p*len(took) + 99) / 100
	return inMilliseconds(took[max(rank, 1)-1])
}

func inMilliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// broken says which promises did not hold through Outrider: no effect twice, and
// no call failed, but for an outage that nobody announced. There it asks less
// often than the plain client, and no call fails once the provider is back.
func (r *demoResult) broken() []string {
	var broken []string
	row := r.row(1, "")
	if row.Duplicates != nil && *row.Duplicates > 0 {
		broken = append(broken, r.scene.name+": "+counted(*row.Duplicates, "duplicate"))
	}
	if once := r.stats[1].Effects - r.stats[1].Duplicates; row.Duplicates != nil && once < int64(row.Success) {
		broken = append(broken, r.scene.name+": "+counted(int64(row.Success)-once, "call")+" succeeded without effect")
	}
	if reused := r.stats[1].Tokens.Reused; reused > 0 {
		broken = append(broken, r.scene.name+": "+counted(reused, "spent refresh token")+" shown again")
	}
	if r.scene.calm == 0 {
		if row.Failed > 0 {
			broken = append(broken, r.scene.name+": "+counted(int64(row.Failed), "call")+" failed")
		}
		return broken
	}
	var late int64
	for _, o := range r.outcomes[1] {
		if o.begun >= r.scene.calm && !o.ok {
			late++
		}
	}
	if late > 0 {
		broken = append(broken, r.scene.name+": "+counted(late, "call")+" failed after the provider had recovered")
	}
	if plain := r.row(0, ""); *row.InOutage >= *plain.InOutage {
		broken = append(broken, fmt.Sprintf("%s: %d attempts during the outage, and %d without Outrider",
			r.scene.name, *row.InOutage, *plain.InOutage))
	}
	return broken
}

// untold says which alerts there should have been and were not, and the other way round.
func (scene demoScene) untold(alerts []alert.Alert) []string {
	var broken []string
	told := false
	for _, a := range alerts {
		switch upstream, _, _ := strings.Cut(a.Subject, "/"); {
		case upstream != scene.name:
		case a.Rule == scene.alert && !told:
			told = true
		default:
			broken = append(broken, fmt.Sprintf("%s: alert %s of nothing: %s", scene.name, a.Rule, a.Title))
		}
	}
	if scene.alert != "" && !told {
		broken = append(broken, scene.name+": no alert "+scene.alert)
	}
	return broken
}

// telling picks the call that shows most: one that succeeded with several
// attempts, and of these the one with the most. Charges go before others.
func telling(results []demoResult) *telemetry.Record {
	var best *telemetry.Record
	most := 0
	for _, r := range results {
		if r.scene.kept {
			continue // its calls end before they are sent
		}
		for _, record := range r.records {
			score := 10*record.Attempts + len(record.Waits)
			if record.Status/100 != 2 || record.Attempts < 2 {
				continue
			}
			if r.scene.charges {
				score += 1000
			}
			if score > most {
				best, most = &record, score
			}
		}
	}
	return best
}

// counted is a number with its noun.
func counted(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(n, 10) + " " + noun
}
