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
	"syscall"

	"outrider/bench/machine"
	"outrider/bench/report"
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
	tables, failed := measure(ctx, l, stdout)
	if ctx.Err() != nil {
		return ctx.Err()
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

// measure measures the groups, and writes each when it is there. One that fails takes no
// other with it.
func measure(ctx context.Context, l *lab, w io.Writer) (tables []*report.Table, failed error) {
	for _, g := range l.groups {
		l.say("%s: %s", g.name, g.what)
		measured, err := g.run(ctx, l)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			l.say("%s failed: %v", g.name, err)
			failed = errors.Join(failed, fmt.Errorf("measuring %s: %w", g.name, err))
		}
		for _, table := range measured {
			tellNoise(table)
			table.Write(w)
		}
		tables = append(tables, measured...)
	}
	return tables, failed
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
