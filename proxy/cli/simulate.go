package cli

import (
	"context"
	"fmt"
	"net"
	"os"

	"outrider/proxy/simulator"

	"github.com/spf13/cobra"
)

func (c *commands) simulateCommand() *cobra.Command {
	listen, key := "127.0.0.1:9090", ""
	seed := uint64(1)
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Run a provider that misbehaves on purpose, to test clients against",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.simulate(cmd.Context(), listen, key, seed) },
	}
	command.Flags().StringVar(&listen, "listen", listen, "address to listen on")
	command.Flags().Uint64Var(&seed, "seed", seed, "seed of everything random")
	command.Flags().StringVar(&key, "assertion-key", "", "file with the PEM public key of assertions; none: any key")
	return command
}

func (c *commands) simulate(ctx context.Context, listen, key string, seed uint64) error {
	settings := simulator.Settings{Seed: seed}
	if key != "" {
		text, err := os.ReadFile(key)
		if err != nil {
			return err
		}
		settings.AssertionKey = string(text)
	}
	s, err := simulator.New(settings)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("opening --listen %s: %w", listen, err)
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
