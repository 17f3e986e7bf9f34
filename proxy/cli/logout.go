package cli

import (
	"context"
	"fmt"

	"outrider/policy"

	"github.com/spf13/cobra"
)

func (c *commands) logoutCommand() *cobra.Command {
	connection := ""
	command := &cobra.Command{
		Use:   "logout UPSTREAM",
		Short: "Forget the tokens of a login",
		Long: "logout forgets the tokens that outrider login has kept. An Outrider that runs sends the access token\n" +
			"that it has until that is refreshed or ends. The provider is not told: where that matters, revoke the\n" +
			"access there.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.logout(cmd.Context(), args[0], connection) },
	}
	command.Flags().StringVar(&connection, "connection", "", connectionHelp)
	return command
}

// logoutView is what a logout did, for programs.
type logoutView struct {
	Upstream   string `json:"upstream"`
	Connection string `json:"connection,omitempty"`
	Forgotten  bool   `json:"forgotten"` // there were tokens
}

func (c *commands) logout(ctx context.Context, name, connection string) error {
	s, u, err := c.upstreamFor(name)
	if err != nil {
		return err
	}
	defer s.closePlain()
	id, err := policy.LoginID(u, connection)
	if err != nil {
		return usageError{err}
	}
	slot, err := s.slot(id)
	if err != nil {
		return usageError{err}
	}
	there, err := policy.Forget(ctx, slot)
	if err != nil {
		return fmt.Errorf("logging out: %w", err)
	}
	c.noteOtherState(ctx, s.stateDir())
	switch {
	case c.json:
		return c.printJSON(logoutView{name, connection, there})
	case !there:
		fmt.Fprintf(c.Stdout, "Nobody is logged in to %s.\n", policy.ConnectionTitle(name, connection))
	default:
		fmt.Fprintf(c.Stdout, "The tokens of %s are forgotten here. The provider was not told.\n", policy.ConnectionTitle(name, connection))
	}
	return nil
}
