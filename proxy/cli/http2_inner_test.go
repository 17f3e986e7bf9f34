package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// innerHTTP2 opens a connection to api.example.test through the sidecar, and
// speaks HTTP/2 inside of it.
func (r *running) innerHTTP2(settings ...http2.Setting) *http2.Framer {
	r.t.Helper()
	conn := tls.Client(r.connect("api.example.test:443"), &tls.Config{RootCAs: r.roots(), ServerName: "api.example.test", NextProtos: []string{"h2"}})
	if err := conn.HandshakeContext(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings(settings...)
	return framer
}

// An upstream that falls silent in the middle of its answer is at fault. Over
// HTTP/2 the deadline of what had been written passed first, a moment before
// idle_timeout, and ended the stream as if the client had left.
func TestSilentUpstreamIsNoClientThatLeft(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	r := launch(t, captured(server.Listener.Addr().String())+"idle_timeout = \"100ms\"\n")
	bothProtocols(t, func(t *testing.T, http2 bool) {
		for range 3 {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://api.example.test/", nil)
			resp, err := r.trusting(http2).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "some" {
				t.Errorf("got %q %v", body, err)
			}
			_ = resp.Body.Close()
		}
	})
	eventually(t, "all calls in the log", func() (bool, string) { n := len(r.logged("call")); return n == 6, fmt.Sprint(n) })
	for _, call := range r.logged("call") {
		if call["class"] != "fault" {
			t.Errorf("the log says %v: %v", call["class"], call["error"])
		}
	}
}

// A client that gives a stream no room held its call for as long as the connection
// stood: the end of an answer is written by net/http, with no deadline.
func TestStreamWithoutRoomEnds(t *testing.T) {
	t.Setenv("KEY", "sesame")
	server := upstream(t, echoTarget)
	r := launch(t, captured(server.Listener.Addr().String())+"idle_timeout = \"100ms\"\n")
	framer := r.innerHTTP2(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, EndHeaders: true, EndStream: true,
		BlockFragment: hpackBlock(":method", "GET", ":scheme", "https", ":path", "/", ":authority", "api.example.test"),
	})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("the stream did not end: %v", err)
		}
		if _, reset := frame.(*http2.RSTStreamFrame); reset {
			return
		}
	}
}

// Trailers behind a body of known length, which HTTP/2 has and HTTP/1.1 has not,
// came out empty.
func TestTrailersBehindABodyOfKnownLength(t *testing.T) {
	t.Setenv("KEY", "sesame")
	sums := make(chan string, 1)
	note := func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		sums <- fmt.Sprint(string(body), err, r.Trailer)
	}
	for name, document := range map[string]string{
		"HTTP/1.1": captured(upstream(t, note).Listener.Addr().String()),
		"HTTP/2":   http2Upstream(t, note).document("api") + "hosts = [\"api.example.test\"]\n",
	} {
		t.Run("to "+name, func(t *testing.T) {
			framer := launch(t, document).innerHTTP2()
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: hpackBlock(
				":method", "PUT", ":scheme", "https", ":path", "/", ":authority", "api.example.test", "trailer", "x-sum", "content-length", "5")})
			_ = framer.WriteData(1, false, []byte("12345"))
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: hpackBlock("x-sum", "42")})
			if got := <-sums; got != "12345<nil> map[X-Sum:[42]]" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// What the strict server refuses in HTTP/1 does not come in by HTTP/2: heads
// without end.
func TestHTTP2IsHeldToTheSameRules(t *testing.T) {
	if !apart(t) {
		return
	}
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got.note(r) })
	r := launch(t, captured(server.Listener.Addr().String()))
	for name, fields := range map[string][]string{
		"a large field":        {"x-large", strings.Repeat("x", 100<<10)},
		"many fields":          manyFields(100<<10, 1<<10),
		"no token as a method": nil,
	} {
		t.Run(name, func(t *testing.T) {
			framer, method := r.innerHTTP2(), "GET"
			if fields == nil {
				method = "GET /other HTTP/1.1"
			}
			block := hpackBlock(append([]string{":method", method, ":scheme", "https", ":path", "/", ":authority", "api.example.test"}, fields...)...)
			piece := min(len(block), 16<<10)
			_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:piece], EndHeaders: piece == len(block), EndStream: true})
			for block = block[piece:]; len(block) > 0; block = block[piece:] {
				piece = min(len(block), 16<<10)
				_ = framer.WriteContinuation(1, piece == len(block), block[:piece])
			}
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					return // broken off
				}
				if f, ok := frame.(*http2.HeadersFrame); ok {
					if status := hpackValue(t, f.HeaderBlockFragment(), ":status"); status != "400" && status != "431" {
						t.Errorf("got %s", status)
					}
					return
				}
			}
		})
	}
	if entries := got.take(); len(entries) > 0 {
		t.Errorf("the upstream was asked: %d times", len(entries))
	}
}

// manyFields are fields of one size, with names of their own.
func manyFields(total, each int) []string {
	var fields []string
	for i := range total / each {
		fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("x", each))
	}
	return fields
}
