package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"outrider/proxy/intercept"

	"github.com/spf13/cobra"
)

// grace is how long calls under way may take to end after SIGTERM. It is less
// than the 30 seconds after which Kubernetes kills a pod.
const grace = 25 * time.Second

func (c *commands) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the sidecar (the default command)",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
}

func (c *commands) run(ctx context.Context) error {
	path, data, file, err := c.file()
	if err != nil {
		return err
	}
	reload := reloadSignals() // from the start: unheard, the signal ends the process
	s, err := prepare(ctx, path, data, file, c.Stderr)
	if err != nil {
		return err
	}
	log := s.telemetry.Logger()
	// Before we answer whoever asks whether we are ready: the application is
	// started by the answer, and reads these files when it starts.
	s.announceTrust()
	s.reloader.Changed = func() {
		s.follow()
		s.announceTrust()
	}
	s.serve()
	useMemory(ctx, log)
	log.Info("outrider is ready", "version", version(), "listen", s.addresses[""], "admin", s.adminAt,
		"config", orBuiltIn(path), "upstreams", len(file.Upstreams))

	watching := make(chan struct{})
	go func() {
		defer close(watching)
		s.reloader.Watch(ctx, reload)
	}()
	<-ctx.Done()
	<-watching
	log.Info("outrider is draining", "grace", grace.String())
	drain, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), grace, fmt.Errorf("the %s for what was under way are over", grace))
	defer cancel()
	// A second signal ends at once.
	drain, stop := signal.NotifyContext(drain, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.stop(drain); err != nil {
		return fmt.Errorf("draining: %w", err)
	}
	return nil
}

// announceTrust says whether TLS can be opened.
func (s *sidecar) announceTrust() {
	log := s.telemetry.Logger()
	if root, err := s.prepareTrust(); err != nil {
		log.Warn("https:// calls through the proxy will be refused, for the local certificate authority cannot be used; base URLs need none", "error", err)
	} else if root != "" {
		log.Info("https:// calls to upstreams are opened", "trust", root)
	}
}

// prepareTrust makes the local certificate authority, and the files that make
// clients trust it, before the first client needs them: one in a container beside
// ours reads them when it starts. It names the root; "" when nothing is opened.
func (s *sidecar) prepareTrust() (root string, err error) {
	names := s.live.Load().InterceptedNames()
	if len(names) == 0 {
		return "", nil
	}
	dir, err := stateDir(s.file)
	if err != nil {
		return "", err
	}
	authority := intercept.Open(dir)
	if _, err := authority.Issuer(names); err != nil {
		return "", err
	}
	trust, err := authority.Trust("")
	return trust.Root, err
}

func orBuiltIn(path string) string {
	if path == "" {
		return "built-in"
	}
	return path
}

// reloadSignals carries the signal that asks for a reload.
func reloadSignals() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	notifyReload(c)
	return c
}
