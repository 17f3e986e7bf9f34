package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"outrider/policy/config"
)

// places are where a configuration is looked for, in this order, when none is named.
var places = []string{defaultFile, "/etc/outrider/config.toml"}

// source finds the configuration: its path, "" for the built-in one, and its text.
func (c *commands) source() (path string, data []byte, err error) {
	named := c.config
	if named == "" {
		named = os.Getenv(configVariable)
	}
	if named != "" {
		data, err := os.ReadFile(named)
		if err != nil {
			return "", nil, usageError{fmt.Errorf("reading the configuration: %w", err)}
		}
		return absolutePath(named), data, nil
	}
	for _, place := range places {
		data, err := os.ReadFile(place)
		if err == nil {
			return absolutePath(place), data, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, usageError{fmt.Errorf("reading the configuration: %w", err)}
		}
	}
	return "", c.DefaultConfig, nil
}

func absolutePath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// file parses the configuration. Its errors come one on a line.
func (c *commands) file() (path string, data []byte, file *config.File, err error) {
	path, data, err = c.source()
	if err != nil {
		return "", nil, nil, err
	}
	file, err = config.Parse(path, data)
	if err != nil {
		return "", nil, nil, usageError{fmt.Errorf("the configuration is not valid:\n%w", err)}
	}
	return path, data, file, nil
}

func (c *commands) printJSON(v any) error {
	return writeJSON(c.Stdout, v, "  ")
}
