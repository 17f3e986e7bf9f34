package breaker

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestShortWaysAreTheLongOnes draws attempts and their ends, and has them come to two
// circuits: to one as always, and to one that decides about each of them, and draws its
// conclusions from each. At each step both say the same and are the same.
func TestShortWaysAreTheLongOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := &Settings{
			Window: 10 * time.Second, MinCalls: rapid.IntRange(0, 3).Draw(t, "min calls"),
			FailureRatio: 0.5, FailureRun: rapid.IntRange(0, 4).Draw(t, "run"), Consecutive: 3,
			Slow: 3 * time.Second, SlowRatio: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "slow"),
			Overdue: rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "overdue"),
			Open:    2 * time.Second, OpenMax: 8 * time.Second,
			Ramp: rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "ramp"),
		}
		now := time.Now()
		short, long := newCircuit("", rules, now), newCircuit("", rules, now)
		type attempt struct{ short, long permit }
		type success struct{ short, long credit }
		var under []attempt
		var successes []success
		same := func(what string, a, b any) {
			t.Helper()
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%s: %+v, and the long way %+v", what, a, b)
			}
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, 300 * time.Millisecond, 3 * time.Second}).Draw(t, "later"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				changed := *rules // a reload
				changed.Window = rapid.SampledFrom([]time.Duration{5 * time.Second, 10 * time.Second}).Draw(t, "window")
				rules = &changed
			case 1:
				if n := len(successes); n > 0 {
					was := successes[rapid.IntRange(0, n-1).Draw(t, "which")]
					same("revoked", short.revoke(was.short, rules, now), long.revoke(was.long, rules, now))
				}
			case 2, 3, 4, 5:
				replayable := rapid.Bool().Draw(t, "replayable")
				k := kind(rapid.IntRange(0, 1).Draw(t, "kind"))
				a := attempt{permit{kind: k}, permit{kind: k}}
				refused := short.allow(&a.short, rules, replayable, now)
				same("refused", refused, longAllow(long, &a.long, rules, replayable, now))
				same("allowed", told(a.short), told(a.long))
				if refused != nil {
					break
				}
				for c, p := range map[*circuit]*permit{short: &a.short, long: &a.long} {
					p.wait = &wait{circuit: c, patience: p.patience, life: p.life}
					if p.patience > 0 {
						c.sent(p.wait, now)
					}
				}
				under = append(under, a)
			default:
				if len(under) == 0 {
					break
				}
				i := rapid.IntRange(0, len(under)-1).Draw(t, "which")
				a := under[i]
				under = append(under[:i], under[i+1:]...)
				r := result{kind: a.short.kind, ended: now, took: now.Sub(a.short.begun)}
				r.outcome = rapid.SampledFrom([]Outcome{Success, Success, Success, Failure, ConnectFailure, Ignored}).Draw(t, "outcome")
				r.slow = rules.slow(r.took)
				if r.outcome == Failure && rapid.Bool().Draw(t, "hint") {
					r.hint = now.Add(3 * time.Second)
				}
				was, moved := short.settle(&a.short, rules, &r)
				longWas, longMoved := longSettle(long, &a.long, rules, &r)
				same("settled", moved, longMoved)
				if r.outcome == Success {
					same("credit", was, longWas)
					successes = append(successes, success{was, longWas})
				}
			}
			same("circuit", facts(short), facts(long))
			same("snapshot", short.snapshot(now), long.snapshot(now))
		}
	})
}

// longAllow is allow for a circuit that is never calm.
func longAllow(c *circuit, p *permit, rules *Settings, replayable bool, now time.Time) (refused *OpenError) {
	c.rules, c.used = rules, now
	if refused = c.decide(p, replayable, now); refused != nil {
		c.refused++
		return refused
	}
	p.life, p.begun = c.life, now
	if replayable {
		p.patience = c.patience(p.kind, now)
	}
	return nil
}

// longSettle is settle for one that draws its conclusions from each result.
func longSettle(c *circuit, p *permit, rules *Settings, r *result) (credit, []change) {
	c.rules = rules
	p.wait.over = true
	was, m := c.conclude(p, r)
	return was, m.added(nil)
}

// told is what a permit says that can be compared.
func told(p permit) [5]any {
	return [5]any{p.life, p.probe != nil, p.begun, p.moved, p.patience}
}

// facts are what a circuit is that can be compared, but for what it has only added up.
func facts(c *circuit) []any {
	recent := c.recent
	recent.older, recent.asOf = tally{}, 0
	return []any{
		c.state, c.life, c.moved, c.used, recent, c.row.number, append([]time.Time(nil), c.row.dues...), c.failing, c.connect,
		c.since, c.ramp, c.until, c.cause, c.doubt, c.probe.due, c.probe.verdict != nil, c.hint, c.opened, c.first, c.refused, c.before,
	}
}
