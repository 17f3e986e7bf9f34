package framing_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"outrider/proxy/framing"
)

// A wire is a script of bytes, read in pieces of the sizes that cut says.
type wire struct {
	in  string
	cut func(most int) int // nil: everything at once
}

// more is the next piece; "" at the end.
func (w *wire) more() string {
	n := len(w.in)
	if w.cut != nil && n > 0 {
		n = min(n, max(1, w.cut(n)))
	}
	piece := w.in[:n]
	w.in = w.in[n:]
	return piece
}

// oneByte is a cut that makes every read give a single byte.
func oneByte(int) int { return 1 }

// A transcript is what a scanner let through: one line per request, and how it ended.
type transcript struct {
	requests []string
	fault    *framing.Error
	cutOff   bool  // in a head
	err      error // what net/http said to bytes that were let through
	leftover int   // bytes that net/http did not take for those of their request
}

func (a *transcript) equal(b transcript) bool {
	if (a.fault == nil) != (b.fault == nil) || a.fault != nil && *a.fault != *b.fault {
		return false
	}
	return slices.Equal(a.requests, b.requests) && a.cutOff == b.cutOff && fmt.Sprint(a.err) == fmt.Sprint(b.err) && a.leftover == b.leftover
}

// A reader shows the bytes of a wire to a scanner, as a server does.
type reader struct {
	scanner framing.Scanner
	window  []byte
	wire    *wire
}

// more reads on; false at the end.
func (r *reader) more() bool {
	piece := r.wire.more()
	r.window = append(r.window, piece...)
	return piece != ""
}

func (r *reader) take(n int) []byte {
	taken := r.window[:n:n]
	r.window = r.window[n:]
	return taken
}

// head is the next head, as it was released, and nil with none.
func (r *reader) head(l framing.Limits) (head []byte, fault *framing.Error) {
	r.scanner.Begin(l)
	for {
		n, fault := r.scanner.Head(r.window)
		if n > 0 || fault != nil {
			return r.take(n), fault
		}
		if !r.more() {
			return nil, nil
		}
	}
}

// body is what was released of a body, and the data in it.
func (r *reader) body() (released, data []byte, fault *framing.Error) {
	for !r.scanner.Done() {
		n, fault := r.scanner.Frame(r.window)
		released = append(released, r.take(n)...)
		if fault != nil {
			return released, data, fault
		}
		n = int(min(r.scanner.Left(), int64(len(r.window))))
		if n > 0 {
			r.scanner.Pass(n)
			taken := r.take(n)
			released, data = append(released, taken...), append(data, taken...)
		} else if !r.scanner.Done() && !r.more() {
			break
		}
	}
	return released, data, nil
}

// read takes everything that a scanner lets through, and has net/http read the same.
func read(w *wire, l framing.Limits) (t transcript) {
	r := &reader{wire: w}
	for t.fault == nil && t.err == nil {
		head, fault := r.head(l)
		if head == nil || fault != nil {
			t.fault, t.cutOff = fault, fault == nil && r.scanner.Begun(r.window)
			return t
		}
		parts := r.scanner.Parts()
		method, target := head[parts.Method:parts.MethodEnd], head[parts.Target:parts.TargetEnd]
		for _, f := range r.scanner.Fields() {
			if line := string(head[f.NameEnd:f.Value]); strings.Trim(line, " \t") != ":" {
				t.err = fmt.Errorf("a field's value begins behind %q", line)
			}
		}
		released, data, fault := r.body()
		t.fault = fault
		t.second(append(bytes.TrimPrefix(head, []byte("\r\n")), released...), string(method), string(target), string(data), r.scanner.Done())
		if !r.scanner.Done() {
			return t
		}
	}
	return t
}

// second reads one request with net/http, and compares.
func (a *transcript) second(raw []byte, method, target, data string, whole bool) {
	br := bufio.NewReader(bytes.NewReader(raw))
	r, err := http.ReadRequest(br)
	if err != nil {
		a.err = err
		return
	}
	body, err := io.ReadAll(r.Body)
	a.requests = append(a.requests, fmt.Sprintf("%s %s %s host=%s cl=%d te=%v %v body=%q trailer=%v",
		r.Method, r.RequestURI, r.Proto, r.Host, r.ContentLength, r.TransferEncoding, r.Header, body, r.Trailer))
	a.leftover += br.Buffered()
	switch {
	case r.Method != method || r.RequestURI != target || string(body) != data:
		a.err = fmt.Errorf("the scanner finds %s %s with %q in %q", method, target, data, raw)
	case whole != (err == nil):
		a.err = fmt.Errorf("whole: %v, and net/http says %w", whole, err)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "EOF reading trailer"):
		a.err = err
	}
}

func lines(s ...string) string { return strings.Join(s, "\r\n") }

// head is a request head of the given lines.
func head(s ...string) string { return lines(s...) + "\r\n\r\n" }

func check(t *testing.T, raw string, want *framing.Error, requests int) {
	t.Helper()
	for name, cut := range map[string]func(int) int{"at once": nil, "byte by byte": oneByte} {
		got := read(&wire{raw, cut}, framing.Limits{})
		if got.err != nil || got.leftover != 0 {
			t.Errorf("%s: net/http: %v, leftover %d", name, got.err, got.leftover)
		}
		if want == nil && got.fault != nil {
			t.Errorf("%s: refused: %v", name, got.fault)
		}
		if want != nil && (got.fault == nil || *got.fault != *want) {
			t.Errorf("%s: fault = %v, want %v", name, got.fault, want)
		}
		if len(got.requests) != requests {
			t.Errorf("%s: %d requests, want %d: %q", name, len(got.requests), requests, got.requests)
		}
	}
}
