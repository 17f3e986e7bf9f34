package cli

import (
	"context"
	"fmt"
	"net"

	"outrider/proxy/simulator"

	"github.com/spf13/cobra"
)

func (c *commands) simulateCommand() *cobra.Command {
	listen := "127.0.0.1:9090"
	seed := uint64(1)
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Run a provider that misbehaves on purpose, to test clients against",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.simulate(cmd.Context(), listen, seed) },
	}
	command.Flags().StringVar(&listen, "listen", listen, "address to listen on")
	command.Flags().Uint64Var(&seed, "seed", seed, "seed of everything random")
	return command
}

func (c *commands) simulate(ctx context.Context, listen string, seed uint64) error {
	s, err := simulator.New(simulator.Settings{Seed: seed})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Stdout, "A misbehaving provider at http://%s/, where GET / lists what it can do.\n", listener.Addr())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	select {
	case <-ctx.Done():
		return s.Close()
	case err := <-ended:
		return err
	}
}
