package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"
)

// An outcomeOutage is what became of the calls of all seeds.
type outcomeOutage struct {
	calls, good       int
	offered, attempts int             // during the outage
	peak              float64         // requests in the busiest second after it, as a multiple of what is offered; of the worst seed
	recovered         time.Duration   // after it, until of each second's calls 99 % are good; of the worst seed
	took              []time.Duration // of each call until its answer, a good one or not
	keyed, plain      int64           // charges beyond the first of a call, with and without a key
}

func (o *outcomeOutage) add(other outcomeOutage) {
	o.calls += other.calls
	o.good += other.good
	o.offered += other.offered
	o.attempts += other.attempts
	o.peak = max(o.peak, other.peak)
	o.recovered = max(o.recovered, other.recovered)
	o.took = append(o.took, other.took...)
	o.keyed += other.keyed
	o.plain += other.plain
}

// during counts calls and attempts while the provider is down.
func (o *outcomeOutage) during(arrivals []arrivalOutage, arrived []time.Duration) {
	down := func(at time.Duration) bool { return at >= beginsOutage && at < beginsOutage+lastsOutage }
	for _, a := range arrivals {
		if down(a.at) {
			o.offered++
		}
	}
	for _, at := range arrived {
		if down(at) {
			o.attempts++
		}
	}
}

// after finds out how it goes on, second by second.
func (o *outcomeOutage) after(arrivals []arrivalOutage, arrived []time.Duration, good []bool) {
	const ends = beginsOutage + lastsOutage
	var attempts, calls, succeeded [int(afterOutage / time.Second)]int
	for _, at := range arrived {
		if second := int((at - ends) / time.Second); at >= ends && second < len(attempts) {
			attempts[second]++
		}
	}
	o.peak = float64(slices.Max(attempts[:])) / offeredOutage
	for i, a := range arrivals {
		if good[i] {
			o.good++
		}
		if a.at < ends {
			continue
		}
		second := int((a.at - ends) / time.Second)
		calls[second]++
		if good[i] {
			succeeded[second]++
		}
	}
	for second := range calls {
		if float64(succeeded[second]) < 0.99*float64(calls[second]) {
			o.recovered = time.Duration(second+1) * time.Second
		}
	}
}

func (o *outcomeOutage) amplification() float64 { return float64(o.attempts) / float64(o.offered) }

func (o *outcomeOutage) goodput() float64 { return float64(o.good) / float64(o.calls) }

// quantile is of all calls. took has to be in order.
func (o *outcomeOutage) quantile(q float64) time.Duration {
	return o.took[int(math.Ceil(q*float64(len(o.took))))-1]
}

// bearableOutage is how many requests may reach the provider for each call while it is
// down.
func bearableOutage(s strategyOutage) float64 {
	if s.name == closedOutage.name {
		return 1.12
	}
	return 0.15
}

// lateOutage is how long after an outage the circuit may keep calls back: until the next
// probe, open_max, and over the ramp; where the provider hangs, a probe that was sent
// before its end is overdue first. Without a circuit nothing is kept back.
func lateOutage(shape string, s strategyOutage) time.Duration {
	const openMax, ramp = 10 * time.Second, 10 * time.Second
	switch {
	case s.name == closedOutage.name:
		return 0
	case shape != "hang":
		return openMax + ramp
	case s.name == quickOutage.name:
		return 1250*time.Millisecond + openMax + ramp
	}
	return 5*time.Second + openMax + ramp
}

// Whatever becomes of the figures, this has to stay: an outage is not answered with a
// multiple of the load, there is no rush when it is over, and nothing is done twice. And
// what the circuit spares the provider does not go on for long when it is back.
func TestAnOutageIsNotMadeWorse(t *testing.T) {
	for _, shape := range shapesOutage {
		for _, s := range []strategyOutage{closedOutage, defaultOutage, quickOutage} {
			t.Run(shape+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				o := playOutage(t, shape, s, seedsOutage[:1])
				if got, most := o.amplification(), bearableOutage(s); got > most {
					t.Errorf("%.3f requests for each call while it is down, want at most %.2f", got, most)
				}
				if most := lateOutage(shape, s); o.recovered > most {
					t.Errorf("all is well again after %v, want %v at most", o.recovered, most)
				}
				if o.peak > 1.3 {
					t.Errorf("a second after it has %.2f times the load, want at most 1.3", o.peak)
				}
				if o.keyed+o.plain > 0 {
					t.Errorf("%d charges under a key and %d without are made twice", o.keyed, o.plain)
				}
			})
		}
	}
}

// The scene is one in which a client can do harm: else it would prove nothing.
func TestAnOutageIsMadeWorseByALoop(t *testing.T) {
	o := playOutage(t, "503", naiveOutage, seedsOutage[:1])
	if o.amplification() < 3 || o.peak < 3 || o.plain == 0 {
		t.Errorf("%.2f requests for each call, %.2f times the load afterwards, %d charges made twice: that is too good", o.amplification(), o.peak, o.plain)
	}
}

// tableOutage prints one line for each shape and strategy.
func tableOutage(t *testing.T, out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "down for 60s, by\tstrategy\tattempts/offered\tpeak after\t99 % again\tgood\ttwice, keyed\tplain\tp50\tp95")
	for _, shape := range shapesOutage {
		for _, s := range strategiesOutage {
			o := playOutage(t, shape, s, seedsOutage)
			fmt.Fprintf(table, "%s\t%s\t%.2f\t%.2f\t%.0fs\t%.1f %%\t%d\t%d\t%.2fs\t%.2fs\n", shape, s.name,
				o.amplification(), o.peak, o.recovered.Seconds(), 100*o.goodput(), o.keyed, o.plain, o.quantile(0.5).Seconds(), o.quantile(0.95).Seconds())
		}
	}
}

// BenchmarkOutage prints the table: see printed.
func BenchmarkOutage(b *testing.B) { printed(b, "TestPrintOutage") }

// TestPrintOutage is no test: it is the table of BenchmarkOutage.
func TestPrintOutage(t *testing.T) {
	if os.Getenv("OUTRIDER_TEST_PRINT") == "" {
		return
	}
	tableOutage(t, os.Stdout)
}
