package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// An internal upstream has to work by HTTPS_PROXY too: the operator named it,
// so its private address needs no second permission in forward.allow_private.
func TestTunnelToAListedPrivateHostIsAllowed(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		line, _ := r.ReadString('\n')
		_, _ = fmt.Fprintf(conn, "got %s", line)
	})
	r := launch(t, api(address)+"intercept = false\n")
	conn, answer := r.raw("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	if resp, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if got, err := answer.ReadString('\n'); err != nil || got != "got hello\n" {
		t.Errorf("got %q %v", got, err)
	}
}
