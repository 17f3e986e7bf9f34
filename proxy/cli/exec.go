package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"outrider/policy/config"
	"outrider/proxy/clients"

	"github.com/spf13/cobra"
)

// execOptions are the flags of exec.
type execOptions struct {
	log          string
	placeholders bool
}

func (c *commands) execCommand() *cobra.Command {
	var o execOptions
	command := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT]...",
		Short: "Run any command so that its calls go through Outrider",
		Long: "exec runs a command with the variables that outrider env prints, so that its HTTP clients come to\n" +
			"Outrider and trust it, in whatever language they are. It uses the Outrider that runs, or starts one\n" +
			"that ends with the command, and that is for this command and what it starts alone. Input, output,\n" +
			"signals and exit code are the command's.\n\n" +
			"With --placeholders the command never holds the keys that the configuration reads from the\n" +
			"environment. Keys in files are protected by the files' permissions alone.",
		Example: "  outrider exec -- python sync.py\n  outrider exec --placeholders --log calls.log -- ./agent",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.exec(cmd.Context(), o, args) },
	}
	flags := command.Flags()
	flags.SetInterspersed(false) // what follows the command is the command's
	flags.StringVar(&o.log, "log", "", "file for the whole log of the Outrider that is started; without it, warnings go to stderr")
	flags.BoolVar(&o.placeholders, "placeholders", false, placeholdersHelp)
	return command
}

func (c *commands) exec(ctx context.Context, o execOptions, command []string) error {
	signals := make(chan os.Signal, 16) // from here on, so that none is lost
	signal.Notify(signals, childSignals...)
	defer signal.Stop(signals)
	program, err := exec.LookPath(command[0])
	if err != nil {
		return c.notStarted(command[0], err)
	}
	path, data, file, err := c.file()
	if err != nil {
		return err
	}
	d, leave, err := c.enter(ctx, o, path, data, file)
	if err != nil {
		return err
	}
	defer leave()
	variables, err := c.variables(d)
	if err != nil {
		return err
	}
	if d.admin != "" {
		variables = append(variables, clients.Variable{Name: adminVariable, Value: d.admin})
	}
	child := exec.Command(program, command[1:]...) //nolint:noctx // it ends when it ends; signals reach it by themselves
	child.Args[0] = command[0]
	child.Stdin, child.Stdout, child.Stderr = c.Stdin, c.Stdout, c.Stderr
	child.Env = childEnvironment(os.Environ(), variables, file, o.placeholders)
	return c.runChild(child, signals)
}

// enter finds the door of the Outrider that runs, or of one that is started here.
// leave takes that down again.
func (c *commands) enter(ctx context.Context, o execOptions, path string, data []byte, file *config.File) (d door, leave func(), err error) {
	running, err := c.neighbour(ctx)
	if err != nil {
		return door{}, nil, err
	}
	if d, err = c.door(file, running); err != nil {
		return door{}, nil, err
	}
	if running != nil {
		if err := c.sameConfig(running, path, data); err != nil {
			return door{}, nil, err
		}
		c.noteNeighbour(running, path)
		if o.log != "" {
			c.note("the Outrider that runs has a log of its own: nothing is written to %s", o.log)
		}
		return d, func() {}, nil
	}
	own, err := c.startOwn(ctx, o.log, path, data, file)
	if err != nil {
		return door{}, nil, err
	}
	d.listen, d.admin = own.addresses[""], own.adminAt
	return d, func() {
		if err := own.end(); err != nil {
			c.note("%v", err) // the exit code stays the command's
		}
	}, nil
}

// childEnvironment is an environment with variables added, or put in the place of
// those of the same name.
func childEnvironment(environ []string, variables []clients.Variable, file *config.File, hide bool) []string {
	values := make(map[string]string)
	var drop []string
	if hide {
		values, drop = placeholders(file)
		for name := range values {
			if _, set := os.LookupEnv(name); !set {
				delete(values, name) // what the program did not have, it does not miss
			}
		}
	}
	for _, v := range variables {
		values[v.Name] = v.Value
	}
	gone := make(map[string]bool)
	for _, name := range drop {
		gone[name] = true
	}
	var env []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if _, replaced := values[name]; !replaced && !gone[name] {
			env = append(env, pair)
		}
	}
	for _, name := range sortedKeys(values) {
		env = append(env, name+"="+values[name])
	}
	return env
}

// notStarted tells why a command does not run, with the exit codes of shells
// (POSIX.1 Shell Command Language, section 2.8.2).
func (c *commands) notStarted(command string, err error) error {
	status, reason := exitStatus(126), "cannot be run"
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		status, reason = 127, "not found"
	case errors.Is(err, exec.ErrDot):
		status, reason = 127, "found in the current directory only; write ./"+command
	}
	if cause, ok := errors.AsType[*exec.Error](err); ok {
		err = cause.Err
	}
	if status == 126 {
		reason += fmt.Sprintf(" (%v)", err)
	}
	c.note("exec: %s: %s", command, reason)
	return status
}
