package store

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"outrider/proxy/statefile"
)

const (
	variable    = "OUTRIDER_KEY"
	keyFileName = "store.key"

	// minKey is the least that a key has, in bytes: 128 bits, if they are random.
	minKey = 16
)

// ErrKey is what an error is that comes of the key, and not of what it seals.
var ErrKey = errors.New("the key of the store cannot be used")

// A keyError is an ErrKey in words of its own.
type keyError struct{ error }

func (e keyError) Unwrap() error { return e.error }

// Is says that it is an ErrKey.
func (e keyError) Is(target error) bool { return target == ErrKey }

// A key is where the sealing key comes from.
type key struct {
	from string                 // for people
	cure string                 // what to do where it is the wrong one
	get  func() (string, error) // as it is written there
	file string                 // where one is made if there is none; "" for nowhere
	made bool                   // just now, by us
}

// newKey says where the key of the store in dir comes from.
func newKey(configured func() (string, error), dir string) *key {
	if configured != nil {
		return &key{from: "the configuration", cure: "set [store] key to the one that sealed it", get: configured}
	}
	// A variable that is set to nothing is told, and not passed over: whoever set
	// it meant a key, and would have got another one.
	if text, set := os.LookupEnv(variable); set {
		return &key{from: variable, cure: "set " + variable + " to the one that sealed it, or unset it where that is in " + keyFileName,
			get: func() (string, error) { return text, nil }}
	}
	path := filepath.Join(dir, keyFileName)
	return &key{from: path, cure: "put back the " + keyFileName + " that sealed it, or give its key by [store] key or " + variable, file: path, get: func() (string, error) { return readKeyFile(path) }}
}

func readKeyFile(path string) (string, error) {
	text, err := statefile.ReadSecret(path, ourSecrets)
	return string(text), err
}

// read gives the key. The error is fs.ErrNotExist where it would be in a file
// that is not there.
func (k *key) read() (string, error) {
	text, err := k.get()
	if err != nil {
		if k.file != "" {
			return "", keyError{err} // names the file
		}
		return "", keyError{fmt.Errorf("getting the store's key from %s: %w", k.from, err)}
	}
	text, err = cleanKey(text)
	if err != nil {
		return "", keyError{fmt.Errorf("the store's key, from %s, %w", k.from, err)}
	}
	return text, nil
}

// cleanKey takes off the line end that editors and secret mounts add, which is no
// part of a key.
func cleanKey(text string) (string, error) {
	text = strings.TrimSpace(text)
	return text, CheckKey(text)
}

// CheckKey says what is wrong with the text of a key.
func CheckKey(text string) error {
	if n := len(strings.TrimSpace(text)); n < minKey {
		return fmt.Errorf("has %d bytes: it must have at least %d", n, minKey)
	}
	return nil
}

// RandomKey is the text of a new key.
func RandomKey() string {
	random := make([]byte, keySize)
	_, _ = rand.Read(random) // it never fails
	return base64.StdEncoding.EncodeToString(random)
}

// readOrMake gives the key, and makes its file if that is where it would be.
func (k *key) readOrMake() (string, error) {
	text, err := k.read()
	if k.file == "" || !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	text = RandomKey() + "\n"
	// Renaming would replace a file that came up this moment, and the store's
	// transaction keeps our own kind away.
	rename := func(temp string) error { return os.Rename(temp, k.file) }
	if err := os.MkdirAll(filepath.Dir(k.file), 0o700); err != nil {
		return "", fmt.Errorf("making %s: %w", filepath.Dir(k.file), err)
	}
	if err := createSecret(k.file, []byte(text), rename); err != nil {
		return "", err
	}
	k.made = true
	return k.read() // which is another's where two made one
}
