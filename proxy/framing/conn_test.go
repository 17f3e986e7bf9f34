package framing_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"outrider/proxy/framing"
)

// readAll reads c until an error other than io.EOF, or io.EOF.
func readAll(c net.Conn) (string, error) {
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestGoodBytesPassUnchanged(t *testing.T) {
	raw := head("POST /1 HTTP/1.1", "hOST:  a ", "Content-Length: 3") + "abc" +
		head("POST /2 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "3;x=\"y\"\r\nabc\r\n0\r\nA:b\r\n\r\n"
	for _, cut := range []func(int) int{nil, oneByte} {
		c := framing.NewConn(&wire{in: raw, cut: cut}, framing.Limits{})
		if got, err := readAll(c); got != raw || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestIdleConnectionHoldsNoBuffer(t *testing.T) {
	one := head("GET / HTTP/1.1", "Host: a")
	for _, cut := range []func(int) int{nil, oneByte, func(int) int { return len(one) + 3 }} {
		_, c := readRaw(one+one+one, cut)
		if c.Heads() != 3 || c.Holds() {
			t.Errorf("%d heads, holds a buffer: %v", c.Heads(), c.Holds())
		}
	}
}

func TestReadNeverJoinsTwoRequests(t *testing.T) {
	one := head("GET / HTTP/1.1", "Host: a")
	c := framing.NewConn(&wire{in: one + one}, framing.Limits{})
	p := make([]byte, 4096)
	for range 2 {
		if n, err := c.Read(p); string(p[:n]) != one || err != nil {
			t.Fatalf("Read = %q, %v", p[:n], err)
		}
	}
}

func TestIncompleteHeadGivesOnlyItsMethod(t *testing.T) {
	in, out := net.Pipe()
	defer out.Close()
	c := framing.NewConn(in, framing.Limits{})
	go func() { _, _ = out.Write([]byte("GET /x HTTP/1.1\r\nHost: a")) }()
	p := make([]byte, 4096)
	if n, err := c.Read(p); string(p[:n]) != "GET " || err != nil {
		t.Fatalf("Read = %q, %v", p[:n], err)
	}
	go func() { _, _ = out.Write([]byte("\r\n\r\n")) }()
	if n, err := c.Read(p); string(p[:n]) != "/x HTTP/1.1\r\nHost: a\r\n\r\n" || err != nil {
		t.Fatalf("Read = %q, %v", p[:n], err)
	}
}

func TestBodyViolationStays(t *testing.T) {
	raw := head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "2\r\nhi\r\nzz\r\n"
	c := framing.NewConn(&wire{in: raw}, framing.Limits{})
	got, err := readAll(c)
	if want := strings.TrimSuffix(raw, "zz\r\n"); got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	for range 2 {
		var e *framing.Error
		if !errors.As(err, &e) || e.Status != 400 {
			t.Fatalf("err = %v", err)
		}
		_, err = c.Read(make([]byte, 1))
	}
}

// errOnce gives its error together with the last bytes, as net.Conn may.
type errOnce struct {
	wire
	err error
}

func (e *errOnce) Read(p []byte) (int, error) {
	n, err := e.wire.Read(p)
	if err == nil && e.in == "" {
		err = e.err
	}
	return n, err
}

func TestErrorBesideBytesComesAfterThem(t *testing.T) {
	raw := head("GET / HTTP/1.1", "Host: a")
	for _, cut := range []func(int) int{nil, oneByte} {
		c := framing.NewConn(&errOnce{wire{in: raw, cut: cut}, io.ErrClosedPipe}, framing.Limits{})
		if got, err := readAll(c); got != raw || err != io.ErrClosedPipe {
			t.Errorf("read %q, %v", got, err)
		}
	}
}

func TestEndBesideBytesOfAHeadRefusesIt(t *testing.T) {
	got := read(framing.NewConn(&errOnce{wire{in: "GET / HT"}, io.EOF}, framing.Limits{}))
	if got.fault == nil || got.fault.Reason != "connection ended inside the request head" {
		t.Errorf("fault = %v, %v", got.fault, got.err)
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	l := framing.Limits{MaxHead: 60, MaxLine: 30, MaxHeaders: 2}
	for raw, status := range map[string]int{
		head("GET / HTTP/1.1", "Host: a", "X: y"):                                     0,
		head("GET / HTTP/1.1", "Host: a", "X: y", "X: y"):                             431,
		head("GET /"+strings.Repeat("x", 20)+" HTTP/1.1", "Host: a"):                  414,
		head("GET / HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 29)):              431,
		head("GET /xxxxxxxxxxxxx HTTP/1.1", "Host: a", "X: "+strings.Repeat("x", 25)): 431,
	} {
		got := read(framing.NewConn(&wire{in: raw}, l))
		if status == 0 && got.fault != nil || status != 0 && (got.fault == nil || got.fault.Status != status) {
			t.Errorf("%q: %v, want %d", raw, got.fault, status)
		}
	}
}

func TestDetachReturnsEarlyBytesInOrder(t *testing.T) {
	upgrade := head("GET / HTTP/1.1", "Host: a", "Upgrade: x", "Connection: upgrade")
	early := []string{
		"", "\x81\x05hello", "GET", "\r\nGET", "\r\n\r\n\r\n", "\x16\x03\x01",
		upgrade + "more", "POST / HTTP/1.1\nX", "HEAD / x\r\n" + strings.Repeat("y", 5000),
	}
	for _, e := range early {
		for _, background := range []bool{false, true} {
			for _, cut := range []func(int) int{nil, oneByte} {
				w := &wire{in: upgrade + e, cut: cut}
				c := framing.NewConn(w, framing.Limits{})
				if _, err := io.ReadFull(c, make([]byte, len(upgrade))); err != nil {
					t.Fatal(err)
				}
				if background {
					_, _ = c.Read(make([]byte, 1))
				}
				got, raw := c.Detach()
				got = bytes.Clone(got)
				rest, _ := io.ReadAll(raw)
				if s := string(got) + string(rest); s != e {
					t.Errorf("early %q, background %v: got %q", e, background, s)
				}
				if raw != net.Conn(w) {
					t.Error("Detach does not return the inner connection")
				}
			}
		}
	}
}

func TestFromUnwraps(t *testing.T) {
	c := framing.NewConn(&wire{}, framing.Limits{})
	if got, ok := framing.From(wrapped{c}); !ok || got != c {
		t.Error("wrapped Conn not found")
	}
	if _, ok := framing.From(&wire{}); ok {
		t.Error("found a Conn where there is none")
	}
}

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }
