package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/inbound"
)

// capture opens a connection to a host that an upstream names: what is inside is
// served as calls. What cannot be opened is refused, with the reason where
// people look: passed through, it would leave without its credential, quota and
// trace, and nobody would know.
func (s *Server) capture(set *policy.Set, x *exchange, release func()) {
	authority := x.r.RequestURI
	opening, err := s.issuers.get(set, hostOf(authority), s.Issuer)
	if err != nil && opening != nil && s.complaints.first("issuer", time.Now()) {
		s.Log.Warn("the local certificate authority could not follow the configuration; the hosts that it was for before are opened still", "error", err)
	}
	if opening == nil {
		release()
		failure := &interceptError{"unavailable", err.Error()}
		x.refuse(&problem{slug: "interception-unavailable", detail: failure.detail})
		x.outcome.Err = failure
		s.complain(x, failure)
		return
	}
	client, early, err := s.accept(x)
	if err != nil {
		release()
		return
	}
	inner := &innerConn{Conn: client, authority: authority, release: release}
	// The connection is nobody's now: no longer one server's, nor yet another's.
	abandon := context.AfterFunc(s.base, func() { _ = inner.Close() })
	defer abandon()
	inner.early, err = firstBytes(client, early)
	switch {
	case len(inner.early) == 0 && !errors.Is(err, os.ErrDeadlineExceeded): // opened in advance, and not needed; or we are to end
		x.outcome.Passing = true
		_ = inner.Close()
		return
	case len(inner.early) == 0:
		err = &interceptError{reason: "silent", detail: "the client said nothing, as if it waited for the server to begin: that is no HTTP"}
	case speaksTLS(inner.early):
		inner.secure = true
		err = s.openTLS(x.ctx, inner, opening)
	case speaksHTTP(inner.early):
		err = nil
		s.inner.hand(inner)
	default:
		err = &interceptError{reason: "not-tls", detail: "what the client speaks is neither TLS nor HTTP"}
	}
	if err != nil {
		_ = inner.Close()
		if s.base.Err() != nil { // it was us who broke off
			x.outcome.Passing = true
			return
		}
		s.notOpened(x, err)
		return
	}
	s.Telemetry.Intercepted(x.ctx, x.call.Upstream, "opened")
	x.outcome.Passing = true
}

// accept tells the client that it is connected, and takes the connection over.
func (s *Server) accept(x *exchange) (client net.Conn, early []byte, err error) {
	early, client, err = inbound.Detach(x.w)
	if err != nil {
		x.broken(err)
		return nil, nil, err
	}
	x.outcome.Status, x.outcome.Class, x.wrote = 200, policy.ClassOK, true
	if _, err := io.WriteString(client, established); err != nil {
		_ = client.Close()
		x.broken(&clientError{err})
		return nil, nil, err
	}
	return client, early, nil
}

// notOpened tells of a connection that was refused because it could not be
// opened. The client knows only that it broke off.
func (s *Server) notOpened(x *exchange, err error) {
	failure, ok := errors.AsType[*interceptError](err)
	if !ok {
		failure = &interceptError{reason: "handshake", detail: err.Error()}
	}
	x.outcome.Err, x.outcome.Class, x.outcome.Problem = failure, policy.ClassLocal, "interception-failed"
	s.complain(x, failure)
}

// complain counts a connection that was not opened, and tells of it.
func (s *Server) complain(x *exchange, failure *interceptError) {
	s.Telemetry.Intercepted(x.ctx, x.call.Upstream, failure.reason)
	level := slog.LevelDebug
	if s.complaints.first(x.call.Upstream+" "+failure.reason, time.Now()) {
		level = slog.LevelWarn
	}
	s.Log.Log(x.ctx, level, "a connection could not be opened, and was refused",
		"upstream", x.call.Upstream, "host", x.outcome.Host, "reason", failure.reason, "detail", failure.detail)
}

// complaints remember what was told of late, so that a client which tries again
// and again does not fill the log.
type complaints struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// complainEvery is how often the same complaint is worth a line.
const complainEvery = time.Minute

// first reports that a complaint was not told within the last minute.
func (c *complaints) first(what string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.told[what]; ok && now.Sub(last) < complainEvery {
		return false
	}
	if c.told == nil {
		c.told = make(map[string]time.Time) // upstream and reason: both of the configuration's and our own making
	}
	c.told[what] = now
	return true
}
