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
	mu     sync.Mutex
	values map[config.Reference]*secret
	runs   map[config.Reference]chan struct{} // reference → the place of its reading, for one at a time
}

type secret struct {
	value    string
	read     time.Time // when the value was read
	checked  time.Time // when the file was looked at last
	modified time.Time // of the file that was read
	size     int64
}

func newSecrets() *secrets {
	return &secrets{values: make(map[config.Reference]*secret), runs: make(map[config.Reference]chan struct{})}
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
		value, ok := os.LookupEnv(rest)
		if !ok || value == "" {
			return "", fmt.Errorf("the environment variable %s is not set", rest)
		}
		return value, nil
	case "file":
		return s.file(ref, rest)
	case "exec":
		return s.once(ref, func() (string, error) { return runForSecret(ref, rest) })
	case "keyring":
		return s.once(ref, func() (string, error) { return fromKeyring(rest) })
	}
	return "", fmt.Errorf("%s: not a reference; write env:NAME, file:/path, exec:command or keyring:NAME", ref)
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
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	s.values[ref] = &secret{value: value, read: now, checked: now, modified: info.ModTime(), size: info.Size()}
	return value, nil
}

// once gives what was read once, such as what a command has printed. Whoever asks
// while it is read waits for that, and others do not.
func (s *secrets) once(ref config.Reference, read func() (string, error)) (string, error) {
	s.mu.Lock()
	known, place := s.values[ref], s.runs[ref]
	if place == nil {
		place = make(chan struct{}, 1)
		s.runs[ref] = place
	}
	s.mu.Unlock()
	if known != nil {
		return known.value, nil
	}
	place <- struct{}{} // reading is bounded: see execTimeout and keyringTimeout
	defer func() { <-place }()
	s.mu.Lock()
	known = s.values[ref]
	s.mu.Unlock()
	if known != nil {
		return known.value, nil
	}
	value, err := read()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[ref] = &secret{value: value, read: time.Now()}
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
