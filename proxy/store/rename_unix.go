//go:build unix

package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// renameNew gives a file a name that nobody has: fs.ErrExist if somebody does. It is for file
// systems without links. A rename by itself would replace a file that came up this moment, and
// with it what another process has kept there since: so whoever makes one locks the directory
// meanwhile. The system gives the lock up when the process ends, in whatever way.
func renameNew(from, to string) error {
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // and with it the lock
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", dir.Name(), err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fs.ErrExist)
	}
	return os.Rename(from, to)
}
