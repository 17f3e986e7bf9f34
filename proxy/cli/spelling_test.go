package cli

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// A host of ours in another spelling was taken for a host that no upstream names:
// "0443" is no port of the configuration and "[0:0:0:0:0:0:0:1]" none of its
// addresses, but whoever dials them arrives there. So its traffic went out
// unopened, without credential and quota, and nobody was told.
func TestHostInAnotherSpellingDoesNotPass(t *testing.T) {
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6:", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got.note(r) })} //nolint:gosec // for a test
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	r := launch(t, "[forward]\nallow_private = [\"::1/128\"]\n[upstream.api]\nurl = \"http://[::1]:"+port+"\"\nauth = { type = \"bearer\", token = \"env:KEY\" }\n")
	for _, c := range []struct {
		authority string
		status    int
	}{
		{"[::1]:" + port, 200},
		{"[0:0:0:0:0:0:0:1]:" + port, 200},
		{"[::0001]:" + port, 200},
		{"[::1]:0" + port, 400},
	} {
		for _, request := range []string{
			"GET http://" + c.authority + "/x HTTP/1.1\r\nHost: " + c.authority + "\r\n\r\n",
			"CONNECT " + c.authority + " HTTP/1.1\r\nHost: " + c.authority + "\r\n\r\nGET /x HTTP/1.1\r\nHost: [::1]:" + port + "\r\n\r\n",
		} {
			_, answer := r.raw(request)
			method, _, _ := strings.Cut(request, " ")
			resp, err := http.ReadResponse(answer, &http.Request{Method: method})
			if err != nil || resp.StatusCode != c.status {
				t.Errorf("%q: got %v %v, want %d", request, resp, err, c.status)
				continue
			}
			if method == http.MethodConnect && c.status == 200 {
				if resp, err := http.ReadResponse(answer, nil); err != nil || resp.StatusCode != 200 {
					t.Errorf("%q: inside, got %v %v", request, resp, err)
				}
			}
			for _, entry := range got.take() {
				if entry.header.Get("Authorization") != "Bearer sesame" {
					t.Errorf("%q went out without the credential", request)
				}
			}
		}
	}
}
