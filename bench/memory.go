package main

import (
	"context"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

// settling is how long a proxy has to give back what it needs no longer.
const settling = 1500 * time.Millisecond

const (
	columnIdle    = "idle MiB"
	columnPerConn = "KiB/connection"

	mebibyte = 1 << 20
)

// measureMemory is the group memory.
func measureMemory(ctx context.Context, l *lab) ([]*report.Table, error) {
	many := l.place.Held
	if l.smoke {
		many = 1100
	}
	t := &report.Table{
		Group: "memory", Title: "Memory", Head: "proxy",
		Columns: []report.Column{{Name: columnIdle, Digits: 1}, {Name: "after load", Digits: 1}, {Name: "1,000 connections", Digits: 1}, {Name: "all connections", Digits: 1}, {Name: columnPerConn, Digits: 1}},
	}
	for round := range l.rounds {
		for _, s := range turns(l.callers(), round) {
			if err := l.alone(ctx, s, func(r *subject.Running) error { return weigh(ctx, l, t, r, many) }); err != nil {
				return nil, err
			}
		}
		l.say("round %d of %d", round+1, l.rounds)
	}
	t.Note("Resident memory in MiB, all processes of a proxy together. All connections are %d, by keep-alive, idle after one call each.", many)
	return []*report.Table{t}, nil
}

// alone has only s run while do does.
func (l *lab) alone(ctx context.Context, s subject.Subject, do func(*subject.Running) error) error {
	defer l.stop()
	if err := l.start(ctx, []subject.Subject{s}); err != nil {
		return err
	}
	return do(l.running[0])
}

// weigh measures one proxy.
func weigh(ctx context.Context, l *lab, t *report.Table, r *subject.Running, many int) error {
	if _, err := l.weight(t, r, columnIdle); err != nil {
		return err
	}
	if _, err := closed(ctx, r, load.Closed{URL: r.Calls, Clients: clients, Duration: l.sample}); err != nil {
		return err
	}
	if _, err := l.weight(t, r, "after load"); err != nil {
		return err
	}
	address := hostOf(r.Calls)
	var weights []float64
	for _, of := range []struct {
		count  int
		column string
	}{{1000, "1,000 connections"}, {many, "all connections"}} {
		held, err := load.Hold(ctx, address, of.count)
		if err != nil {
			return err
		}
		weight, err := l.weight(t, r, of.column)
		held.Release()
		if err != nil {
			return err
		}
		weights = append(weights, weight)
	}
	t.Add(r.Name, columnPerConn, (weights[1]-weights[0])*1024/float64(many-1000))
	return nil
}

// weight adds what r weighs, in MiB, when it has settled.
func (l *lab) weight(t *report.Table, r *subject.Running, column string) (float64, error) {
	l.settle()
	resident, err := r.Resident()
	weight := float64(resident) / mebibyte
	t.Add(r.Name, column, weight)
	return weight, err
}

func (l *lab) settle() {
	if !l.smoke {
		time.Sleep(settling)
	}
}
