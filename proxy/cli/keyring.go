package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"
)

const (
	// ourService is what the entries of the system's keyring that are ours belong to.
	ourService = "outrider"

	// keyringTimeout bounds one question. A keyring that is locked asks whoever sits
	// at the machine, and waits.
	keyringTimeout = 5 * time.Second
)

// errKeyringSilent is a question that has no answer yet. It cannot be taken back, and
// may be answered when somebody unlocks the keyring.
var errKeyringSilent = fmt.Errorf("the keyring did not answer within %s: it may be locked", keyringTimeout)

// fromKeyring reads an entry of the system's keyring, and waits for as long as that
// takes.
func fromKeyring(name string) (value string, err error) {
	err = askKeyring(func() (err error) {
		value, err = keyring.Get(ourService, name)
		return err
	})
	if errors.Is(err, keyring.ErrNotFound) {
		return "", fmt.Errorf("the keyring has no entry of the service %s for the name %s: %w", ourService, name, err)
	}
	return value, err
}

// toKeyring writes an entry.
func toKeyring(name, value string) error {
	answer := make(chan error, 1)
	go func() {
		answer <- askKeyring(func() error { return keyring.Set(ourService, name, value) })
	}()
	select {
	case err := <-answer:
		return err
	case <-time.After(keyringTimeout):
		return errKeyringSilent
	}
}

// askKeyring asks the keyring, where there is one.
func askKeyring(question func() error) (err error) {
	if !hasKeyring() {
		return errors.New("there is no keyring here: it belongs to the session of a desktop; take env:NAME, file:/path or exec:command")
	}
	defer func() { // the library panics when the session ends while it waits for somebody to unlock the keyring
		if problem := recover(); problem != nil {
			err = errors.New("asking the keyring: its session ended")
		}
	}()
	if err = question(); err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("asking the keyring: %w", err)
	}
	return err
}

// hasKeyring keeps the library from starting a D-Bus of its own where there is none,
// on servers and in containers.
func hasKeyring() bool {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" || os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	_, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus"))
	return err == nil && os.Getenv("XDG_RUNTIME_DIR") != ""
}
