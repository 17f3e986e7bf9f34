package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

// Columns that more than one table has.
const (
	columnCPU     = "CPU µs/call"
	columnForeign = "foreign cores"
)

// clients is how many send calls at a time: enough to keep a core busy.
const clients = 32

// callers are the subjects that take calls: the others, and Outrider in three ways.
func (l *lab) callers() []subject.Subject {
	all := append(l.rivals(), l.outriderWith(subject.With{}))
	if l.smoke {
		return l.taking(all)
	}
	return l.taking(append(all,
		l.outriderWith(subject.With{Name: subject.OutriderUnsampled, Sample: "0.0"}),
		l.outriderWith(subject.With{Name: subject.OutriderBare, Bare: true}),
	))
}

// turns is the order of a round: A B C, and in the next one C B A, so that a machine that
// slows down does so for everybody.
func turns[T any](all []T, round int) []T {
	all = slices.Clone(all)
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// A cost is what a sample of a closed load found.
type cost struct {
	calls load.Calls
	cpu   time.Duration // of the proxy
}

func (c cost) microseconds() float64 {
	return float64(c.cpu.Nanoseconds()) / 1000 / float64(c.calls.Answered)
}

// closed has r take as many calls as it can.
func closed(ctx context.Context, r *subject.Running, of load.Closed) (cost, error) {
	before, err := r.CPU()
	if err != nil {
		return cost{}, err
	}
	calls, err := of.Run(ctx)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	after, err := r.CPU()
	return cost{calls, after - before}, err
}

// measureCPU is the group cpu.
func measureCPU(ctx context.Context, l *lab) ([]*report.Table, error) {
	t := &report.Table{
		Group: "cpu", Title: "Processor time of a call, 32 clients, TLS to the upstream", Head: "proxy",
		Columns: []report.Column{{Name: columnCPU, Digits: 1}, {Name: "calls/s"}, {Name: "spans/call", Digits: 2}, {Name: columnForeign, Digits: 2}},
	}
	defer l.stop()
	if err := l.start(ctx, l.callers()); err != nil {
		return nil, err
	}
	all := slices.Clone(l.running)
	sent := map[string]int{} // subject → calls
	for round := range l.rounds {
		for _, r := range turns(all, round) {
			of := load.Closed{URL: r.Calls, Clients: clients, Duration: l.sample}
			if round == 0 {
				warm, err := closed(ctx, r, load.Closed{URL: r.Calls, Clients: clients, Duration: time.Second})
				if err != nil {
					return nil, err
				}
				sent[r.Name] += warm.calls.Answered + 1 // and the one that Start sent
			}
			c, foreign, err := quietly(ctx, l, func() (cost, error) {
				c, err := closed(ctx, r, of)
				sent[r.Name] += c.calls.Answered
				return c, err
			})
			if err != nil {
				return nil, err
			}
			l.say("round %d: %s: %.1f µs", round+1, r.Name, c.microseconds())
			t.Add(r.Name, columnCPU, c.microseconds())
			t.Add(r.Name, "calls/s", c.calls.Rate)
			t.Add(r.Name, columnForeign, foreign)
		}
	}
	l.stop() // with its last spans
	for _, r := range all {
		t.Add(r.Name, "spans/call", float64(r.Spans(l.place))/float64(sent[r.Name]))
	}
	t.Note("The processor time is that of the proxy's process. nginx and HAProxy have a limit of calls, a log and retries, and no spans; Caddy has a log, retries and one span, and no limit. Calls a second are what one core gave, unless load and upstream, which share the other one, gave out first.")
	return []*report.Table{t}, nil
}
