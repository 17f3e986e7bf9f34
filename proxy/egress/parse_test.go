package egress

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// bytesConn is a connection that says one thing and ends.
type bytesConn struct{ *bytes.Reader }

func (bytesConn) Write(p []byte) (int, error)      { return len(p), nil }
func (bytesConn) Close() error                     { return nil }
func (bytesConn) LocalAddr() net.Addr              { return nil }
func (bytesConn) RemoteAddr() net.Addr             { return nil }
func (bytesConn) SetDeadline(time.Time) error      { return nil }
func (bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (bytesConn) SetWriteDeadline(time.Time) error { return nil }

// parse reads data as the answer to a request, by the whole path of a call.
func parse(t testing.TB, tr *Transport, method string, data []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequest(method, "http://api.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	ex, err := tr.begin(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := ex.prepare(tr.now()); err != nil {
		t.Fatal(err)
	}
	ex.c = newConn(tr, ex.key, bytesConn{bytes.NewReader(data)})
	tr.opened(ex.c)
	resp, err := ex.run()
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return resp, body, err
}

// What both this parser and net/http's accept, they read alike; and what one
// calls a complete response, followed by nothing, the other does not stretch.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.0 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nrest",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\nA: b\n c\n\n", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200\r\n\r\n", "HTTP/1.1 200 \r\nA:\r\n\r\n",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	tr, err := New(Settings{MaxIdlePerHost: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(tr.Close)
	f.Fuzz(func(t *testing.T, data string, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		resp, body, err := parse(t, tr, method, []byte(data))
		tr.CloseIdleConnections()
		if resp == nil {
			if err == nil {
				t.Fatal("neither response nor error")
			}
			return
		}
		checkSane(t, resp)
		want, wantBody, wantErr := oracle(method, data)
		if want == nil || err != nil || wantErr != nil {
			return
		}
		if resp.StatusCode != want.StatusCode || resp.ProtoMinor != want.ProtoMinor || !bytes.Equal(body, wantBody) {
			t.Errorf("%d HTTP/1.%d %q; net/http: %d HTTP/1.%d %q", resp.StatusCode, resp.ProtoMinor, body, want.StatusCode, want.ProtoMinor, wantBody)
		}
		for name, values := range want.Header {
			if !slices.Equal(resp.Header[name], values) {
				t.Errorf("%s: %q; net/http: %q", name, resp.Header[name], values)
			}
		}
		if len(resp.Header) != len(want.Header) {
			t.Errorf("header %q; net/http: %q", resp.Header, want.Header)
		}
	})
}

// oracle reads up to the final response with net/http.
func oracle(method, data string) (*http.Response, []byte, error) {
	br := bufio.NewReader(strings.NewReader(data))
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			body, err := io.ReadAll(resp.Body)
			return resp, body, err
		}
	}
}

// checkSane: nothing in a response may split a message when it is passed on.
func checkSane(t *testing.T, resp *http.Response) {
	for _, h := range []http.Header{resp.Header, resp.Trailer} {
		for name, values := range h {
			if !isToken(name) {
				t.Errorf("field name %q", name)
			}
			for _, v := range values {
				if !isFieldValue(v) || v != strings.Trim(v, " \t") {
					t.Errorf("field value %q", v)
				}
			}
		}
	}
	if resp.StatusCode < 100 || resp.StatusCode > 999 || !isFieldValue(resp.Status) {
		t.Errorf("status %d %q", resp.StatusCode, resp.Status)
	}
}

// FuzzChunkLine: whatever is accepted is hexadecimal digits, and then nothing
// or an extension.
func FuzzChunkLine(f *testing.F) {
	for _, s := range []string{"0", "1a;x", "FFFFFFFFFFFFFFF", "5 ; a=\"b\"", "+1", "0x1", "", ";"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		size, err := parseChunkLine(line)
		if err != nil {
			return
		}
		digits, _, _ := strings.Cut(string(line), ";")
		if size < 0 || strings.Trim(strings.TrimRight(digits, " \t"), "0123456789abcdefABCDEF") != "" {
			t.Errorf("%q is %d", line, size)
		}
	})
}

// FuzzConnectAnswer: an answer that opens a tunnel ends at an empty line, and
// no byte behind that is lost or made up.
func FuzzConnectAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\nearly", "HTTP/1.0 200\r\nVia: x\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 200 OK\n\n", "220 smtp\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	p, err := ParseProxy("u:p@proxy.test:3128")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		nc, err := p.tunnel(t.Context(), bytesConn{r}, "api.test:443", time.Minute)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(nc)
		head, ok := bytes.CutSuffix(data, rest)
		if !ok || !bytes.HasSuffix(head, []byte("\r\n\r\n")) || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
			t.Errorf("%q in front of the tunnel's %q", head, rest)
		}
	})
}
