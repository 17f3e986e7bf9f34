package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"outrider/policy/config"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"

	"github.com/spf13/cobra"
)

func (c *commands) outboxShowCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "show ID", Short: "Show a letter, its attempts and the last answer", Args: cobra.ExactArgs(1),
		Long: "show prints what is known of a letter. --request adds what is sent: headers and body, which are\n" +
			"data of the application. A letter has no credential, so that none is shown.",
	}
	request := command.Flags().Bool("request", false, "show what is sent, too")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkLetterID(args[0]); err != nil {
			return err
		}
		return c.withOutbox(cmd.Context(), false, func(way outboxWay) error {
			return c.showLetter(cmd.Context(), way, args[0], *request)
		})
	}
	return command
}

// A letterDocument is a letter for programs.
type letterDocument struct {
	outbox.View
	Request  *letters.Request  `json:"request,omitempty"`  // if it was asked for
	Response *letters.Response `json:"response,omitempty"` // nil: there is none yet
}

func (c *commands) showLetter(ctx context.Context, way outboxWay, id string, request bool) error {
	var l letterDocument
	if err := way.ask(ctx, question{path: "/letters/" + id}, &l.View); err != nil {
		return err
	}
	if request {
		err := way.ask(ctx, question{path: "/letters/" + id + "/request"}, &l.Request)
		if answered(err, http.StatusConflict) { // kept no longer, or damaged
			c.note("what was sent cannot be shown: %v", err)
		} else if err != nil {
			return err
		}
	}
	failed := way.ask(ctx, question{path: "/letters/" + id + "/response"}, &l.Response)
	switch {
	case answered(failed, http.StatusNotFound):
		failed = nil
	case answered(failed, http.StatusConflict): // damaged; what is known of the letter is not
		c.note("the answer cannot be shown: %v", failed)
		failed = nil
	case failed != nil:
		failed = fmt.Errorf("the answer cannot be shown: %w", failed)
	}
	if c.json {
		return errors.Join(c.printJSON(l), failed)
	}
	printLetter(c.Stdout, l)
	return failed
}

// answered reports whether an error is an answer with this status.
func answered(err error, status int) bool {
	answer, ok := errors.AsType[*adminError](err)
	return ok && answer.status == status
}

// printLetter shows a letter to people.
func printLetter(w io.Writer, l letterDocument) {
	fmt.Fprintf(w, "%s\n", l.ID)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	fact("state", "%s", letterState(l.View))
	if l.Detail != "" {
		fact("", "%s", l.Detail)
	}
	if by := l.HeldBy; by != nil {
		fact("", "held by letter %s (dead: %s): it waits until that one is retried or dropped", by.ID, by.Reason)
	}
	fact("call", "%s, of %s, %s", letterCall(l.View), letterLane(l.View), count(int(l.Size), "byte"))
	fact("accepted", "%s, %s ago", l.Created.Local().Format(time.DateTime), ago(l.Created))
	if l.TraceID != "" {
		fact("", "trace %s", l.TraceID)
	}
	if !l.Expires.IsZero() && l.State == outbox.StateWaiting {
		fact("until", "%s: then it is dead", l.Expires.Local().Format(time.DateTime))
	}
	if !l.Departed.IsZero() {
		fact("first sent", "%s", l.Departed.Local().Format(time.DateTime))
	}
	for name, value := range map[string]string{"order key": l.OrderKey, "callback": l.Callback} {
		if value != "" {
			fact(name, "%s", value)
		}
	}
	for i, a := range l.History {
		if i > 0 && a.Number <= l.History[i-1].Number {
			fact("again", "dead, and sent again by hand")
		}
		fact(fmt.Sprintf("attempt %d", a.Number), "%s", attemptText(a))
	}
	_ = table.Flush()
	if l.Request != nil {
		fmt.Fprintf(w, "\n%s %s\n", printable(l.Request.Method), printable(l.Request.Target))
		printMessage(w, l.Request.Header, l.Request.Content)
	}
	if l.Response != nil {
		fmt.Fprintf(w, "\n%d %s\n", l.Response.Status, http.StatusText(l.Response.Status))
		printMessage(w, l.Response.Header, l.Response.Content)
		if l.Response.Cut {
			fmt.Fprintf(w, "(the end is not kept: %s of it are)\n", config.Size(l.Response.Size))
		}
	}
}

// attemptText tells of an attempt.
func attemptText(a outbox.Attempt) string {
	if a.Damaged {
		return "cannot be read"
	}
	end := a.Error
	if a.Status > 0 {
		end = strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.Error))
	}
	text := fmt.Sprintf("%s  %s after %s", a.Started.Local().Format(time.DateTime), end, roughly(1000*a.Seconds))
	if a.Wire != 1 {
		text += ", " + count(a.Wire, "request")
	}
	if a.TraceID != "" {
		text += ", trace " + a.TraceID
	}
	return text
}

// printMessage shows a header and a body.
func printMessage(w io.Writer, header http.Header, body letters.Content) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(w, "%s: %s\n", printable(name), printable(value))
		}
	}
	switch {
	case body.Left:
		fmt.Fprintln(w, "\n(the body is too long to be shown)")
	case body.Text != nil && *body.Text != "":
		fmt.Fprintf(w, "\n%s\n", strings.TrimRight(printableText(*body.Text), "\n"))
	case len(body.Bytes) > 0:
		fmt.Fprintf(w, "\n(%s that are no text; --json has them)\n", count(len(body.Bytes), "byte"))
	}
}

// printableText is printable for text of several lines.
func printableText(text string) string {
	var b bytes.Buffer
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
