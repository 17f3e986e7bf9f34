package cli

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"outrider/proxy/letters"
	"outrider/proxy/outbox"

	"github.com/spf13/cobra"
)

func (c *commands) outboxListCommand() *cobra.Command {
	var choice letterChoice
	command := &cobra.Command{
		Use: "list [ID…]", Short: "List letters, the newest first",
		Example: "  outrider outbox list --state dead --upstream crm\n  outrider outbox list --state waiting --older 2h",
	}
	choice.flags(command)
	limit := command.Flags().Int("limit", 50, "at most so many; 0: all")
	command.Args = cobra.ArbitraryArgs
	command.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := choice.query(cmd, args)
		if err != nil {
			return err
		}
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit %d: must not be below 0", *limit)}
		}
		return c.withOutbox(cmd.Context(), false, func(way outboxWay) error {
			return c.listLetters(cmd.Context(), way, query, *limit)
		})
	}
	return command
}

// letterPage is how many letters one question asks for.
const letterPage = 500

func (c *commands) listLetters(ctx context.Context, way outboxWay, query url.Values, limit int) error {
	all := []outbox.View{}
	var more bool
	for {
		size := letterPage
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(size))
		var page letters.Page
		if err := way.ask(ctx, question{path: "/letters", query: query}, &page); err != nil {
			return err
		}
		all = append(all, page.Letters...)
		if more = page.Next != ""; !more || len(all) == limit {
			break
		}
		query.Set("after", page.Next)
	}
	if c.json {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.Stdout, "no such letters")
		return err
	}
	table := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	for _, l := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", l.ID, letterLane(l), printable(clipped(letterCall(l), 48)), letterState(l), countOf(l.Attempts, "attempt", "attempts"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(c.Stdout, "and more: --limit 0 lists all\n")
	}
	return nil
}

// letterLane is the upstream of a letter, with its connection.
func letterLane(l outbox.View) string {
	if l.Connection == "" {
		return l.Upstream
	}
	return l.Upstream + "/" + l.Connection
}

// letterCall is what a letter calls. The path of a callback may be a secret, and is not told.
func letterCall(l outbox.View) string {
	switch {
	case l.Damaged:
		return "cannot be read"
	case l.Upstream == callbacks:
		return "callback to " + l.Host
	}
	return l.Method + " " + l.Path
}

// letterState is the state of a letter in words.
func letterState(l outbox.View) string {
	switch l.State {
	case outbox.StateDead:
		return fmt.Sprintf("dead for %s: %s", ago(l.Ended), l.Reason)
	case outbox.StateWaiting:
		text := fmt.Sprintf("waiting for %s", ago(l.Created))
		switch {
		case l.HeldBy != nil:
			text += ", held by a dead letter"
		case time.Until(l.Due) > 0:
			text += ", due in " + remaining(l.Due)
		}
		return text
	case outbox.StateSending:
		return fmt.Sprintf("being sent, accepted %s ago", ago(l.Created))
	}
	return fmt.Sprintf("%s %s ago", l.State, ago(l.Ended))
}

// reasonsText says how many letters are dead for which reason, what is most first.
func reasonsText(reasons map[string]int) string {
	names := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		if reasons[a] != reasons[b] {
			return reasons[b] - reasons[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%d %s", reasons[name], name))
	}
	return strings.Join(parts, ", ")
}
