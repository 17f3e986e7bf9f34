package main

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

const (
	columnAddedP50 = "added p50 µs"
	columnAddedP99 = "added p99 µs"
	columnOverP50  = "over plain p50 µs"
	columnOverP99  = "over plain p99 µs"

	direct = "direct"              // the row without a proxy
	plain  = "direct, without TLS" // the row of what every proxy goes beyond
	rate   = 1000                  // calls a second
	parts  = 4                     // of a sample, by turns: a machine is slow for seconds
)

// A path is a way to the API: through a proxy, or none.
type path struct {
	name string
	url  string
	by   *subject.Running // nil: none
}

// paced is what a sample at a fixed rate found.
type paced struct {
	durations []time.Duration
	cpu       time.Duration // of the proxy
	foreign   float64       // processors that others used
}

// and is both of two samples.
func (p paced) and(other paced) paced {
	return paced{append(p.durations, other.durations...), p.cpu + other.cpu, p.foreign + other.foreign}
}

func (p path) sample(ctx context.Context, of load.Paced) (paced, error) {
	var before, after time.Duration
	var err error
	if p.by != nil {
		if before, err = p.by.CPU(); err != nil {
			return paced{}, err
		}
	}
	durations, err := of.Run(ctx)
	if err != nil {
		return paced{}, err
	}
	if p.by != nil {
		after, err = p.by.CPU()
	}
	return paced{durations: durations, cpu: after - before}, err
}

// measureLatency is the group latency.
func measureLatency(ctx context.Context, l *lab) ([]*report.Table, error) {
	t := &report.Table{
		Group: "latency", Title: "What a proxy adds to a call, at 1,000 calls a second", Head: "proxy",
		Columns: []report.Column{{Name: "p50 µs"}, {Name: "p99 µs"}, {Name: columnAddedP50}, {Name: columnAddedP99}, {Name: columnOverP50}, {Name: columnOverP99}, {Name: columnCPU, Digits: 1}, {Name: columnForeign, Digits: 2}},
	}
	defer l.stop()
	if err := l.start(ctx, l.callers()); err != nil {
		return nil, err
	}
	paths := []path{{name: plain, url: l.place.Upstream.Plain}, {name: direct, url: l.place.Upstream.API}}
	for _, r := range l.running {
		paths = append(paths, path{r.Name, r.Calls, r})
	}
	of := load.Paced{Clients: 4, Rate: rate, Calls: rate * int(l.sample.Seconds()) / parts, Log: filepath.Join(l.place.Dir, "h2load.log")}
	if l.smoke {
		of.Calls = 200
	}
	for _, p := range paths {
		of.URL = p.url
		if _, err := p.sample(ctx, of); err != nil {
			return nil, err
		}
	}
	for round := range l.rounds {
		found := map[string]paced{}
		for part := range parts {
			for _, p := range turns(paths, round+part) {
				of.URL = p.url
				s, foreign, err := quietly(ctx, l, func() (paced, error) { return p.sample(ctx, of) })
				if err != nil {
					return nil, err
				}
				s.foreign = foreign / parts
				found[p.name] = found[p.name].and(s)
			}
		}
		for _, p := range paths {
			s := found[p.name]
			slices.Sort(s.durations)
			t.Add(p.name, "p50 µs", microseconds(report.Percentile(s.durations, 0.5)))
			t.Add(p.name, "p99 µs", microseconds(report.Percentile(s.durations, 0.99)))
			t.Add(p.name, columnForeign, s.foreign)
			if p.by != nil {
				t.Add(p.name, columnCPU, microseconds(s.cpu)/float64(len(s.durations)))
			}
		}
		l.say("round %d of %d", round+1, l.rounds)
	}
	for _, p := range paths[2:] {
		addAdded(t, p.name)
	}
	t.Note("Added is the difference to the direct call, by TLS on a connection that is kept, of the same round. Over plain is that to the call of the API without TLS: client and proxy speak without it, and what the proxy does is TLS, too. The targets are shares of this one.")
	return []*report.Table{t}, nil
}

// addAdded fills the columns of what was added, round by round.
func addAdded(t *report.Table, name string) {
	for _, c := range []struct{ from, to, base string }{
		{"p50 µs", columnAddedP50, direct}, {"p99 µs", columnAddedP99, direct},
		{"p50 µs", columnOverP50, plain}, {"p99 µs", columnOverP99, plain},
	} {
		base := t.Values(c.base, c.from)
		for round, value := range slices.Clone(t.Values(name, c.from)) {
			t.Add(name, c.to, value-base[round])
		}
	}
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
