package cli

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"outrider/policy/config"
)

// stateDir is where what outlives the process is kept: where the configuration
// says, or else where the platform has it (XDG Base Directory Specification for
// Linux and the BSDs). It is not made here.
func stateDir(file *config.File) (string, error) {
	if file.StateDir != "" {
		return filepath.Abs(file.StateDir)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) { // a relative one is to be ignored
		return filepath.Join(dir, "outrider"), nil
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return filepath.Join(dir, "outrider"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("there is no place for the local certificate authority and for tokens: set state_dir in the configuration, or HOME or XDG_STATE_HOME in the environment")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "outrider"), nil
	}
	return filepath.Join(home, ".local", "state", "outrider"), nil
}
