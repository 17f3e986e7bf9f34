package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/telemetry"

	"github.com/spf13/cobra"
)

func (c *commands) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and print the compiled plan of every upstream",
		Long: "check reads the configuration as run would, secrets included, reports everything that is\n" +
			"wrong with it at once, and prints what would happen to the calls of every upstream.\n" +
			"It connects to nothing, and leaves the store as it is. Values of secrets are never printed.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.check(cmd.Context()) },
	}
}

func (c *commands) check(ctx context.Context) error {
	path, _, file, err := c.file()
	if err != nil {
		return err
	}
	s := &sidecar{file: file, secrets: newSecrets()}
	env := s.env()
	tokens := false
	env.Keep = func(string) (policy.Keeper, error) { // without a store, which would be made
		tokens = true
		return nil, nil
	}
	set, err := policy.Compile(file, env, nil)
	problems := []error{telemetry.Check(telemetrySettings(file)), s.checkFile(file), err}
	warnings, kept := slices.Concat(file.Warnings, loops(file)), tokens || keepsLetters(file)
	if kept {
		unfed, err := s.checkStore(ctx, set)
		warnings, problems = slices.Concat(warnings, unfed), append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
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
	for _, warning := range warnings {
		fmt.Fprintln(c.Stdout, "warning:", warning)
	}
	if kept {
		if err := c.printStore(file, s.secrets, keptText(tokens, keeps(set))); err != nil {
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

// loops warns of upstreams that lead to where Outrider listens by this configuration: run refuses
// them. For exec they may be right, which goes to another port where one is taken.
func loops(file *config.File) (warnings []string) {
	s := &sidecar{}
	s.ownsConfigured(file)
	for _, problem := range s.selfUpstreams(file) {
		warnings = append(warnings, problem+" (`outrider run` refuses it)")
	}
	return warnings
}

// checkStore finds out whether the store can be used, as far as that shows without opening
// it: that would make one, and wait for whoever is at work in it. Where it is known what is
// kept, warnings tell of credentials that have no token at all. set is nil where the
// configuration did not compile.
func (s *sidecar) checkStore(ctx context.Context, set *policy.Set) (warnings []string, err error) {
	if s.checkStoreReferences(s.file) != nil {
		return nil, nil //nolint:nilerr // checkFile tells of it
	}
	settings, err := storeSettings(s.file, s.secrets)
	if err != nil {
		return nil, err
	}
	var seeds []policy.Seed
	if set != nil {
		seeds = set.Seeds()
	}
	var ids []string
	for _, seed := range seeds {
		ids = append(ids, seed.Kept)
	}
	seen, err := settings.Inspect(ctx, ids...)
	if err != nil {
		return nil, storeFault(settings, err)
	}
	for _, seed := range seeds {
		if !seen.Read || seen.Kept[seed.Kept] {
			continue // and nobody is asked for a secret
		}
		if _, err := s.secrets.get(seed.Token); err != nil {
			warnings = append(warnings, fmt.Sprintf("%s: %v, and no token is kept: its calls are refused until there is one", seed.Key, err))
		}
	}
	return warnings, nil
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
