package intercept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// A Plan is what installing the root in the system's store, or removing it,
// would do. It does nothing until it is run.
type Plan struct {
	System string // what was found, for people: "Debian, Ubuntu or Alpine"
	Steps  []Step

	again string // the command that would be run as root
}

// A Step is one thing that installing or removing would do.
type Step struct {
	Text string // for people: "copy X to Y", "run update-ca-certificates"

	run func(ctx context.Context) error
}

// Run takes the steps in order and stops at the first error. Each can be taken
// twice, so a plan that was interrupted is run again. Without the permission to
// change the system, the error says how to get it.
func (p Plan) Run(ctx context.Context) error {
	for _, step := range p.Steps {
		err := step.run(ctx)
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("changing what the system trusts needs root: %s (%w)", p.again, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyStep(from, to string) Step {
	return Step{Text: "copy " + from + " to " + to, run: func(context.Context) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("reading the root certificate: %w", err)
		}
		return writeFile(to, data, 0o644)
	}}
}

func removeStep(path string) Step {
	return Step{Text: "remove " + path, run: func(context.Context) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the root certificate: %w", err)
		}
		return nil
	}}
}

func commandStep(command ...string) Step {
	line := strings.Join(command, " ")
	return Step{Text: "run " + line, run: func(ctx context.Context) error {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("running %s: %w", line, context.Cause(ctx))
		case os.Geteuid() > 0: // such commands do not say in a way of their own that it is this
			err = errors.Join(err, fs.ErrPermission)
		}
		return fmt.Errorf("running %s: %w\n%s", line, err, bytes.TrimSpace(out))
	}}
}
