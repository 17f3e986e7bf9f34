package cli

import (
	"errors"
	"fmt"

	"outrider/policy"
	"outrider/policy/config"

	"github.com/spf13/cobra"
)

func (c *commands) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and print the compiled plan of every upstream",
		Long: "check reads the configuration as run would, secrets included, reports everything that is\n" +
			"wrong with it at once, and prints what would happen to the calls of every upstream.\n" +
			"It connects to nothing. Values of secrets are never printed.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.check() },
	}
}

func (c *commands) check() error {
	path, _, file, err := c.file()
	if err != nil {
		return err
	}
	s := &sidecar{file: file, secrets: newSecrets()}
	env := s.env()
	kept := false
	env.Keep = func(string) (policy.Keeper, error) { // without a store, which would be made
		kept = true
		return nil, nil
	}
	set, err := policy.Compile(file, env, nil)
	if err = errors.Join(s.checkFile(file), err); err != nil {
		return usageError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	if c.json {
		return c.printJSON(plans(set, s.wayText))
	}
	name := path
	if path == "" {
		name = "the built-in configuration"
	}
	fmt.Fprintf(c.Stdout, "%s is valid: %s\n", name, count(len(file.Upstreams), "upstream"))
	if len(file.Upstreams) == 0 {
		fmt.Fprintln(c.Stdout, noUpstreams)
	}
	for _, warning := range file.Warnings {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	if kept || keeps(set) {
		if err := c.printStore(file, s.secrets, keptText(kept, keeps(set))); err != nil {
			return usageError{err}
		}
	}
	if keeps(set) {
		fmt.Fprintln(c.Stdout, lettersText(file.Outbox))
	}
	for _, u := range set.Upstreams() {
		printUpstream(c.Stdout, file, u, set.Intercepts(u), s.wayText)
	}
	return nil
}

// keptText names what is in the store.
func keptText(tokens, letters bool) string {
	switch {
	case !letters:
		return "tokens"
	case !tokens:
		return "letters"
	}
	return "tokens and letters"
}

// printStore says where what would be kept.
func (c *commands) printStore(file *config.File, secrets *secrets, what string) error {
	settings, err := storeSettings(file, secrets)
	if err != nil {
		return err
	}
	plan, err := settings.Plan()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout, what, "are kept in", planText(plan))
	if warning := keyWarning(plan, file); warning != "" {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	return nil
}

// noUpstreams is said where somebody would look for their upstreams in vain.
const noUpstreams = "no upstreams: calls to every host are passed on as they are; add [upstream.NAME] with a url"

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
