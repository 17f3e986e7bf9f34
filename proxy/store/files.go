package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"outrider/proxy/statefile"
)

// ourSecrets is what the files of the store hold.
const ourSecrets = "secrets"

// prepare makes the directory and the file of the store where they are missing,
// and refuses files that others than the owner can get at. A directory that is
// there is taken as it is: the volumes of pods are open to everybody, and there is
// nobody else in them.
//
// The file is not left to SQLite, which would make it readable for others; what
// SQLite makes beside it has the same mode. Once it has its name it is looked at
// and never opened: closing it would drop the locks that SQLite has on it in this
// process (https://sqlite.org/howtocorrupt.html section 2.2).
func prepare(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return createSecret(path, blank(), func(temp string) error { return renameNew(temp, path) })
	}
	if err := allPrivate(path); err != nil {
		return err
	}
	return emptied(path)
}

// allPrivate refuses files of a store that others than the owner can get at.
func allPrivate(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && name != path {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if err := statefile.Private(name, info.Mode(), ourSecrets); err != nil {
			return err
		}
	}
	return nil
}

// createSecret writes a complete file for its owner only, or leaves the one that
// is there. Where the file system has no links, linkless gives the complete file,
// which has another name, its own.
func createSecret(path string, data []byte, linkless func(temp string) error) (err error) {
	temp, err := writeTemp(path, data)
	if err == nil {
		err = os.Link(temp, path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = linkless(temp)
		}
		_ = os.Remove(temp) // linked by then, or of no use
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return statefile.SyncDir(filepath.Dir(path))
}

// replaceSecret writes a complete file for its owner only, in the place of one that
// may be there.
func replaceSecret(path string, data []byte) error {
	temp, err := writeTemp(path, data)
	if err == nil {
		if err = os.Rename(temp, path); err != nil {
			_ = os.Remove(temp) // of no use
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return statefile.SyncDir(filepath.Dir(path))
}

// writeTemp writes a file beside path, to the disk.
func writeTemp(path string, data []byte) (temp string, err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+name+"-") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name()) // what went wrong is known
	}
	return f.Name(), err
}
