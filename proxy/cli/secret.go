package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"outrider/policy/config"
)

// Bounds of a reference that runs a command, and how long the value of a file
// is taken as it is before the file is looked at again.
const (
	execTimeout = 10 * time.Second
	fileFresh   = time.Second
)

// secrets resolve references. Values of files are read again when the file changes; a
// command is run once, and the keyring asked once, and again when the value was refused.
type secrets struct {
	// variables have the values of environment variables, which stay what they are: to ask
	// the environment for one costs more than all else that a call does for its secret.
	variables struct {
		sync.RWMutex
		values map[config.Reference]string
	}

	mu       sync.Mutex
	values   map[config.Reference]*secret
	readings map[config.Reference]*reading // those under way
}

type secret struct {
	value    string
	read     time.Time // when the value was read
	checked  time.Time // when the file was looked at last
	modified time.Time // of the file that was read
	size     int64
}

func newSecrets() *secrets {
	s := &secrets{values: make(map[config.Reference]*secret), readings: make(map[config.Reference]*reading)}
	s.variables.values = make(map[config.Reference]string)
	return s
}

// refused notes that a provider did not take a value: it is read again when it is
// asked for next, unless it was only just read. A provider that refuses everything
// must not have a command run for every call.
func (s *secrets) refused(ref config.Reference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.values[ref]; known != nil && time.Since(known.read) >= fileFresh {
		delete(s.values, ref)
	}
}

// get gives the value of a reference. Its errors name the reference, never a value.
func (s *secrets) get(ref config.Reference) (string, error) {
	if ref.Literal() {
		return string(ref), nil
	}
	_, rest, _ := strings.Cut(string(ref), ":")
	switch ref.Scheme() {
	case "env":
		return s.variable(ref, rest)
	case "file":
		value, err := s.file(ref, rest)
		return strings.TrimPrefix(value, byteOrderMark), err
	case "exec":
		r := s.once(ref, func() (string, error) { return runForSecret(ref, rest) })
		<-r.done // it is bounded: see execTimeout
		return r.value, r.err
	case "keyring":
		r := s.once(ref, func() (string, error) { return fromKeyring(rest) })
		select {
		case <-r.done:
			return r.value, r.err
		case <-time.After(keyringTimeout):
			return "", errKeyringSilent
		}
	}
	return "", fmt.Errorf("%s: not a reference; write env:NAME, file:/path, exec:command or keyring:NAME", ref)
}

// byteOrderMark is put in front of a text by editors of Windows. No credential begins with
// it, and none is good with it.
const byteOrderMark = "\xef\xbb\xbf"

// storeKey is get for a key of the store. It is taken as it is: what has been sealed with a
// mark in front is opened by nothing else.
func (s *secrets) storeKey(ref config.Reference) (string, error) {
	if path, ok := strings.CutPrefix(string(ref), "file:"); ok {
		return s.file(ref, path)
	}
	return s.get(ref)
}

// variable gives the value of an environment variable, and remembers it.
func (s *secrets) variable(ref config.Reference, name string) (string, error) {
	s.variables.RLock()
	value, known := s.variables.values[ref]
	s.variables.RUnlock()
	if known {
		return value, nil
	}
	value, set := os.LookupEnv(name)
	if !set || value == "" {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	s.variables.Lock()
	defer s.variables.Unlock()
	s.variables.values[ref] = value
	return value, nil
}

func (s *secrets) file(ref config.Reference, path string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.values[ref]
	now := time.Now()
	if known != nil && now.Sub(known.checked) < fileFresh {
		return known.value, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if known != nil && known.modified.Equal(info.ModTime()) && known.size == info.Size() {
		known.checked = now
		return known.value, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" || value == byteOrderMark {
		return "", fmt.Errorf("%s is empty", path)
	}
	s.values[ref] = &secret{value: value, read: now, checked: now, modified: info.ModTime(), size: info.Size()}
	return value, nil
}

// runForSecret runs a command without a shell: words are separated by spaces.
func runForSecret(ref config.Reference, command string) (string, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", fmt.Errorf("%s names no command", ref)
	}
	ctx, cancel := context.WithTimeout(context.Background(), execTimeout)
	defer cancel()
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.WaitDelay = time.Second // a child of its own may keep its output open
	output, err := run.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", words[0], err)
	}
	value := string(bytes.TrimRight(output, "\r\n"))
	if value == "" {
		return "", fmt.Errorf("%s printed nothing", words[0])
	}
	return value, nil
}
