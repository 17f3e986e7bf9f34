package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"outrider/proxy/letters"
	"outrider/proxy/outbox"

	"github.com/spf13/cobra"
)

// A letterEdit is what the flags of edit say.
type letterEdit struct {
	method, target, body, key string
	header                    []string // "Name: value"; without a value the header is taken away
}

func (c *commands) outboxEditCommand() *cobra.Command {
	var edit letterEdit
	command := &cobra.Command{
		Use: "edit ID", Short: "Change what a dead letter sends, and have it sent", Args: cobra.ExactArgs(1),
		Long: "edit changes a dead letter. Without a flag it opens what is sent in $VISUAL or $EDITOR, as\n" +
			"JSON. A letter that has an idempotency key gets a new one, for it is another\n" +
			"request now; --key sets it.",
		Example: "  outrider outbox edit 019abf5e-7c1d-7e54-a3a5-0d1f5b0f3c11\n" +
			"  outrider outbox edit 019abf5e-7c1d-7e54-a3a5-0d1f5b0f3c11 --header \"Content-Type: application/json\" --body @order.json",
	}
	flags := command.Flags()
	flags.StringVar(&edit.method, "method", "", "another method")
	flags.StringVar(&edit.target, "target", "", "another path and query")
	flags.StringArrayVar(&edit.header, "header", nil, `"Name: value" in place of that header; "Name:" takes it away`)
	flags.StringVar(&edit.body, "body", "", "another body; @FILE: what is in a file, @-: on standard input")
	flags.StringVar(&edit.key, "key", "", "the idempotency key")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkLetterID(args[0]); err != nil {
			return err
		}
		return c.withOutbox(cmd.Context(), false, func(way outboxWay) error { return c.editLetter(cmd, way, args[0], edit) })
	}
	return command
}

func (c *commands) editLetter(cmd *cobra.Command, way outboxWay, id string, edit letterEdit) error {
	ctx := cmd.Context()
	var sent letters.Request
	if err := way.ask(ctx, question{path: "/letters/" + id + "/request"}, &sent); err != nil {
		return err
	}
	var document []byte
	var err error
	if edit.says(cmd) {
		document, err = c.editByFlags(cmd, sent, edit)
	} else {
		document, err = c.editByHand(ctx, sent)
	}
	if err != nil {
		return err
	}
	var view outbox.View
	if err := way.ask(ctx, question{method: http.MethodPatch, path: "/letters/" + id, kind: "application/json", body: document}, &view); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(view)
	}
	_, err = fmt.Fprintf(c.Stdout, "%s is changed: %s\n", view.ID, letterState(view))
	return err
}

// says reports whether a flag says what is to be changed.
func (e letterEdit) says(cmd *cobra.Command) bool {
	for _, name := range []string{"method", "target", "header", "body", "key"} {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// editByFlags makes the document of a change of what flags say.
func (c *commands) editByFlags(cmd *cobra.Command, sent letters.Request, edit letterEdit) ([]byte, error) {
	change := letters.Request{Method: edit.method, Target: edit.target}
	if len(edit.header) > 0 {
		change.Header = sent.Header.Clone()
		if change.Header == nil {
			change.Header = http.Header{}
		}
		for _, line := range edit.header {
			name, value, found := strings.Cut(line, ":")
			if name = strings.TrimSpace(name); !found || name == "" {
				return nil, usageError{fmt.Errorf("--header %q: must be \"Name: value\"", line)}
			}
			change.Header.Del(name)
			if value = strings.TrimSpace(value); value != "" {
				change.Header.Set(name, value)
			}
		}
	}
	if cmd.Flags().Changed("key") {
		change.Key = &edit.key
	}
	if cmd.Flags().Changed("body") {
		body, err := c.bodyOf(edit.body)
		if err != nil {
			return nil, err
		}
		change.Content = letters.ContentOf(body)
	}
	return json.Marshal(change)
}

// bodyOf is what --body says.
func (c *commands) bodyOf(text string) ([]byte, error) {
	name, file := strings.CutPrefix(text, "@")
	switch {
	case !file:
		return []byte(text), nil
	case name != "-":
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("--body: %w", err)}
		}
		return data, nil
	case c.Stdin == nil:
		return nil, usageError{errors.New("--body @-: there is nothing on standard input")}
	}
	return io.ReadAll(io.LimitReader(c.Stdin, maxInput))
}

// editByHand has somebody change the document in an editor.
func (c *commands) editByHand(ctx context.Context, sent letters.Request) ([]byte, error) {
	editor := strings.Fields(cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR")))
	if len(editor) == 0 {
		return nil, usageError{errors.New("neither VISUAL nor EDITOR names an editor: set one, or say what to change by --method, --target, --header, --body, --key")}
	}
	before, err := json.MarshalIndent(sent, "", "  ")
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "outrider-letter-*.json") // for nobody else to read
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(append(before, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, editor[0], append(editor[1:], file.Name())...) //nolint:gosec // the user's own editor
	command.Stdin, command.Stdout, command.Stderr = c.Stdin, c.Stderr, c.Stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was changed", editor[0], err)
	}
	after, err := os.ReadFile(file.Name())
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.TrimSpace(after), before) {
		return nil, errors.New("nothing was changed")
	}
	return after, nil
}
