package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"outrider/proxy/letters"

	"github.com/spf13/cobra"
)

func (c *commands) outboxRetryCommand() *cobra.Command {
	var choice letterChoice
	command := &cobra.Command{
		Use: "retry [ID…]", Short: "Have dead letters sent again, or waiting ones at once", Args: cobra.ArbitraryArgs,
		Long: "retry gives dead letters a new life, with new attempts and a new age, and the idempotency key that they\n" +
			"have. With --state waiting, letters that wait are due at once. Of one that may have been done (unknown,\n" +
			"key-age), look at the provider first.",
		Example: "  outrider outbox retry 019abf5e-7c1d-7e54-a3a5-0d1f5b0f3c11\n  outrider outbox retry --state dead --upstream crm --reason refused",
	}
	choice.actingFlags(command)
	command.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := choice.acting(cmd, args)
		if err != nil {
			return err
		}
		return c.actOnLetters(cmd.Context(), "/retry", query, "due now")
	}
	return command
}

func (c *commands) outboxDropCommand() *cobra.Command {
	var choice letterChoice
	command := &cobra.Command{
		Use: "drop [ID…]", Short: "Forget letters, whatever their state", Args: cobra.ArbitraryArgs,
		Long: "drop forgets letters and their answers. One that waits is not sent any more, and one that is\n" +
			"being sent stays. They cannot be had back: outrider outbox export writes them to a file before.",
		Example: "  outrider outbox drop --state dead --reason refused --upstream crm",
	}
	choice.actingFlags(command)
	sure := command.Flags().Bool("yes", false, "do not ask")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := choice.acting(cmd, args)
		if err != nil {
			return err
		}
		if !*sure {
			if err := c.confirm("These letters are forgotten, and cannot be had back: " + choiceText(query)); err != nil {
				return err
			}
		}
		return c.actOnLetters(cmd.Context(), "/drop", query, "dropped")
	}
	return command
}

// actOnLetters has something done to letters, and says to how many. That there are none of those
// which were named is an error.
func (c *commands) actOnLetters(ctx context.Context, path string, query url.Values, done string) error {
	var did letters.Done
	if err := c.withOutbox(ctx, false, func(way outboxWay) error {
		return way.ask(ctx, question{method: http.MethodPost, path: path, query: query}, &did)
	}); err != nil {
		return err
	}
	if c.json {
		if err := c.printJSON(did); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.Stdout, "%s\n", countOf(did.Letters, "letter is "+done, "letters are "+done))
	}
	if named := len(query["id"]); named > did.Letters {
		return fmt.Errorf("%d of %s could not be: it is not there, has ended well, or is being sent", named-did.Letters, count(named, "letter"))
	}
	return nil
}

// choiceText says which letters are meant.
func choiceText(query url.Values) string {
	if query.Get("all") != "" {
		return "all of them"
	}
	var parts []string
	for _, name := range []string{"state", "upstream", "reason", "older", "id"} {
		for _, value := range query[name] {
			parts = append(parts, name+" "+value)
		}
	}
	return strings.Join(parts, ", ")
}

// errNotSure says that nobody could be asked.
var errNotSure = errors.New("this cannot be undone: say --yes")

// confirm asks somebody at a terminal.
func (c *commands) confirm(what string) error {
	in, terminal := c.Stdin.(*os.File)
	if !terminal || c.json || !isTerminal(in) {
		return usageError{errNotSure}
	}
	fmt.Fprintf(c.Stderr, "%s\nSure? [y/N] ", what)
	answer, _ := bufio.NewReader(in).ReadString('\n') // an end is no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer == "y" || answer == "yes" {
		return nil
	}
	return errors.New("nothing was done")
}
