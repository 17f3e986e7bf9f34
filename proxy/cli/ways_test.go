package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// echoTarget answers with what it was asked for.
func echoTarget(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s host=%s auth=%s", r.Method, r.RequestURI, r.Host, r.Header.Get("Authorization"))
}

func TestWaysIn(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	other := upstream(t, echoTarget)
	host := server.Listener.Addr().String()
	r := launch(t, fmt.Sprintf(`
[forward]
allow_private = ["127.0.0.0/8"]
[upstream.api]
url = "http://%s/v1"
hosts = ["api.example.test"]
auth = { type = "bearer", token = "env:KEY" }
[upstream.own]
url = "http://%s"
listen = "127.0.0.1:0"
`, host, other.Listener.Addr()))
	main, own, elsewhere := r.addresses[""], r.addresses["own"], other.Listener.Addr().String()
	for _, c := range []struct{ name, request, want string }{
		{"base URL", "GET /api/x?q=1 HTTP/1.1\r\nHost: " + main, "GET /v1/x?q=1 host=" + host + " auth=Bearer sesame"},
		{"base URL, bytes of the path", "GET /api/a//b%2Fc/../d%20;x?y=%zz&&=? HTTP/1.1\r\nHost: " + main, "GET /v1/a//b%2Fc/../d%20;x?y=%zz&&=? host=" + host + " auth=Bearer sesame"},
		{"prefix without a slash, with a query", "GET /api?q HTTP/1.1\r\nHost: localhost", "GET /v1/?q host=" + host + " auth=Bearer sesame"},
		{"prefix with an empty query", "GET /api/? HTTP/1.1\r\nHost: 127.0.0.1", "GET /v1/? host=" + host + " auth=Bearer sesame"},
		{"NAME.localhost", "GET /x HTTP/1.1\r\nHost: api.localhost:1", "GET /v1/x host=" + host + " auth=Bearer sesame"},
		{"a caller's own credential is replaced", "GET /api/x HTTP/1.1\r\nAuthorization: Bearer mine\r\nHost: " + main, "GET /v1/x host=" + host + " auth=Bearer sesame"},
		{"absolute-form", "GET http://api.example.test/v1/x?q HTTP/1.1\r\nHost: api.example.test", "GET /v1/x?q host=" + host + " auth=Bearer sesame"},
		{"absolute-form wins over Host", "GET http://api.example.test/x HTTP/1.1\r\nHost: evil.test", "GET /x host=" + host + " auth=Bearer sesame"},
		{"absolute-form without a path", "GET http://api.example.test?q HTTP/1.1\r\nHost: api.example.test", "GET /?q host=" + host + " auth=Bearer sesame"},
		{"absolute-form of a host that no upstream names", "GET http://" + elsewhere + "/x HTTP/1.1\r\nHost: x", "GET /x host=" + elsewhere + " auth="},
		{"absolute-form of ourselves is the base URL", "GET http://" + main + "/api/x HTTP/1.1\r\nHost: x", "GET /v1/x host=" + host + " auth=Bearer sesame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, answer := r.raw(c.request + "\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if string(body) != c.want {
				t.Errorf("got  %s\nwant %s", body, c.want)
			}
		})
	}
	t.Run("own port", func(t *testing.T) {
		_, body := get(t, http.DefaultClient, "http://"+own+"/x?q")
		if want := "GET /x?q host=" + elsewhere + " auth="; body != want {
			t.Errorf("got %s, want %s", body, want)
		}
	})
}

