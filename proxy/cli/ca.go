package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"outrider/proxy/intercept"

	"github.com/spf13/cobra"
)

func (c *commands) caCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "ca",
		Short: "The local certificate authority, under which TLS to your upstreams is opened",
		Long: "ca shows the certificate authority of this machine, and makes it trusted by the whole system, or\n" +
			"no longer. It is made at the first use, in the state directory, and its key never leaves that.\n" +
			"Programs that run under outrider exec, or with outrider env, trust it without any of this.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("which? %s path, export, trust or untrust", cmd.CommandPath())}
		},
	}
	command.PersistentFlags().StringVar(&c.stateDir, "state-dir", "", "state directory (default: from the configuration; as root it would be root's own)")
	bundle := false
	export := &cobra.Command{
		Use: "export", Short: "Print its certificate, as PEM", Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return c.caExport(bundle) },
	}
	export.Flags().BoolVar(&bundle, "bundle", false, "the roots of the system and ours, for programs that take one file")
	dry := false
	trust := &cobra.Command{
		Use: "trust", Short: "Have the whole system trust it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.caSystem(cmd.Context(), (*intercept.Authority).TrustPlan, dry)
		},
	}
	untrust := &cobra.Command{
		Use: "untrust", Short: "Have the system forget it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.caSystem(cmd.Context(), (*intercept.Authority).UntrustPlan, dry)
		},
	}
	for _, changing := range []*cobra.Command{trust, untrust} {
		changing.Flags().BoolVar(&dry, "dry-run", false, "say what would be changed, and change nothing")
	}
	command.AddCommand(
		&cobra.Command{
			Use: "path", Short: "Print where its certificate is", Args: noArgs,
			RunE: func(*cobra.Command, []string) error { return c.caPath() },
		}, export, trust, untrust)
	return command
}

// authority is the local certificate authority that the configuration names.
func (c *commands) authority() (*intercept.Authority, error) {
	if c.stateDir != "" {
		return intercept.Open(c.stateDir), nil
	}
	_, _, file, err := c.file()
	if err != nil {
		return nil, err
	}
	dir, err := stateDir(file)
	if err != nil {
		return nil, usageError{err}
	}
	return intercept.Open(dir), nil
}

// trustFiles are the files that make clients trust the local authority.
func (c *commands) trustFiles() (intercept.Trust, error) {
	authority, err := c.authority()
	if err != nil {
		return intercept.Trust{}, err
	}
	return authority.Trust("")
}

func (c *commands) caPath() error {
	trust, err := c.trustFiles()
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]string{"root": trust.Root, "bundle": trust.Bundle, "directory": trust.CertDir, "java": trust.Java})
	}
	_, err = fmt.Fprintln(c.Stdout, trust.Root)
	return err
}

func (c *commands) caExport(bundle bool) error {
	trust, err := c.trustFiles()
	if err != nil {
		return err
	}
	path := trust.Root
	if bundle {
		path = trust.Bundle
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(c.Stdout, file)
	return err
}

// caSystem says what it changes in the system, and changes it.
func (c *commands) caSystem(ctx context.Context, plan func(*intercept.Authority) (intercept.Plan, error), dry bool) error {
	authority, err := c.authority()
	if err != nil {
		return err
	}
	todo, err := plan(authority)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Stdout, "%s:\n", todo.System)
	for _, step := range todo.Steps {
		fmt.Fprintln(c.Stdout, "  "+step.Text)
	}
	if dry {
		fmt.Fprintln(c.Stdout, "Nothing was changed.")
		return nil
	}
	if err := todo.Run(ctx); err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout, "Done.")
	return nil
}
