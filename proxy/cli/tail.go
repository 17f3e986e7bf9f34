package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outrider/proxy/telemetry"
)

func (c *commands) tailCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "tail [WORD...]",
		Short: "Show calls as they end",
		Long: "tail shows the calls of a running Outrider as they end, those that have every WORD:\n\n" +
			"  crm            the word is somewhere in the call\n" +
			"  -get           it is not (behind --, so that it is no flag: outrider tail -- -get)\n" +
			"  503, 5xx       the status\n" +
			"  '>500ms'       the call took longer\n" +
			"  failed         5xx, or no answer\n" +
			"  waited, retried, problem, quiet\n" +
			"  upstream:crm   just so; also method, rule, connection, host, path, class, problem, form, letter, trace",
		Example: "  outrider tail failed\n  outrider tail upstream:crm '>1s' --json",
		Args:    cobra.ArbitraryArgs,
	}
	before := command.Flags().IntP("before", "n", 10, "how many calls of before are shown first")
	command.RunE = func(cmd *cobra.Command, words []string) error {
		if *before < 0 {
			return usageError{fmt.Errorf("--before %d: must be 0 or more", *before)}
		}
		filter := strings.Join(words, " ")
		if _, err := telemetry.ParseFilter(filter); err != nil {
			return usageError{err}
		}
		t := &tail{w: c.Stdout, json: c.json, paint: paintFor(c.Stdout), before: *before, filter: filter}
		return c.tail(cmd.Context(), t)
	}
	return command
}

// tail prints calls.
type tail struct {
	w       io.Writer
	json    bool
	paint   paint
	filter  string
	before  int       // how many of those are printed that ended before
	started time.Time // of the Outrider that counts the calls; zero: none was asked yet
	last    uint64    // the number of the latest call that is printed
}

func (c *commands) tail(ctx context.Context, t *tail) error {
	opened := func() error { return t.catchUp(ctx, c) }
	broke := func(err error) { fmt.Fprintf(c.Stderr, "outrider: asking again in %v: %v\n", reconnectAfter, err) }
	return c.follow(ctx, url.Values{"only": {"calls"}, "filter": {t.filter}}, opened, t.event, broke)
}

// catchUp prints what ended before the stream that has just begun. After one that broke,
// that is all it has missed, as far as Outrider remembers it.
func (t *tail) catchUp(ctx context.Context, c *commands) error {
	var state struct{ Started time.Time }
	if err := c.ask(ctx, "/api/status", nil, &state); err != nil {
		return err
	}
	var calls []telemetry.Record
	if err := c.ask(ctx, "/api/calls", url.Values{"filter": {t.filter}}, &calls); err != nil {
		return err
	}
	if err := t.print(t.missed(calls, state.Started)); err != nil {
		return handleError{err}
	}
	return nil
}

// missed are those of the latest calls, of which the newest is the first, that are to be
// printed, the oldest first. started is when the Outrider was that has them: another one
// counts from one again.
func (t *tail) missed(calls []telemetry.Record, started time.Time) []telemetry.Record {
	switch {
	case t.started.IsZero():
		calls = calls[:min(t.before, len(calls))]
	case !t.started.Equal(started):
		t.last = 0
	}
	t.started = started
	slices.Reverse(calls)
	return calls
}

func (t *tail) event(e event) error {
	var found callsEvent
	if err := json.Unmarshal(e.data, &found); err != nil {
		return fmt.Errorf("reading the event %q: %w", e.name, err)
	}
	if found.Lost > 0 && !t.json {
		fmt.Fprintln(t.w, t.paint.style(styleWarn, fmt.Sprintf("… and %s, too many to show", count(int(found.Lost), "call"))))
	}
	return t.print(found.Calls)
}

// print prints calls, the oldest first, but none twice.
func (t *tail) print(calls []telemetry.Record) error {
	for i := range calls {
		r := &calls[i]
		if r.Number <= t.last {
			continue
		}
		t.last = r.Number
		var err error
		if t.json {
			err = writeJSON(t.w, r, "")
		} else {
			_, err = fmt.Fprintln(t.w, callLine(t.paint, r))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
