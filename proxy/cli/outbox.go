package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"outrider/policy/config"
	"outrider/proxy/outbox"

	"github.com/spf13/cobra"
)

func (c *commands) outboxCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "outbox",
		Short: "The letters of the outbox: what waits, what is dead, and what is to become of it",
		Long: "outbox tells how the outbox stands. Below it are the commands that look after its letters. They\n" +
			"ask the Outrider that runs, or look at the store itself where none does: then nothing is sent until one\n" +
			"runs. Only drain needs one.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.outbox(cmd.Context()) },
	}
	command.AddCommand(c.outboxListCommand(), c.outboxShowCommand(), c.outboxRetryCommand(), c.outboxEditCommand(), c.outboxDropCommand(),
		c.outboxDrainCommand(), c.outboxImportCommand(), c.outboxExportCommand())
	return command
}

// A letterChoice says which letters a command means, by its flags and arguments.
type letterChoice struct {
	state, upstream, reason string
	older                   time.Duration
	all                     bool
}

// flags are those of a command that lists letters.
func (l *letterChoice) flags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&l.state, "state", "", "waiting, sending, delivered, dead or cancelled")
	flags.StringVar(&l.upstream, "upstream", "", "of one upstream")
	flags.StringVar(&l.reason, "reason", "", "of dead letters: refused, redirected, age, attempts, key-age, unknown, damaged, unsendable")
	flags.DurationVar(&l.older, "older", 0, "accepted so long ago, or longer, such as 2h")
}

// actingFlags are those of a command that does something to letters.
func (l *letterChoice) actingFlags(command *cobra.Command) {
	l.flags(command)
	command.Flags().BoolVar(&l.all, "all", false, "all letters")
}

// query is the filter for the API. A flag that is empty is one whose value got lost on its way here,
// and does not mean all.
func (l *letterChoice) query(cmd *cobra.Command, ids []string) (url.Values, error) {
	query := url.Values{}
	for name, value := range map[string]string{"state": l.state, "upstream": l.upstream, "reason": l.reason} {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if value == "" {
			return nil, usageError{fmt.Errorf("--%s is empty: leave it out for all", name)}
		}
		query.Set(name, value)
	}
	if cmd.Flags().Changed("older") {
		if l.older <= 0 {
			return nil, usageError{fmt.Errorf("--older %s: must be longer than 0", l.older)}
		}
		query.Set("older", l.older.String())
	}
	for _, id := range ids {
		if err := checkLetterID(id); err != nil {
			return nil, err
		}
		query.Add("id", id)
	}
	return query, nil
}

// acting is query for a command that does something: what it means has to be said.
func (l *letterChoice) acting(cmd *cobra.Command, ids []string) (url.Values, error) {
	query, err := l.query(cmd, ids)
	switch {
	case err != nil:
		return nil, err
	case l.all && len(query) > 0:
		return nil, usageError{errors.New("--all and a choice: one of them is right")}
	case l.all:
		query.Set("all", "true")
	case len(query) == 0:
		return nil, usageError{fmt.Errorf("which letters? %s ID…, or --state, --upstream, --reason, --older, or --all", cmd.CommandPath())}
	}
	return query, nil
}

// checkLetterID finds out whether an id may stand in an address.
func checkLetterID(id string) error {
	if id == "" || strings.ContainsAny(id, "/?#%") {
		return usageError{fmt.Errorf("%q is not the id of a letter; outrider outbox list has them", id)}
	}
	return nil
}

func (c *commands) outbox(ctx context.Context) error {
	return c.withOutbox(ctx, false, func(way outboxWay) error {
		var standing outbox.Standing
		if err := way.ask(ctx, question{}, &standing); err != nil {
			return err
		}
		if c.json {
			return c.printJSON(standing)
		}
		printStanding(c.Stdout, standing)
		return nil
	})
}

// printStanding tells how the outbox stands.
func printStanding(w io.Writer, s outbox.Standing) {
	if s.Away != "" {
		fmt.Fprintf(w, "WARNING: the outbox takes and sends nothing: %s\n", printable(s.Away))
	}
	warnRefusing(w, s)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, u := range s.Upstreams {
		fmt.Fprintf(table, "%s\t%s\n", u.Upstream, standingText(u))
	}
	_ = table.Flush()
	if len(s.Upstreams) == 0 {
		fmt.Fprintln(w, "no letters")
	}
	fmt.Fprintf(w, "%s of %s used\n", roundSize(s.Size), config.Size(s.MaxSize))
}

// warnRefusing tells that letters are refused, if they are.
func warnRefusing(w io.Writer, s outbox.Standing) {
	if s.Refusing != "" {
		fmt.Fprintf(w, "WARNING: letters are refused: %s\n", printable(s.Refusing))
	}
}

// standingText tells of the letters of one upstream.
func standingText(u outbox.UpstreamStanding) string {
	text := waitingText(u)
	if u.Dead > 0 {
		text += fmt.Sprintf("; %d dead (%s)", u.Dead, reasonsText(u.Reasons))
	}
	return text + fmt.Sprintf("; %d delivered", u.Delivered)
}

// waitingText tells of those that wait, and how long they will.
func waitingText(u outbox.UpstreamStanding) string {
	text := fmt.Sprintf("%d waiting", u.Waiting)
	if u.Waiting > 0 && !u.Oldest.IsZero() {
		text += fmt.Sprintf(", the oldest for %s", ago(u.Oldest))
	}
	if u.Sending > 0 {
		text += fmt.Sprintf(", %d of them being sent", u.Sending)
	}
	if time.Until(u.Paused) > 0 {
		text += ", paused for " + remaining(u.Paused)
	}
	if u.PerMinute > 0 && u.Waiting > 0 {
		text += ", " + roughRate(u.PerMinute) + " a minute"
	}
	if u.ETA > 0 {
		text += fmt.Sprintf(", all sent in about %s", roughTime(u.ETA))
	}
	return text
}

// roughRate is a rate as a person reads it: its first digits, and never a power of ten.
func roughRate(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.2g", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

// roughTime is a time in seconds, as a person reads it.
func roughTime(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < time.Minute {
		return max(d, time.Second).Round(time.Second).String()
	}
	return config.Duration(d.Round(time.Minute)).String()
}

// roundSize is a size, rounded up, without more digits than anybody reads.
func roundSize(n int64) string {
	unit := int64(1)
	if n >= 1<<10 {
		unit = 1 << 10
	}
	for n/unit >= 10<<10 {
		unit <<= 10
	}
	return config.Size((n + unit - 1) / unit * unit).String()
}
