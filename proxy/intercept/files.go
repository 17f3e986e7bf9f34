package intercept

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"outrider/proxy/statefile"
)

// aKey is what our files that are private hold.
const aKey = "a private key"

// writeFile replaces path by a complete file or leaves it as it was.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+"-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
			_, _ = f.Close(), os.Remove(f.Name()) // what went wrong is known
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	// Not left to CreateTemp and the umask: 0644 is meant for everybody.
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return statefile.SyncDir(dir)
}

// keepFile is writeFile for a file that is only written when it would change,
// so that whoever has it open, or watches it, is not disturbed for nothing.
func keepFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return writeFile(path, data, 0o644)
}

// keepDir makes a directory that everybody may read, if it is missing.
func keepDir(path string) error {
	err := os.Mkdir(path, 0o755) //nolint:gosec // G301: certificates are for everybody
	if errors.Is(err, fs.ErrExist) {
		return unwritable(path)
	}
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return os.Chmod(path, 0o755) //nolint:gosec // G302: as above, and the umask may have taken it
}

// unwritable refuses a directory in which others could put their own files.
func unwritable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	if runtime.GOOS == "windows" || info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	return fmt.Errorf("%s can be changed by others than its owner (mode %04o): chmod go-w %s",
		dir, info.Mode().Perm(), dir)
}
