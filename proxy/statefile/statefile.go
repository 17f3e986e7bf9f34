// Package statefile reads files in the state directory that hold secrets, and makes
// what was written there last.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// maxSecret bounds what is read of a file of ours; all of them are some kilobytes.
const maxSecret = 1 << 16

// ReadSecret reads a file that nobody but its owner may read or change; what says
// what it holds. An error about a file that is missing is [fs.ErrNotExist].
func ReadSecret(path, what string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := Private(path, info.Mode(), what); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return data, nil
}

// Private refuses a mode that gives a file to others; what says what it holds.
// Windows has no modes.
func Private(path string, mode fs.FileMode, what string) error {
	if runtime.GOOS == "windows" || mode.Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("%s holds %s, and others than its owner can get at it (mode %04o): chmod 600 %s",
		path, what, mode.Perm(), path)
}

// SyncDir makes new names in dir last.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" { // has no such thing
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // a file system without it, such as CIFS
	}
	return errors.Join(err, d.Close())
}
