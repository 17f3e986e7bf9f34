package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"outrider/policy/config"
	"outrider/proxy/store"

	"github.com/spf13/cobra"
	"github.com/zalando/go-keyring"
)

func (c *commands) storeCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "store",
		Short: "Show where tokens, letters and spent quotas are kept, and what seals them",
		Long:  "store opens the store that the configuration names, also beside an Outrider that runs, and\nchanges nothing that is kept. No value is shown.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.store(cmd.Context()) },
	}
	var next string
	rekey := &cobra.Command{
		Use:   "rekey",
		Short: "Seal everything in the store with another key",
		Long: "rekey seals everything anew, at once or not at all. Without --new-key it makes a key in store.key,\n" +
			"and an Outrider that runs finds it there. With --new-key it takes that of a secret reference;\n" +
			"\"keyring:NAME\" is made where there is none. Refreshes that are under way are waited for.\n" +
			"To move to OUTRIDER_KEY, give the key by another variable here: the old one is looked for in that.",
		Example: "  outrider store rekey\n  outrider store rekey --new-key file:/run/secrets/outrider-key",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.rekey(cmd.Context(), config.Reference(next)) },
	}
	rekey.Flags().StringVar(&next, "new-key", "", `where the new key is: "env:NAME", "file:/path", "exec:command" or "keyring:NAME" (default: a new store.key)`)
	command.AddCommand(rekey)
	return command
}

// openStore opens the store that is there. The caller closes it.
func (c *commands) openStore(ctx context.Context) (*store.Store, *config.File, error) {
	_, _, file, err := c.file()
	if err != nil {
		return nil, nil, err
	}
	settings, err := storeSettings(file, newSecrets())
	if err != nil {
		return nil, nil, usageError{err}
	}
	settings.Existing = true
	opened, err := store.Open(ctx, settings)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; it is made when the first token or letter is kept, or a quota that takes long to come back", err)
	}
	return opened, file, err
}

// storeView is a store for programs.
type storeView struct {
	Engine   string     `json:"engine"`
	Place    string     `json:"place"`
	Key      string     `json:"key"` // where it comes from
	Size     int64      `json:"size"`
	Slots    int        `json:"slots"`
	Saved    *time.Time `json:"saved,omitempty"` // the last time
	Quotas   int        `json:"quotas"`          // whose spending is kept
	Warnings []string   `json:"warnings,omitempty"`
}

func (c *commands) store(ctx context.Context) error {
	opened, file, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	info, err := opened.Info(ctx)
	if err != nil {
		return err
	}
	plan := opened.Plan()
	view := storeView{Engine: info.Engine, Place: plan.Place, Key: plan.KeyFrom, Size: info.Size, Slots: info.Slots, Quotas: info.Quotas, Warnings: opened.Warnings()}
	if !info.Saved.IsZero() {
		view.Saved = &info.Saved
	}
	if warning := keyWarning(plan, file); warning != "" {
		view.Warnings = append(view.Warnings, warning)
	}
	if c.json {
		return c.printJSON(view)
	}
	fmt.Fprintf(c.Stdout, "place   %s\nengine  %s, %s\nkey     %s\nkept    %s", view.Place, view.Engine, config.Size(view.Size), view.Key, count(view.Slots, "credential"))
	if view.Saved != nil {
		fmt.Fprintf(c.Stdout, ", the last one saved at %s", view.Saved.Format(time.DateTime))
	}
	if view.Quotas > 0 {
		fmt.Fprintf(c.Stdout, "; %s", count(view.Quotas, "quota"))
	}
	fmt.Fprintln(c.Stdout)
	for _, warning := range view.Warnings {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	return nil
}

// rekeyView is what rekey did, for programs.
type rekeyView struct {
	Key     string   `json:"key"` // where the new one is
	Slots   int      `json:"slots"`
	Damaged []string `json:"damaged,omitempty"` // did not open, and stay as they are
}

func (c *commands) rekey(ctx context.Context, next config.Reference) error {
	if next.Literal() {
		return usageError{errors.New(`--new-key is where the key is, and not the key: write env:NAME, file:/path, exec:command or keyring:NAME`)}
	}
	opened, file, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	plan := opened.Plan()
	if next == "" && plan.KeyFile == "" {
		return usageError{fmt.Errorf("the key comes from %s: say with --new-key where the new one is", plan.KeyFrom)}
	}
	view := rekeyView{Key: plan.KeyFile}
	var read func() (string, error)
	if next != "" {
		view.Key = next.String()
		read = func() (string, error) { return newStoreKey(next) }
	}
	done, err := opened.Rekey(ctx, read)
	if err != nil {
		return err
	}
	view.Slots, view.Damaged = done.Slots, done.Damaged
	if c.json {
		return c.printJSON(view)
	}
	c.printRekeyed(view, next, file)
	return nil
}

// newStoreKey reads the new key, and makes one in the keyring that has none yet.
func newStoreKey(ref config.Reference) (string, error) {
	key, err := newSecrets().storeKey(ref)
	if !errors.Is(err, keyring.ErrNotFound) {
		return key, err
	}
	_, name, _ := strings.Cut(string(ref), ":")
	key = store.RandomKey()
	return key, toKeyring(name, key)
}

func (c *commands) printRekeyed(view rekeyView, next config.Reference, file *config.File) {
	fmt.Fprintf(c.Stdout, "%s sealed with the new key of %s\n", countOf(view.Slots, "credential is", "credentials are"), view.Key)
	for _, id := range view.Damaged {
		fmt.Fprintf(c.Stdout, "%s does not open with the old key either, and stays as it is: log in again\n", id)
	}
	if next == "" {
		fmt.Fprintf(c.Stdout, "The key before is in %s.old, for copies of the store that it sealed: remove it when there are none.\n", filepath.Base(view.Key))
		if file.Store.URL != "" {
			fmt.Fprintln(c.Stdout, "Give the new one to the other machines that share the database.")
		}
		return
	}
	fmt.Fprintf(c.Stdout, "Now have Outrider find it: [store] key = %q\n"+
		"One that runs goes on with its tokens, and refreshes none until it finds the new key\n"+
		"where it looked for the old one, or is started again.\n", view.Key)
}

// countOf is a number of things, with what is said of one and of several.
func countOf(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}
