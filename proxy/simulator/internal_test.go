package simulator

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
)

// However the bytes of a connection are cut into reads, a tap finds the same heads.
func FuzzTapDoesNotDependOnTheReads(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n"), uint8(3))
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n"), uint8(1))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), uint8(7))
	f.Add([]byte("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\nffffffffffffffff\r\n"), uint8(2))
	f.Add([]byte("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n-f\r\nabc"), uint8(40)) // a size below zero
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		whole, cut := new(tap), new(tap)
		whole.feed(stream)
		for rest := stream; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			cut.feed(rest[:n])
			rest = rest[n:]
		}
		if whole.off != cut.off || len(whole.heads) != len(cut.heads) || whole.state != cut.state || whole.left != cut.left {
			t.Fatalf("%+v\n%+v", whole, cut)
		}
		for i := range whole.heads {
			if !bytes.Equal(whole.heads[i], cut.heads[i]) {
				t.Fatalf("head %d: %q, %q", i, whole.heads[i], cut.heads[i])
			}
			fields(whole.heads[i])
		}
	})
}

func FuzzFramesAreReadOrRefused(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0})
	f.Add([]byte{0x88, 0x80, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, stream []byte) {
		var out bytes.Buffer
		rw := bufio.NewReadWriter(bufio.NewReader(bytes.NewReader(stream)), bufio.NewWriter(&out))
		echoFrames(rw)
		if out.Len() > len(stream)+4 { // never more than came, but for a close of ours
			t.Fatalf("%d bytes became %d", len(stream), out.Len())
		}
	})
}

func FuzzBasicUndoesItsEncoding(f *testing.F) {
	f.Add("id", "se:cr+t %")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, secret string) {
		encoded := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + url.QueryEscape(secret)))
		gotID, gotSecret, ok := basic(encoded)
		if !ok || gotID != id || gotSecret != secret {
			t.Errorf("%q %q became %q %q", id, secret, gotID, gotSecret)
		}
		basic(secret) // anything at all: no panic
	})
}

func TestScaleDoesNotOverflow(t *testing.T) {
	for _, c := range []struct {
		d        time.Duration
		n, by    int
		expected time.Duration
	}{
		{time.Second, 3, 2, 1500 * time.Millisecond},
		{maxWait, maxLimit, maxLimit, maxWait},
		{maxWait, maxLimit, 1, math.MaxInt64},
		{time.Second, 1, 3, 333333333},
	} {
		if got := scale(c.d, c.n, c.by); got != c.expected {
			t.Errorf("%s × %d ÷ %d = %d, want %d", c.d, c.n, c.by, got, c.expected)
		}
	}
}

func TestTapGivesUpOnTooMuch(t *testing.T) {
	endless := new(tap)
	endless.feed([]byte(strings.Repeat("x", maxHead+1)))
	lines := new(tap)
	lines.feed([]byte("GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", maxHead/6)))
	pipelined := new(tap)
	pipelined.feed([]byte(strings.Repeat("GET / HTTP/1.1\r\n\r\n", maxHeads+1)))
	for name, tp := range map[string]*tap{"one line": endless, "many lines": lines, "many heads": pipelined} {
		if !tp.off || tp.line != nil || tp.heads != nil {
			t.Errorf("%s: still on", name)
		}
	}
}
