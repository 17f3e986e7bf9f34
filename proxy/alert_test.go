package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// OpenSSL sends its alert in the clear, which crypto/tls cannot read: that, too,
// is a client that does not take our certificate.
func TestFailedHandshakesSayWhy(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		reason string
	}{
		"unknown_ca":           {&net.OpError{Op: "remote error", Err: tls.AlertError(48)}, "client-refused-ca"},
		"unreadable":           {&net.OpError{Op: "local error", Err: tls.AlertError(20)}, "client-refused-ca"},
		"handshake_failure":    {&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, "handshake"},
		"no common cipher":     {&net.OpError{Op: "local error", Err: tls.AlertError(40)}, "handshake"},
		"broken off":           {io.ErrUnexpectedEOF, "client-left"},
		"broken off in a read": {&net.OpError{Op: "read", Err: io.EOF}, "client-left"},
	} {
		if failure, ok := interceptFailure(c.err).(*interceptError); !ok || failure.reason != c.reason {
			t.Errorf("%s: %v, want %s", name, failure, c.reason)
		}
	}
}
