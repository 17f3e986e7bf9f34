package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"outrider/bench/load"
	"outrider/bench/report"
	"outrider/bench/subject"
	"outrider/bench/upstream"
)

const (
	columnDown = "down MiB/s"
	columnUp   = "up MiB/s"
	columnPeak = "peak over idle MiB"
	columnFile = "of files MiB"
)

// measureBulk is the group bulk.
func measureBulk(ctx context.Context, l *lab) ([]*report.Table, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		l.say("bodies are left out: apt-get install curl")
		return nil, nil
	}
	t := &report.Table{
		Group: "bulk", Title: "Bodies of 1 GiB, TLS to the upstream", Head: "proxy",
		Columns: []report.Column{{Name: columnDown}, {Name: "down CPU s", Digits: 2}, {Name: columnUp}, {Name: "up CPU s", Digits: 2}, {Name: columnPeak, Digits: 1}, {Name: columnFile, Digits: 1}, {Name: columnForeign, Digits: 2}},
	}
	defer l.stop()
	if err := l.start(ctx, l.callers()); err != nil {
		return nil, err
	}
	l.settle()
	for _, r := range l.running { // pages of the program that any call needs are no body's
		if _, err := load.Download(ctx, r.Calls+"/"); err != nil {
			return nil, err
		}
		if _, err := load.Upload(ctx, r.Streams+"/up", os.DevNull); err != nil {
			return nil, err
		}
	}
	l.settle()
	idle := map[string]footprint{} // of each subject
	for _, r := range l.running {
		f, err := footprintOf(r)
		if err != nil {
			return nil, err
		}
		idle[r.Name] = f
	}
	for round := range l.rounds {
		for _, r := range turns(slices.Clone(l.running), round) {
			if err := transfer(ctx, l, t, r, idle[r.Name]); err != nil {
				return nil, err
			}
		}
		l.say("round %d of %d", round+1, l.rounds)
	}
	t.Note("By curl, which shares a core with the upstream. Idle is what a proxy took after a first call of either kind, which has no body to speak of. Of files is what of the peak are pages of the program that were not in use then, about.")
	return []*report.Table{t}, nil
}

// A footprint is the memory of a process, in bytes.
type footprint struct{ resident, fileBacked int64 }

func footprintOf(r *subject.Running) (f footprint, err error) {
	if f.resident, err = r.Resident(); err != nil {
		return footprint{}, err
	}
	f.fileBacked, err = r.FileBacked()
	return f, err
}

// A haul is how long a body took, and what the proxy used.
type haul struct{ took, cpu time.Duration }

// transfer moves a body down, and one up.
func transfer(ctx context.Context, l *lab, t *report.Table, r *subject.Running, idle footprint) error {
	if err := r.ResetPeak(); err != nil {
		return err
	}
	for _, way := range []struct {
		column, cpu string
		move        func() (time.Duration, error)
	}{
		{columnDown, "down CPU s", func() (time.Duration, error) { return load.Download(ctx, r.Calls+"/big") }},
		{columnUp, "up CPU s", func() (time.Duration, error) {
			return load.Upload(ctx, r.Streams+"/up", filepath.Join(l.place.Dir, "big"))
		}},
	} {
		h, foreign, err := quietly(ctx, l, func() (haul, error) {
			before, err := r.CPU()
			if err != nil {
				return haul{}, err
			}
			took, err := way.move()
			if err != nil {
				return haul{}, err
			}
			after, err := r.CPU()
			return haul{took, after - before}, err
		})
		if err != nil {
			return err
		}
		t.Add(r.Name, way.column, upstream.Big/mebibyte/h.took.Seconds())
		t.Add(r.Name, way.cpu, h.cpu.Seconds())
		t.Add(r.Name, columnForeign, foreign)
	}
	peak, err := r.Peak()
	if err != nil {
		return err
	}
	t.Add(r.Name, columnPeak, float64(peak-idle.resident)/mebibyte)
	fileBacked, err := r.FileBacked()
	t.Add(r.Name, columnFile, float64(fileBacked-idle.fileBacked)/mebibyte)
	return err
}
