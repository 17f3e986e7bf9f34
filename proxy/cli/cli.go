// Package cli is the command line: it wires the parts and prints for people.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"outrider/policy/config"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFine    = 0
	exitFailed  = 1 // it was tried, and failed
	exitUsage   = 2 // usage or configuration: nothing was tried
	defaultFile = "config.toml"
)

// Process is what the command line gets from its process.
type Process struct {
	Args           []string
	Stdin          io.Reader // for the commands that are run; nil: nothing
	Stdout, Stderr io.Writer
	DefaultConfig  []byte // the configuration where there is no file
}

// usageError is wrong usage, or a wrong configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Main runs one command and returns its exit code.
func Main(ctx context.Context, p Process) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(p)
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	fmt.Fprintf(p.Stderr, "outrider: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

func newRoot(p Process) *cobra.Command {
	c := &commands{Process: p}
	root := &cobra.Command{
		Use:   "outrider",
		Short: "A local proxy sidecar for outbound API calls",
		Long: "Outrider takes an application's API calls to their destination: with live credentials,\n" +
			"paced to each provider's quota, retried where that is safe, and traced.",
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVarP(&c.config, "config", "c", "", "configuration file (default: $OUTRIDER_CONFIG, ./config.toml, /etc/outrider/config.toml)")
	flags.StringVar(&c.admin, "admin", "", "address of a running Outrider's admin port (default: from the configuration)")
	flags.BoolVar(&c.json, "json", false, "print JSON")

	root.AddCommand(c.runCommand(), c.checkCommand(), c.statusCommand(), c.topCommand(), c.tailCommand(), c.explainCommand(), c.circuitCommand(), c.alertsCommand(), c.observedCommand(), c.connectionsCommand(), c.outboxCommand(), c.storeCommand(), c.caCommand(),
		c.loginCommand(), c.logoutCommand(), c.execCommand(), c.envCommand(), c.doctorCommand(), c.presetsCommand(),
		c.simulateCommand(), c.demoCommand(), c.versionCommand())
	usageArgs([]*cobra.Command{root})
	return root
}

// usageArgs makes wrong arguments an error of usage, in commands at any depth.
func usageArgs(list []*cobra.Command) {
	for _, command := range list {
		exact := command.Args
		command.Args = func(cmd *cobra.Command, args []string) error {
			err := exact(cmd, args)
			if _, told := errors.AsType[usageError](err); err == nil || told {
				return err
			}
			return usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		usageArgs(command.Commands())
	}
}

// noArgs is for commands that take none. What stands where a command of theirs could is
// one that is misspelled.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasAvailableSubCommands() {
		return fmt.Errorf("%s takes no arguments: %q", cmd.CommandPath(), args[0])
	}
	var names []string
	for _, command := range cmd.Commands() {
		names = append(names, command.Name())
	}
	hint := config.Suggestion(args[0], names)
	if hint == "" {
		hint = "; " + cmd.CommandPath() + " --help shows those that there are"
	}
	return usageError{fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint)}
}

// commands are the commands, with their flags.
type commands struct {
	Process
	config string
	admin  string
	json   bool

	stateDir string // of ca
}

func (c *commands) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.printJSON(map[string]string{"version": version()})
			}
			_, err := fmt.Fprintln(c.Stdout, "outrider", version())
			return err
		},
	}
}

// stamped is the version that whoever built it gave it, by -ldflags="-X …".
var stamped string

// version is that, and else what the build knows of itself.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
