package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

// shortages tell of connections that were not to be had, or not to be taken, for a want of
// this machine: once a minute each, since what has no descriptor left fails at everything.
type shortages struct {
	log *slog.Logger // nil: nobody listens

	mu   sync.Mutex
	told map[string]time.Time // text → when it was
}

// shortageEvery is how often the same want is worth a line.
const shortageEvery = time.Minute

// dialed hears of a connection that could not be opened.
func (s *shortages) dialed(err error) {
	s.tell("this machine can open no further connection: no provider is to blame, and calls are answered 503 after their retries", err)
}

// tell says what the matter is, and where that is the limit of descriptors, how high it is.
func (s *shortages) tell(text string, err error) {
	if s.log == nil || !s.due(text, time.Now()) {
		return
	}
	attrs := []slog.Attr{slog.String("error", err.Error())}
	if limit := descriptorLimit(); limit > 0 && (errors.Is(err, syscall.EMFILE) || errors.Is(err, winsockFull)) {
		attrs = append(attrs, slog.Uint64("descriptor_limit", limit))
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, text, attrs...)
}

// winsockFull is what Windows has for EMFILE (WSAEMFILE).
const winsockFull = syscall.Errno(10024)

// due reports that a text was not told within the last minute.
func (s *shortages) due(text string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.told[text]; ok && now.Sub(last) < shortageEvery {
		return false
	}
	if s.told == nil {
		s.told = make(map[string]time.Time)
	}
	s.told[text] = now
	return true
}

// attended is a listener that says when it cannot take connections.
type attended struct {
	net.Listener
	shortages *shortages
}

// Accept takes a connection.
func (l *attended) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		l.shortages.tell("connections cannot be accepted: clients wait, or are refused", err)
	}
	return conn, err
}
