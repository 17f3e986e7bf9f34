package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"outrider/bench/machine"
	"outrider/bench/process"
	"outrider/bench/subject"
	"outrider/bench/upstream"
)

// The processors: one for the proxy that is measured, one for load and upstream.
const (
	proxyCore = 0
	ourCore   = 1
)

// A lab is where everything is measured: the programs, the upstream, and what runs.
type lab struct {
	options
	place    subject.Place
	programs map[string]string // subject → path of the program, of those that are there
	running  []*subject.Running
	progress io.Writer
	remove   []string // directories
}

// newLab builds what has to be built, and starts the upstream.
func newLab(ctx context.Context, o options, progress io.Writer) (_ *lab, err error) {
	l := &lab{options: o, progress: progress, programs: map[string]string{}}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := needed(); err != nil {
		return nil, err
	}
	if err := l.build(ctx); err != nil {
		return nil, err
	}
	// Logs and bodies are in memory: no disk is measured.
	dir, err := os.MkdirTemp(shm(), "outrider-bench-")
	if err != nil {
		return nil, err
	}
	l.remove = append(l.remove, dir)
	files, err := machine.OpenFiles()
	if err != nil {
		return nil, err
	}
	l.place = subject.Place{Dir: dir, Core: process.Anywhere, OpenFiles: files, Ports: new(process.Ports)}
	l.place.Held = min(10_000, files/2-250) // a proxy may need two files for each
	if machine.Pinned() {
		l.place.Core = proxyCore
	}
	l.place.Upstream, err = upstream.Start(ctx, dir, l.place.Ports, files)
	return l, err
}

// close ends everything that was started, and removes its files.
func (l *lab) close() {
	l.stop()
	if l.place.Upstream != nil {
		l.place.Upstream.Stop()
	}
	for _, dir := range l.remove {
		_ = os.RemoveAll(dir)
	}
}

// say tells of the progress.
func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.progress, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// needed reports what nothing can be measured without.
func needed() error {
	var missing []error
	for program, line := range map[string]string{"nginx": "apt-get install nginx-light", "wrk": "apt-get install wrk", "h2load": "apt-get install nghttp2-client"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing: %s", program, line))
		}
	}
	return errors.Join(missing...)
}

// build builds the programs that are ours, and Caddy, and finds those that are installed.
func (l *lab) build(ctx context.Context) error {
	bin, err := os.MkdirTemp("", "outrider-bench-bin-")
	if err != nil {
		return err
	}
	l.remove = append(l.remove, bin)
	module, err := os.Getwd()
	if err != nil {
		return err
	}
	own := filepath.Join(bin, "outrider")
	if l.outrider != "" {
		if own, err = filepath.Abs(l.outrider); err != nil {
			return err
		}
	} else if err := subject.BuildOutrider(ctx, filepath.Dir(module), own); err != nil {
		return err
	}
	stock := filepath.Join(bin, "stock")
	if err := subject.BuildStock(ctx, module, stock); err != nil {
		return err
	}
	l.programs[subject.Outrider], l.programs[subject.Stock] = own, stock
	if l.smoke {
		return nil
	}
	l.find(subject.Nginx, "nginx", "nginx-light")
	l.find(subject.HAProxy, "haproxy", "haproxy")
	l.find(subject.Squid, "squid", "squid")
	return l.buildCaddy(ctx)
}

// find looks for a program that is installed, and says how it would be.
func (l *lab) find(name, program, pkg string) {
	path, err := exec.LookPath(program)
	if err != nil {
		l.say("%s is left out: apt-get install %s", name, pkg)
		return
	}
	l.programs[name] = path
}

func (l *lab) buildCaddy(ctx context.Context) error {
	path := filepath.Join(l.cache, "bin", "caddy")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := subject.BuildCaddy(ctx, path); err != nil {
		if ctx.Err() != nil {
			return err
		}
		l.say("Caddy is left out: %v", err)
		return nil
	}
	l.programs[subject.Caddy] = path
	return nil
}

// rivals are the proxies that take calls as Outrider does, as far as they are there and
// take part.
func (l *lab) rivals() []subject.Subject {
	var all []subject.Subject
	for _, kind := range []struct {
		name string
		make func(program string) subject.Subject
	}{{subject.Nginx, subject.NewNginx}, {subject.HAProxy, subject.NewHAProxy}, {subject.Caddy, subject.NewCaddy}, {subject.Stock, subject.NewStock}} {
		if program, there := l.programs[kind.name]; there {
			all = append(all, kind.make(program))
		}
	}
	return all
}

// taking are the subjects among those that take part in this run.
func (l *lab) taking(all []subject.Subject) []subject.Subject {
	if l.subjects == nil {
		return all
	}
	return slices.DeleteFunc(all, func(s subject.Subject) bool { return !slices.Contains(l.subjects, s.Slug()) })
}

// outriderWith is Outrider in one of its configurations.
func (l *lab) outriderWith(with subject.With) subject.Subject {
	return subject.NewOutrider(l.programs[subject.Outrider], with)
}

// start starts subjects, and returns when each has answered. stop ends them.
func (l *lab) start(ctx context.Context, subjects []subject.Subject) error {
	for _, s := range subjects {
		r, err := s.Start(ctx, l.place)
		if err != nil {
			return err
		}
		l.running = append(l.running, r)
	}
	return nil
}

// stop ends the subjects that run.
func (l *lab) stop() {
	for _, r := range l.running {
		r.Stop()
	}
	l.running = nil
}

// shm is a directory in memory, where there is one.
func shm() string {
	if _, err := os.Stat("/dev/shm"); err != nil {
		return ""
	}
	return "/dev/shm"
}

// canPin reports whether proxy and load can have a processor each.
func canPin() bool {
	_, err := exec.LookPath("taskset")
	return err == nil && machine.Cores() > 1
}
