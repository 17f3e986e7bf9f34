package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
)

// A growth is what happens to Outrider when there is more and more of something.
type growth struct {
	of      string // what there is more of
	sizes   []int
	columns []report.Column
	note    string
	more    func(l *lab, n int) string // further configuration; nil: none
	measure func(context.Context, *lab, *grown) error
}

// grown is Outrider at one size, and the table that it goes into.
type grown struct {
	*subject.Running
	n     int
	table *report.Table
	base  *int64 // memory at the smallest size, in bytes
}

func (g *grown) add(column string, value float64) {
	g.table.Add(report.Number(float64(g.n), 0), column, value)
}

// Columns that more than one dimension has.
var (
	growthStart  = report.Column{Name: columnStart}
	growthCPU    = report.Column{Name: columnCPU, Digits: 1}
	growthRival  = report.Column{Name: "nginx, " + columnCPU, Digits: 1}
	growthMemory = report.Column{Name: "MiB"}
	growthEach   = report.Column{Name: "KiB each", Digits: 2}
)

// measureGrowth is the group growth.
func measureGrowth(ctx context.Context, l *lab) ([]*report.Table, error) {
	var tables []*report.Table
	for _, g := range []growth{byUpstreams, byRules, byTenants, byCalls, byConnections, byWaiting, byLetters} {
		t := &report.Table{Group: "growth", Title: "Growth: " + g.of, Head: g.of, Columns: g.columns}
		sizes := g.sizes
		if l.smoke {
			sizes = []int{sizes[0], sizes[2]}
		}
		var base int64
		for _, n := range sizes {
			err := g.at(ctx, l, &grown{n: n, table: t, base: &base})
			if err != nil && (l.smoke || ctx.Err() != nil) {
				return nil, fmt.Errorf("%d %s: %w", n, g.of, err)
			}
			if err != nil { // what a machine gives is not the same everywhere
				l.say("%d %s were not possible: %v", n, g.of, err)
				t.Note("%s were not possible here.", report.Number(float64(n), 0))
				break
			}
			l.say("%d %s", n, g.of)
		}
		if g.note != "" {
			t.Note("%s", g.note)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// at measures one size, by an Outrider of its own.
func (g growth) at(ctx context.Context, l *lab, one *grown) error {
	with := subject.With{Name: fmt.Sprintf("%s %s %d", subject.Outrider, g.of, one.n)}
	if g.more != nil {
		with.More = g.more(l, one.n)
	}
	start := time.Now()
	return l.alone(ctx, l.outriderWith(with), func(r *subject.Running) error {
		one.Running = r
		if slices.Contains(g.columns, growthStart) {
			one.add(columnStart, microseconds(time.Since(start))/1000)
		}
		return g.measure(ctx, l, one)
	})
}

// several is from how many on a figure is divided by their number: before, what is only
// once would be most of it.
const several = 100

// share adds a figure divided by the number.
func (g *grown) share(column string, value float64) {
	if g.n >= several {
		g.add(column, value/float64(g.n))
	}
}

// weigh adds the memory, and what of it is each one's beyond the smallest size.
func (g *grown) weigh(l *lab) error {
	l.settle()
	resident, err := g.Resident()
	if err != nil {
		return err
	}
	g.add(growthMemory.Name, float64(resident)/mebibyte)
	if *g.base == 0 {
		*g.base = resident
		return nil
	}
	g.share(growthEach.Name, float64(resident-*g.base)/1024)
	return nil
}

// call adds the processor time of calls, of as many clients as elsewhere unless it says so.
func (g *grown) call(ctx context.Context, l *lab, of load.Closed) error {
	of.Clients, of.Duration = cmp.Or(of.Clients, clients), time.Second
	if of.Script != "" { // each of them has its first call, which opens a connection
		of.Duration += time.Duration(g.n) * time.Millisecond
	}
	c, err := l.cost(ctx, g.Running, of)
	if err == nil {
		g.add(columnCPU, c.microseconds())
	}
	return err
}

// cost is that of calls, after others for as long as of says.
func (l *lab) cost(ctx context.Context, r *subject.Running, of load.Closed) (cost, error) {
	of.Duration = cmp.Or(of.Duration, time.Second)
	if _, err := closed(ctx, r, of); err != nil { // to warm up
		return cost{}, err
	}
	of.Duration = l.sample
	c, _, err := quietly(ctx, l, func() (cost, error) { return closed(ctx, r, of) })
	return c, err
}