func TestRefusals(t *testing.T) {
	server := upstream(t, echoTarget)
	r := launch(t, fmt.Sprintf(`
[forward]
unlisted = "deny"
[upstream.api]
url = "http://%s"
`, server.Listener.Addr()))
	main := r.addresses[""]
	for _, c := range []struct {
		name, request string
		status        int
		slug          string
	}{
		{"unknown upstream", "GET /nope/x HTTP/1.1\r\nHost: " + main, 404, "unknown-upstream"},
		{"no upstream", "GET / HTTP/1.1\r\nHost: " + main, 404, "unknown-upstream"},
		{"a foreign Host", "GET /api/ HTTP/1.1\r\nHost: evil.test", 421, "authority-mismatch"},
		{"a foreign Host with our port", "GET /api/ HTTP/1.1\r\nHost: evil.test:8080", 421, "authority-mismatch"},
		{"an unlisted host", "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test", 403, "unknown-upstream"},
		{"CONNECT to an unlisted host", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443", 403, "unknown-upstream"},
		{"CONNECT to ourselves", "CONNECT " + main + " HTTP/1.1\r\nHost: " + main, 508, "proxy-loop"},
		{"a bad Outrider-Timeout", "GET /api/ HTTP/1.1\r\nOutrider-Timeout: 5\r\nHost: " + main, 400, "malformed-request"},
		{"a bad Outrider-Priority", "GET /api/ HTTP/1.1\r\nOutrider-Priority: urgent\r\nHost: " + main, 400, "malformed-request"},
		{"a long Outrider-Caller", "GET /api/ HTTP/1.1\r\nOutrider-Caller: " + strings.Repeat("x", 129) + "\r\nHost: " + main, 400, "malformed-request"},
		{"an unknown connection", "GET /api/ HTTP/1.1\r\nOutrider-Connection: acme\r\nHost: " + main, 404, "unknown-connection"},
		{"two framings", "POST /api/ HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: " + main, 400, "malformed-request"},
		{"a folded header", "GET /api/ HTTP/1.1\r\nX: a\r\n b\r\nHost: " + main, 400, "malformed-request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, answer := r.raw(c.request + "\r\n\r\n")
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || !strings.Contains(string(body), `"urn:outrider:problem:`+c.slug+`"`) {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, body, c.status, c.slug)
			}
			if ps := resp.Header.Get("Proxy-Status"); !strings.HasPrefix(ps, "outrider; error=") || !strings.Contains(ps, c.slug) {
				t.Errorf("Proxy-Status is %q", ps)
			}
			if resp.Header.Get("Outrider-Trace") == "" && c.slug != "malformed-request" {
				t.Error("no Outrider-Trace")
			}
		})
	}
}

// Private addresses are refused to applications that use us as their proxy,
// unless the operator allows them: a metadata service must not be one hop away.
func TestForwardToPrivateAddressIsRefused(t *testing.T) {
	server := upstream(t, echoTarget)
	r := launch(t, "")
	resp, body := get(t, r.proxyClient(), "http://"+server.Listener.Addr().String()+"/")
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "address-denied") || !strings.Contains(body, "forward.allow_private") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	_, answer := r.raw("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x:80\r\n\r\n")
	connect, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect})
	if err != nil || connect.StatusCode != http.StatusForbidden {
		t.Errorf("CONNECT to the metadata address: %v %v", connect, err)
	}
}

func TestTunnelPassesEarlyDataAndHalfClose(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		all, _ := io.ReadAll(r) // until the client closes its direction
		_, _ = fmt.Fprintf(conn, "got %d bytes: %s", len(all), all)
	})
	r := launch(t, "[forward]\nallow_private = [\"127.0.0.0/8\"]\n")
	conn, answer := r.raw("CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n\r\nearly ")
	resp, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	_, _ = io.WriteString(conn, "late")
	_ = conn.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(answer)
	if err != nil || string(all) != "got 10 bytes: early late" {
		t.Errorf("got %q %v", all, err)
	}
}

// Node's fetch sends plain HTTP through CONNECT host:80.
func TestPlainHTTPInsideConnect(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launch(t, fmt.Sprintf(`
[upstream.api]
url = "http://%s"
hosts = ["api.example.test"]
auth = { type = "bearer", token = "env:KEY" }
`, server.Listener.Addr()))
	conn, answer := r.raw("CONNECT api.example.test:80 HTTP/1.1\r\nHost: api.example.test:80\r\n\r\n")
	if resp, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp, err)
	}
	for range 2 { // the connection stays open for more than one call
		_, _ = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: api.example.test\r\n\r\n")
		resp, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if want := "GET /x host=" + server.Listener.Addr().String() + " auth=Bearer sesame"; string(body) != want {
			t.Errorf("got %s, want %s", body, want)
		}
	}
	// A host that is not the one of the connection gets no credential.
	_, _ = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another Host inside the connection: %v %v", resp, err)
	}
}

func TestAccessKey(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launchWith(t, `access_key = "env:KEY"`, fmt.Sprintf("[upstream.api]\nurl = \"http://%s\"\n", server.Listener.Addr()))
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"none", "GET /api/ HTTP/1.1\r\nHost: x", 401},
		{"wrong", "GET /api/ HTTP/1.1\r\nOutrider-Key: nope\r\nHost: x", 401},
		{"right", "GET /api/ HTTP/1.1\r\nOutrider-Key: sesame\r\nHost: sidecar.internal", 200},
		{"as a proxy, none", "GET http://a.test/ HTTP/1.1\r\nHost: a.test", 407},
		{"as a proxy, in its URL", "GET http://" + server.Listener.Addr().String() + "/ HTTP/1.1\r\nProxy-Authorization: Basic eDpzZXNhbWU=\r\nHost: a.test", 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, answer := r.raw(c.request + "\r\n\r\n")
			resp, err := http.ReadResponse(answer, nil)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("got %v %v, want %d", resp, err, c.status)
			}
			body, _ := io.ReadAll(resp.Body)
			if strings.Contains(string(body), "sesame") {
				t.Errorf("the key was sent on or shown: %s", body)
			}
		})
	}
}
