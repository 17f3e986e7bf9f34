package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
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
	issuer  Issuer
	opening *tls.Config
}

// get makes new ones when other hosts are to be opened. What could not be made is
// tried again at the next connection: a disk may be full for a while. Until then
// those that there were serve the hosts that they are for; the error comes with
// them.
func (i *issuers) get(set *policy.Set, host string, issue func(names []string) (Issuer, error)) (*tls.Config, error) {
	names := set.InterceptedNames()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.opening != nil && slices.Equal(i.names, names) {
		return i.opening, nil
	}
	issuer, err := issue(names)
	if err != nil {
		if i.issuer == nil {
			return nil, err
		}
		if _, notFor := i.issuer.Certificate(host); notFor != nil {
			return nil, err
		}
		return i.opening, err
	}
	i.names, i.issuer, i.opening = names, issuer, openingTLS(issuer)
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
