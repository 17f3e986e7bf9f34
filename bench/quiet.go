package main

import (
	"context"
	"os"
	"time"

	"outrider/bench/machine"
	"outrider/bench/report"
)

const (
	// loud is how many processors others may have used while a sample was taken, before it
	// is taken again.
	loud = 0.15
	// tries is how often it is, at most. The quietest counts.
	tries = 3
)

// quietly takes a sample, while nobody else works as far as that can be had, and says how
// many processors others used.
func quietly[T any](ctx context.Context, l *lab, take func() (T, error)) (T, float64, error) {
	var best T
	var least float64
	for try := range tries {
		before, err := l.others()
		if err != nil {
			return best, 0, err
		}
		start := time.Now()
		sample, err := take()
		if err != nil {
			return best, 0, err
		}
		took := time.Since(start)
		after, err := l.others()
		if err != nil {
			return best, 0, err
		}
		used := max(0, (after-before).Seconds()/took.Seconds())
		if try == 0 || used < least {
			best, least = sample, used
		}
		if least <= loud || l.smoke {
			break
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return best, least, ctx.Err()
		}
	}
	return best, least, nil
}

// others is the processor time that was used by what is not part of this run, up to now.
func (l *lab) others() (time.Duration, error) {
	busy, err := machine.Busy()
	if err != nil {
		return 0, err
	}
	own, err := machine.CPU(os.Getpid())
	if err != nil {
		return 0, err
	}
	ended, err := machine.Ended()
	if err != nil {
		return 0, err
	}
	api, err := l.place.Upstream.CPU()
	if err != nil {
		return 0, err
	}
	busy -= own + ended + api
	for _, r := range l.running {
		used, err := r.CPU()
		if err != nil {
			return 0, err
		}
		busy -= used
	}
	return busy, nil
}

// tellNoise adds a note where others worked all the time: such a table is not to be quoted.
func tellNoise(t *report.Table) {
	for _, row := range t.Rows {
		if used := row.Values[columnForeign]; len(used) > 0 && report.Median(used) > loud {
			t.Note("**The machine was not quiet**: other programs used %s cores while %s was measured. Times and calls a second say little, and processor time says more.", report.Number(report.Median(used), 2), row.Name)
			return
		}
	}
}
