package clients

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeNamed writes a file into a directory whose name tells its content: it
// is never changed, so that programs that are running keep what they were told.
func writeNamed(dir, prefix, name, text string, mode fs.FileMode) (string, error) {
	sum := sha256.Sum256([]byte(text))
	own := filepath.Join(dir, prefix+hex.EncodeToString(sum[:6]))
	path := filepath.Join(own, name)
	if data, err := os.ReadFile(path); err == nil && bytes.Equal(data, []byte(text)) {
		return path, nil
	}
	if err := os.MkdirAll(own, 0o755); err != nil { //nolint:gosec // other users' programs read the roots, too
		return "", fmt.Errorf("writing %s for clients: %w", name, err)
	}
	if err := replaceFile(path, []byte(text), mode); err != nil {
		return "", fmt.Errorf("writing %s for clients: %w", name, err)
	}
	return path, nil
}

// writeNamedDir is writeNamed for clients that are told the directory.
func writeNamedDir(dir, prefix, name, text string) (string, error) {
	path, err := writeNamed(dir, prefix, name, text, 0o644)
	if err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// replaceFile is there whole, or not at all.
func replaceFile(path string, data []byte, mode fs.FileMode) (err error) {
	next, err := os.CreateTemp(filepath.Dir(path), ".next-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(next.Name()))
		}
	}()
	_, err = next.Write(data)
	if err = errors.Join(err, next.Chmod(mode), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
