package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A tlsUpstream is an upstream that speaks HTTP/2 where its client can.
type tlsUpstream struct {
	*httptest.Server
	ca string // file of the authority to trust
}

func http2Upstream(t *testing.T, handler http.HandlerFunc) *tlsUpstream {
	t.Helper()
	config, ca := certificate(t)
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return &tlsUpstream{server, ca}
}

// document is an [upstream.NAME] for it.
func (u *tlsUpstream) document(name string) string {
	return fmt.Sprintf("[upstream.%s]\nurl = %q\nca_file = %q\n", name, u.URL, u.ca)
}
