package subject

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"outrider/bench/machine"
)

// BuildOutrider builds it from the repository that this module lies in, as the Dockerfile
// does.
func BuildOutrider(ctx context.Context, repository, program string) error {
	return build(ctx, repository, program, "-tags", "grpcnotrace", ".")
}

// BuildStock builds the stack of ./stock.
func BuildStock(ctx context.Context, module, program string) error {
	return build(ctx, module, program, "./stock")
}

// CaddyVersion is the one that is compared with.
const CaddyVersion = "v2.11.9"

// caddyMain is what Caddy's own command is.
const caddyMain = `package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
`

// BuildCaddy builds Caddy, unless program is that already. That takes minutes.
func BuildCaddy(ctx context.Context, program string) error {
	if version, err := exec.CommandContext(ctx, program, "version").Output(); err == nil && strings.HasPrefix(string(version), CaddyVersion+" ") {
		return nil
	}
	module, err := os.MkdirTemp("", "caddy-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(module)
	if err := os.WriteFile(filepath.Join(module, "main.go"), []byte(caddyMain), 0o600); err != nil {
		return err
	}
	if err := run(ctx, module, "mod", "init", "caddybuild"); err != nil {
		return err
	}
	if err := run(ctx, module, "get", "github.com/caddyserver/caddy/v2@"+CaddyVersion); err != nil {
		return err
	}
	if err := run(ctx, module, "mod", "tidy"); err != nil {
		return err
	}
	return build(ctx, module, program, ".")
}

func build(ctx context.Context, dir, program string, args ...string) error {
	return run(ctx, dir, append([]string{"build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", program}, args...)...)
}

// run runs a go command in dir.
func run(ctx context.Context, dir string, args ...string) error {
	command := machine.Everywhere(append([]string{"go"}, args...)...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s, in %s: %w: %s", strings.Join(args, " "), dir, err, output)
	}
	return nil
}
