// Bench measures Outrider beside other proxies, on the machine that it runs on, and prints
// tables in Markdown. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"outrider/bench/machine"
	"outrider/bench/report"
	"outrider/bench/subject"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if !machine.Pinned() && canPin() {
		return machine.Pin(ourCore)
	}
	l, err := newLab(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer l.close()
	head := heading(ctx)
	fmt.Fprintln(stdout, head)
	var tables []*report.Table
	var failed error
	for _, g := range o.groups {
		l.say("%s: %s", g.name, g.what)
		measured, err := g.run(ctx, l)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others are worth having all the same
			failed = errors.Join(failed, fmt.Errorf("measuring %s: %w", g.name, err))
			l.say("%s failed: %v", g.name, err)
			continue
		}
		for _, table := range measured {
			table.Write(stdout)
		}
		tables = append(tables, measured...)
	}
	var verdicts []report.Verdict
	if !o.smoke { // figures of so short a run say nothing
		verdicts = report.Judge(targets, tables)
	}
	if len(verdicts) > 0 {
		report.WriteVerdicts(stdout, verdicts)
	}
	return errors.Join(failed, writeJSON(o.json, head, tables, verdicts))
}

// writeJSON writes everything that was measured, every round of it.
func writeJSON(path, head string, tables []*report.Table, verdicts []report.Verdict) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{"head": head, "tables": tables, "targets": verdicts}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// Options are what the command line says.
type options struct {
	groups   []group
	subjects []string      // names of those that take part; nil: all
	outrider string        // path of a binary to measure in place of the repository's
	cache    string        // directory where Caddy is kept
	json     string        // path of a file for all figures; empty: none
	rounds   int           // how often each is measured
	sample   time.Duration // how long a sample takes
	smoke    bool          // only that everything works
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "groups to measure, separated by commas: "+strings.Join(groupNames(), ", ")+" (default: all)")
	with := flags.String("with", "", "what takes part where Outrider is not alone, separated by commas: "+strings.Join(subjectNames(), ", ")+" (default: all)")
	flags.StringVar(&o.outrider, "outrider", "", "path of an Outrider to measure (default: that of the repository, built)")
	flags.StringVar(&o.cache, "cache", defaultCache(), "directory where Caddy is kept, which takes minutes to build")
	flags.StringVar(&o.json, "json", "", "file to write all figures to")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flags.DurationVar(&o.sample, "sample", 2*time.Second, "how long a sample takes, in whole seconds")
	flags.BoolVar(&o.smoke, "smoke", false, "see that everything works: Outrider and the stock Go stack, once, shortly")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%s: there are only flags", flags.Arg(0))
	}
	if o.rounds < 1 || o.sample < time.Second {
		return o, errors.New("-rounds and -sample: at least 1, and 1s")
	}
	if *with != "" {
		o.subjects = strings.Split(*with, ",")
	}
	for _, name := range o.subjects {
		if !slices.Contains(subjectNames(), name) {
			return o, fmt.Errorf("-with %s: there are %s", name, strings.Join(subjectNames(), ", "))
		}
	}
	o.groups = groups
	if o.smoke {
		o.rounds, o.sample = 1, time.Second
	}
	if *only == "" {
		return o, nil
	}
	o.groups = nil
	for name := range strings.SplitSeq(*only, ",") {
		at := slices.IndexFunc(groups, func(g group) bool { return g.name == name })
		if at < 0 {
			return o, fmt.Errorf("-only %s: there are %s", name, strings.Join(groupNames(), ", "))
		}
		o.groups = append(o.groups, groups[at])
	}
	return o, nil
}

// subjectNames are those of the command line.
func subjectNames() []string {
	var names []string
	for _, name := range subject.Names {
		names = append(names, subject.Subject{Name: name}.Slug())
	}
	return names
}

// defaultCache is where it is kept from one run to the next.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return dir + "/outrider-bench"
}
