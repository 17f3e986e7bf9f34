package main

import (
	"context"
	"os"
	"time"

	"outrider/bench/report"
	"outrider/bench/subject"
)

const columnStart = "start ms"

// measureStart is the group start.
func measureStart(ctx context.Context, l *lab) ([]*report.Table, error) {
	t := &report.Table{
		Group: "start", Title: "From the start to the first answer of the API", Head: "proxy",
		Columns: []report.Column{{Name: columnStart, Digits: 1}, {Name: "program MB", Digits: 1}},
	}
	for _, s := range l.callers() {
		file, err := os.Stat(s.Program)
		if err != nil {
			return nil, err
		}
		t.Add(s.Name, "program MB", float64(file.Size())/1e6)
		if err := l.alone(ctx, s, func(*subject.Running) error { return nil }); err != nil { // its files are in memory then
			return nil, err
		}
	}
	const starts = 3 // of each round: they are short
	for round := range l.rounds * starts {
		for _, s := range turns(l.callers(), round) {
			start := time.Now()
			err := l.alone(ctx, s, func(*subject.Running) error {
				t.Add(s.Name, columnStart, float64(time.Since(start).Microseconds())/1000)
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	t.Note("The first start is not counted, in which Outrider makes its store. nginx and HAProxy are linked to libraries of the system, the others to none.")
	return []*report.Table{t}, nil
}
