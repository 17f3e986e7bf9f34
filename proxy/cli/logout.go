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
		Short: "Forget the tokens of a login, and have the provider revoke them",
		Long: "logout forgets the tokens that outrider login has kept, and has the provider revoke them where\n" +
			"revoke_url says how (RFC 7009). Otherwise an Outrider that runs sends the access token that it has\n" +
			"until that is to be refreshed.",
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
	Revoked    bool   `json:"revoked"`   // and the provider was told
}

func (c *commands) logout(ctx context.Context, name, connection string) error {
	s, u, err := c.upstreamFor(name)
	if err != nil {
		return err
	}
	defer s.storage.close()
	if _, err := policy.LoginID(u, connection); err != nil {
		return usageError{err}
	}
	title := policy.ConnectionTitle(name, connection)
	there, revoked, err := policy.Logout(ctx, u, connection, s.plainEnv())
	switch {
	case err != nil && there:
		return fmt.Errorf("the tokens of %s are forgotten here, and the provider could not be told: %w", title, err)
	case err != nil:
		return fmt.Errorf("logging out of %s: %w", title, err)
	}
	c.noteOtherState(ctx, s.stateDir())
	told := "The provider was not told."
	if revoked {
		told = "The provider was told to revoke them."
	}
	switch {
	case c.json:
		return c.printJSON(logoutView{name, connection, there, revoked})
	case !there:
		fmt.Fprintf(c.Stdout, "Nobody is logged in to %s.\n", title)
	default:
		fmt.Fprintf(c.Stdout, "The tokens of %s are forgotten here. %s\n", title, told)
	}
	return nil
}
