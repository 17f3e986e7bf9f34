package framing_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/proxy/framing"
)

// A wire is the inner connection of a Conn: a script of bytes, read in pieces
// of the sizes that cut says, then io.EOF.
type wire struct {
	in     string
	cut    func(most int) int // nil: everything at once
	closed bool
}

func (w *wire) Read(p []byte) (int, error) {
	if w.in == "" {
		return 0, io.EOF
	}
	n := min(len(p), len(w.in))
	if w.cut != nil {
		n = min(n, max(1, w.cut(n)))
	}
	copy(p, w.in[:n])
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(p []byte) (int, error)      { return len(p), nil }
func (w *wire) Close() error                     { w.closed = true; return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// oneByte is a cut that makes every read give a single byte.
func oneByte(int) int { return 1 }

// A transcript is what a reader of a Conn got: one line per request, and how it ended.
type transcript struct {
	requests []string
	fault    *framing.Error // of a stand-in or in a body
	err      error          // what net/http said to bytes that the Conn let through
	leftover int            // bytes that the reader held at the end of a request
}

func (a transcript) equal(b transcript) bool {
	if (a.fault == nil) != (b.fault == nil) || a.fault != nil && *a.fault != *b.fault {
		return false
	}
	return slices.Equal(a.requests, b.requests) && fmt.Sprint(a.err) == fmt.Sprint(b.err) && a.leftover == b.leftover
}

// read takes everything from c as net/http's server would: head by
// http.ReadRequest, then the body, then the next head.
func read(c net.Conn) (t transcript) {
	br := bufio.NewReader(c)
	for {
		if _, err := br.Peek(4); err != nil {
			return t
		}
		r, err := http.ReadRequest(br)
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.err = err
			}
			return t
		}
		if v, ok := framing.Violation(r); ok {
			t.fault = v
			return t
		}
		body, err := io.ReadAll(r.Body)
		t.requests = append(t.requests, fmt.Sprintf("%s %s %s host=%s cl=%d te=%v %v body=%q trailer=%v",
			r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.TransferEncoding, r.Header, body, r.Trailer))
		t.leftover += br.Buffered()
		if err != nil {
			if !errors.As(err, &t.fault) && !errors.Is(err, io.ErrUnexpectedEOF) &&
				!strings.Contains(err.Error(), "EOF reading trailer") {
				t.err = err
			}
			return t
		}
	}
}

// readRaw reads raw through a Conn of its own.
func readRaw(raw string, cut func(int) int) (transcript, *framing.Conn) {
	c := framing.NewConn(&wire{in: raw, cut: cut}, framing.Limits{})
	return read(c), c
}

func lines(s ...string) string { return strings.Join(s, "\r\n") }

// head is a request head of the given lines.
func head(s ...string) string { return lines(s...) + "\r\n\r\n" }

func check(t *testing.T, raw string, want *framing.Error, requests int) {
	t.Helper()
	for name, cut := range map[string]func(int) int{"at once": nil, "byte by byte": oneByte} {
		got, c := readRaw(raw, cut)
		if got.err != nil || got.leftover != 0 {
			t.Errorf("%s: net/http: %v, leftover %d", name, got.err, got.leftover)
		}
		if want == nil && got.fault != nil {
			t.Errorf("%s: refused: %v", name, got.fault)
		}
		if want != nil && (got.fault == nil || *got.fault != *want) {
			t.Errorf("%s: fault = %v, want %v", name, got.fault, want)
		}
		if len(got.requests) != requests || c.Heads() != requests {
			t.Errorf("%s: %d requests, %d heads, want %d: %q", name, len(got.requests), c.Heads(), requests, got.requests)
		}
	}
}
