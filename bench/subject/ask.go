package subject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Command runs one of Outrider's commands against the one that runs, and returns what it
// prints.
func (r *Running) Command(ctx context.Context, input io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.Program, append(args, "--config", r.Config)...)
	cmd.Env = append(os.Environ(), r.environment...)
	cmd.Stdin = input
	output, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return "", fmt.Errorf("outrider %s: %w", strings.Join(args, " "), err)
	}
	return string(output), nil
}

// Waiting is how many calls wait for a turn of an upstream, as outrider status has it.
func (r *Running) Waiting(ctx context.Context, upstream string) (int, error) {
	printed, err := r.Command(ctx, nil, "status", "--json")
	if err != nil {
		return 0, err
	}
	var status struct {
		Upstreams []struct {
			Name   string
			Quotas []struct{ Waiting int }
		}
	}
	if err := json.Unmarshal([]byte(printed), &status); err != nil {
		return 0, fmt.Errorf("reading outrider status: %w", err)
	}
	waiting := 0
	for _, u := range status.Upstreams {
		if u.Name != upstream {
			continue
		}
		for _, q := range u.Quotas {
			waiting += q.Waiting
		}
	}
	return waiting, nil
}
