package inbound_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/framing"
	"outrider/proxy/inbound"
)

// A script is a connection to a client that has said everything already, in pieces
// of the sizes that cut says, and whose ear keeps what it hears.
type script struct {
	said   string
	cut    func(most int) int
	heard  bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func newScript(said string, cut func(most int) int) *script {
	return &script{said: said, cut: cut, closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	n := min(len(p), len(s.said))
	if n == 0 {
		return 0, io.EOF
	}
	if s.cut != nil {
		n = min(n, max(1, s.cut(n)))
	}
	n = copy(p, s.said[:n])
	s.said = s.said[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.heard.Write(p) }
func (s *script) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// onlyOne is a listener that gives one connection, and fails then.
type onlyOne struct{ conn net.Conn }

func (l *onlyOne) Accept() (net.Conn, error) {
	conn := l.conn
	if l.conn = nil; conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *onlyOne) Close() error   { return nil }
func (l *onlyOne) Addr() net.Addr { return &net.TCPAddr{} }

// A witness is a handler that remembers what it saw, and answers in a different
// way each time.
type witness struct {
	seed    uint64
	seen    []string
	methods []string
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.methods = append(w.methods, r.Method)
	h := rw.Header()
	h["Date"], h["Content-Type"] = nil, []string{"text/x"}
	if bad, ok := inbound.Violation(r); ok {
		rw.WriteHeader(bad.Status)
		return
	}
	way := (int(w.seed%7) + len(w.seen)) % 7
	var body []byte
	var err error
	if way != 2 {
		body, err = io.ReadAll(r.Body)
	}
	header := r.Header.Clone()
	if p := header["Pragma"]; len(p) > 0 && p[0] == "no-cache" {
		delete(header, "Cache-Control") // net/http adds it: its own idea of what HTTP/1.0 meant
	}
	delete(header, "Content-Length") // which we leave out
	if r.ProtoMinor == 1 {
		header["Connection"] = slices.DeleteFunc(header["Connection"], func(value string) bool { return strings.EqualFold(value, "keep-alive") })
		if len(header["Connection"]) == 0 {
			delete(header, "Connection") // of which we do with what says nothing
		}
	}
	w.seen = append(w.seen, fmt.Sprintf("%s %s %s host=%q url=%#v cl=%d te=%v %q body=%q trailer=%q close=%v err=%v",
		r.Method, r.RequestURI, r.Proto, r.Host, *r.URL, r.ContentLength, r.TransferEncoding, header, body, r.Trailer, r.Close, err != nil))
	switch way {
	case 0:
		_ = http.NewResponseController(rw).Flush()
		fmt.Fprintf(rw, "%s %s", r.RequestURI, body)
	case 1:
		h.Set("Content-Length", "5")
		_, _ = io.WriteString(rw, "he")
		_, _ = io.WriteString(rw, "llo, which is too long")
	case 2:
		rw.WriteHeader(http.StatusNoContent)
	case 3:
		h.Set("ETag", "x\r\nX-Split: y")
		rw.WriteHeader(http.StatusNotModified)
	case 4:
		h.Set("Trailer", "X-Sum")
		_, _ = io.WriteString(rw, strings.Repeat("large ", 1000))
		h.Set(http.TrailerPrefix+"X-Sum", "1")
	case 5:
		if r.ProtoMinor > 0 {
			h.Set("Link", "</x>; rel=preload")
			rw.WriteHeader(http.StatusEarlyHints)
			h.Del("Link")
		}
		rw.WriteHeader(http.StatusCreated)
	case 6:
		h.Set("Connection", "close")
		_, _ = io.WriteString(rw, "bye")
	}
}

// ours is what our server makes of a script.
func ours(s *script, w *witness) {
	server := inbound.New(inbound.Settings{Handler: w})
	_ = server.Serve(&onlyOne{s})
	<-s.closed
	_ = server.Shutdown(context.Background())
}

// theirs is what net/http's makes of it.
func theirs(s *script, w *witness) {
	closed := make(chan struct{})
	server := &http.Server{Handler: w, DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}}
	_ = server.Serve(&onlyOne{s})
	<-closed
}

// answers are those that a client heard, by the methods that it asked with.
func answers(t *testing.T, heard []byte, methods []string) (got []string) {
	r := bufio.NewReader(bytes.NewReader(heard))
	for len(methods) > 0 {
		resp, err := http.ReadResponse(r, &http.Request{Method: methods[0]})
		if err == io.ErrUnexpectedEOF {
			return got
		}
		if err != nil {
			t.Fatalf("an answer that is none: %v\n%q", err, heard)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode >= 400 {
			body = nil
		}
		if resp.StatusCode >= 200 {
			methods = methods[1:]
		}
		delete(resp.Header, "Content-Length") // net/http says it of small bodies, where we do not know that they are
		if resp.StatusCode == http.StatusNotModified {
			delete(resp.Header, "Content-Type") // which net/http leaves out
		}
		got = append(got, fmt.Sprintf("%s %d %q %q %q %v", resp.Proto, resp.StatusCode, resp.Header, body, resp.Trailer, err))
	}
	return got
}

// wellFormed is what is complete and well-formed at the beginning of raw, without
// empty lines in front of requests, which net/http knows behind a POST only.
func wellFormed(raw string) (good string) {
	window := []byte(raw)
	var s framing.Scanner
	for {
		s.Begin(framing.Limits{})
		at, bad := s.Head(window)
		if at == 0 || bad != nil {
			return good
		}
		for !s.Done() {
			n := int(min(s.Left(), int64(len(window)-at)))
			if n > 0 {
				s.Pass(n)
			} else if n, bad = s.Frame(window[at:]); n == 0 || bad != nil {
				return good
			}
			at += n
		}
		good += strings.TrimPrefix(string(window[:at]), "\r\n")
		window = window[at:]
	}
}

// disputed reports whether raw has a head whose Connection, in HTTP/1.0, or whose
// Expect net/http reads as no list (RFC 9110 §5.6.1): only the first field, and any
// word in it.
func disputed(raw string) bool {
	for h := range strings.SplitSeq(strings.ToLower(raw), "\r\n\r\n") {
		fields := make(map[string]int)
		for line := range strings.SplitSeq(h, "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			switch value = strings.Trim(value, " \t"); {
			case name == "connection" && strings.Contains(h, "http/1.0"), name == "expect":
				fields[name]++
				if fields[name] > 1 || strings.ContainsAny(value, " \t,") {
					return true
				}
			}
		}
	}
	return false
}

// FuzzServer holds the server against net/http's. Of the requests that the strict
// grammar lets through, both handlers see the same, and both clients hear the same.
// How the bytes come in pieces changes nothing.
func FuzzServer(f *testing.F) {
	one := head("POST /1?x HTTP/1.1", "Host: a", "Content-Length: 3") + "abc"
	two := head("PUT http://a/2 HTTP/1.1", "host: b", "transfer-encoding: chunked", "TRAILER: a, B", "x-y: 1", "X-Y: 2") + "3;x=\"y\"\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nA:b\r\nC: d\r\n\r\n"
	for i, raw := range []string{
		one + two + one, two + "\r\n" + one + two, two + head("CONNECT a:1 HTTP/1.1", "Host: a:1") + one,
		head("OPTIONS * HTTP/1.0") + one[:9], head("GET / HTTP/1.0", "Connection: keep-alive") + head("HEAD /x%20y HTTP/1.0", "Connection: Keep-Alive", "Host:") + one,
		head("GET / HTTP/1.1", "Host: a", "Connection: Keep-Alive", "connection: x", "Connection: keep-alive") + one,
		head("GET /a|b HTTP/1.1", "Host: [::1]:80", "Connection: x, close") + one, one + head("GET / HTTP/1.1", "Host : a") + one,
		head("POST / HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3") + "abc" + two, head("GET /? HTTP/1.1", "Host: a", "Expect: x") + one, head("GET / HTTP/1.1", "Host: a", "Expect:") + one,
		head("POST / HTTP/1.1", "Host: a", "Content-Length: 003", "Content-Length: 003", "Pragma: no-cache") + "abc" + two, one + two[:len(two)-20], one + one[:len(one)-1],
		head("HEAD / HTTP/1.1", "Host: a") + head("HEAD / HTTP/1.1", "Host: a") + head("HEAD / HTTP/1.1", "Host: a") + head("HEAD / HTTP/1.1", "Host: a") + one,
		head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "1\r\na\r\n0\r\nUnannounced: b\r\n\r\n" + one,
	} {
		for way := range uint64(7) {
			f.Add(raw, way+7*uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, raw string, seed uint64) {
		if disputed(raw) {
			return
		}
		want, got := &witness{seed: seed}, &witness{seed: seed}
		wantWire, gotWire := newScript(wellFormed(raw), nil), newScript(raw, nil)
		theirs(wantWire, want)
		ours(gotWire, got)
		if more := len(got.seen) - len(want.seen); more < 0 || more > 1 || !slices.Equal(got.seen[:len(want.seen)], want.seen) {
			t.Fatalf("the handler saw\n%s\nand of net/http\n%s\n%q", strings.Join(got.seen, "\n"), strings.Join(want.seen, "\n"), raw)
		}
		wanted, heard := answers(t, wantWire.heard.Bytes(), want.methods), answers(t, gotWire.heard.Bytes(), got.methods)
		if len(heard) < len(wanted) || !slices.Equal(heard[:len(wanted)], wanted) {
			t.Fatalf("the client heard\n%s\nand of net/http\n%s\n%q\n%q\n%q", strings.Join(heard, "\n"), strings.Join(wanted, "\n"), raw, gotWire.heard.String(), wantWire.heard.String())
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		pieces, piecesWire := &witness{seed: seed}, newScript(raw, func(most int) int { return 1 + rnd.IntN(min(most, 1+rnd.IntN(40))) })
		ours(piecesWire, pieces)
		if !slices.Equal(pieces.seen, got.seen) || piecesWire.heard.String() != gotWire.heard.String() {
			t.Fatalf("in pieces, the handler saw\n%s\nand at once\n%s\n%q\n%q\n%q", strings.Join(pieces.seen, "\n"), strings.Join(got.seen, "\n"), raw, piecesWire.heard.String(), gotWire.heard.String())
		}
	})
}
