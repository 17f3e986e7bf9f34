package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"outrider/policy"
	"outrider/policy/config"
)

// handshakeTimeout is how long a client may take for its TLS handshake.
const handshakeTimeout = 15 * time.Second

// An Issuer gives the certificates under which the TLS of clients is opened.
type Issuer interface {
	Certificate(host string) (*tls.Certificate, error)
}

// capture opens a connection to a host that an upstream names: what is inside is
// served as calls. What cannot be opened is refused, with the reason where
// people look: passed through, it would leave without its credential, quota and
// trace, and nobody would know.
func (s *Server) capture(set *policy.Set, x *exchange, release func()) {
	authority := x.r.RequestURI
	opening, err := s.issuers.get(set, s.Issuer)
	if err != nil {
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
	// The connection is nobody's now: neither net/http's nor yet a server's.
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
	client, early, err = hijack(x.w)
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

// openTLS does the handshake in the name of the host, and hands the inside on.
func (s *Server) openTLS(ctx context.Context, inner *innerConn, opening *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Server(inner, opening)
	if err := conn.HandshakeContext(ctx); err != nil {
		return interceptFailure(err)
	}
	if conn.ConnectionState().NegotiatedProtocol == "h2" {
		s.innerHTTP2.hand(conn)
		return nil
	}
	s.inner.hand(conn)
	return nil
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

// An interceptError says why a connection to a host of ours was not opened.
type interceptError struct {
	reason string // a word out of a small fixed set: metrics count by it
	detail string // for people, in words of our own
}

func (e *interceptError) Error() string { return e.reason + ": " + e.detail }

// ErrorType names it in spans.
func (e *interceptError) ErrorType() string { return e.reason }

// Harmless says that the text holds nothing of the call.
func (e *interceptError) Harmless() string { return e.Error() }

// Alerts by which a client says that it does not take a certificate (RFC 8446
// section 6.2): bad_certificate, unsupported_certificate, certificate_unknown,
// unknown_ca.
var refusedCertificate = []tls.AlertError{42, 43, 46, 48}

// badRecordMAC is what we say to a client whose record cannot be decrypted.
const badRecordMAC tls.AlertError = 20

// The sides that an alert comes from.
const (
	fromClient = "remote error"
	fromUs     = "local error"
)

// alertOf is the alert that a side sent. The type under which crypto/tls gives it
// is its own alone, and is a number like that of its exported one.
func alertOf(err error, side string) (tls.AlertError, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != side {
		return 0, false
	}
	number := reflect.ValueOf(op.Err)
	if number.Kind() != reflect.Uint8 {
		return 0, false
	}
	return tls.AlertError(number.Uint()), true
}

const trustUs = "have it trust the local certificate authority (outrider exec, outrider env), or set intercept = false for this upstream"

// interceptFailure finds out what a failed handshake means.
func interceptFailure(err error) error {
	if known, ok := errors.AsType[*interceptError](err); ok {
		return known
	}
	alert, ok := alertOf(err, fromClient)
	ours, _ := alertOf(err, fromUs)
	switch {
	case ok && slices.Contains(refusedCertificate, alert):
		return &interceptError{"client-refused-ca", "the client does not take our certificate (" + alert.Error() + "): " + trustUs}
	case ok:
		return &interceptError{"handshake", "the client ended the TLS handshake (" + alert.Error() + ")"}
	case ours == badRecordMAC:
		// OpenSSL has no keys for TLS 1.3 yet when it looks at a certificate: it
		// says what it does not like of it in the clear, where crypto/tls expects
		// a record that is encrypted. Nothing else comes in the clear there.
		return &interceptError{"client-refused-ca", "the client does not take our certificate: " + trustUs}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &interceptError{"client-left", "the client broke off its TLS handshake, perhaps because it does not take our certificate: " + trustUs}
	case errors.Is(err, context.DeadlineExceeded):
		return &interceptError{"slow", "the client did not end its TLS handshake within " + config.Duration(handshakeTimeout).String()}
	}
	return &interceptError{"handshake", "the TLS handshake failed: what the client offers cannot be served"}
}

// issuers keeps the TLS settings that belong to a configuration.
type issuers struct {
	mu      sync.Mutex
	names   []string
	opening *tls.Config
}

// get makes new ones when other hosts are to be opened. What could not be made is
// tried again at the next connection: a disk may be full for a while.
func (i *issuers) get(set *policy.Set, issue func(names []string) (Issuer, error)) (*tls.Config, error) {
	names := set.InterceptedNames()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.opening != nil && slices.Equal(i.names, names) {
		return i.opening, nil
	}
	issuer, err := issue(names)
	if err != nil {
		return nil, err
	}
	i.names, i.opening = names, openingTLS(issuer)
	return i.opening, nil
}

// openingTLS are the settings under which the TLS of clients is opened. They
// serve all hosts, so that sessions can be resumed.
func openingTLS(issuer Issuer) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		// Asked in every handshake, that of a resumed session too.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return nil, meantForHost(hello) },
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			inner, _ := beneath[*innerConn](hello.Conn)
			cert, err := issuer.Certificate(hostOf(inner.authority))
			if err != nil {
				return nil, &interceptError{"no-certificate", err.Error()}
			}
			return cert, nil
		},
	}
}

// encryptedHello is the extension of Encrypted Client Hello (RFC 9849).
const encryptedHello = 0xfe0d

// meantForHost compares the name in a client's hello with the host that it asked
// to be connected to. A client that has Encrypted Client Hello shows another
// name outside, and would take no certificate for that one. (Many send the
// extension with nothing behind it; they show the host's own name.)
func meantForHost(hello *tls.ClientHelloInfo) error {
	inner, ok := beneath[*innerConn](hello.Conn)
	if !ok {
		return errors.New("a handshake outside of a CONNECT")
	}
	host := hostOf(inner.authority)
	if hello.ServerName == "" || strings.EqualFold(strings.TrimSuffix(hello.ServerName, "."), host) {
		return nil
	}
	if slices.Contains(hello.Extensions, encryptedHello) {
		return &interceptError{"encrypted-hello", "the client hides the name of its host (Encrypted Client Hello), so that nobody on the way can open this"}
	}
	return &interceptError{"other-name", fmt.Sprintf("the client asked for a connection to %s, and inside of it for %s", quote(host), quote(hello.ServerName))}
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
