// Outrider is a local proxy sidecar for outbound API calls. See README.md.
package main

import (
	"context"
	_ "embed"
	"os"

	"outrider/proxy/cli"
)

//go:embed config.toml
var defaultConfig []byte

func main() {
	os.Exit(cli.Main(context.Background(), cli.Process{
		Args:          os.Args[1:],
		Stdin:         os.Stdin,
		Stdout:        os.Stdout,
		Stderr:        os.Stderr,
		DefaultConfig: defaultConfig,
	}))
}
