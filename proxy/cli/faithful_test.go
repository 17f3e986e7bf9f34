package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
)

// api is a document with one upstream.
func api(address string) string { return "[upstream.api]\nurl = \"http://" + address + "\"\n" }

// answering is a raw upstream that gives one answer to each request, and keeps
// the heads that it got.
func answering(t *testing.T, answer string) (address string, heads chan string) {
	heads = make(chan string, 16)
	return rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			h := head(r)
			if !strings.HasSuffix(h, "\r\n\r\n") {
				return
			}
			heads <- h
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}), heads
}

func TestNothingIsAddedAndNothingOfTheConnectionPasses(t *testing.T) {
	address, heads := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	r := launch(t, api(address))
	_, answer := r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-A: 2\r\nX-A:1 \r\nX-Bytes: caf\xe9\r\n" +
		"Connection: X-Hop, keep-alive\r\nX-Hop: mine\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n" +
		"Proxy-Authorization: Basic eDp5\r\nTE: trailers, deflate\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" +
		"Outrider-Timeout: 5s\r\nOutrider-Priority: high\r\nOutrider-Caller: me\r\nOutrider-Key: k\r\n\r\n")
	if _, err := http.ReadResponse(answer, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(<-heads, "\r\n\r\n"), "\r\n")
	got := map[string][]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		got[name] = append(got[name], strings.Trim(value, " "))
	}
	want := map[string][]string{
		"Host": {address}, "X-A": {"2", "1"}, "X-Bytes": {"caf\xe9"}, "Te": {"trailers"},
	}
	delete(got, "Connection") // TE needs it (RFC 9110 section 10.1.4)
	if lines[0] != "GET /x HTTP/1.1" || !reflect.DeepEqual(got, want) {
		t.Errorf("the upstream got %q %q, want %q", lines[0], got, want)
	}
}

func TestAnswersPassAsTheyAre(t *testing.T) {
	for _, c := range []struct{ name, method, answer, want string }{
		{"two cookies, raw bytes, no date added", "GET",
			"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=\xe9\r\nContent-Length: 2\r\n\r\nhi",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1; Path=/api\r\nSet-Cookie: b=\xe9; Path=/api\r\n\r\nhi"},
		{"HEAD keeps the length", "HEAD",
			"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: text/x\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nContent-Type: text/x\r\n\r\n"},
		{"204", "GET", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"},
		{"304 keeps the length", "GET",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nContent-Type: text/x\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nContent-Type: text/x\r\n\r\n"},
		{"a status that nobody knows", "GET",
			"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n"},
		{"one without a reason", "GET",
			"HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 299 status code 299\r\nContent-Length: 0\r\n\r\n"},
		{"a reason of the provider's own", "GET",
			"HTTP/1.1 413 Zu gro\xdf\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 413 Zu gro\xdf\r\nContent-Length: 0\r\n\r\n"},
		{"an empty chunked body", "GET",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"an empty body with a trailer", "GET",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n0\r\nX-End: 1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-End: 1\r\n\r\n"},
		{"hop-by-hop headers stay", "GET",
			"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=3\r\nProxy-Authenticate: Basic\r\nX-Stay: 1\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Stay: 1\r\n\r\n"},
		{"a redirect is not followed", "GET",
			"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://elsewhere.test/\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, _ := answering(t, c.answer)
			r := launch(t, api(address))
			conn, answer := r.raw(c.method + " /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
			_ = conn.(*net.TCPConn).SetReadBuffer(1 << 16)
			got := head(answer)
			got = strings.Join(withoutLines(strings.SplitAfter(got, "\r\n"), "Outrider-Trace"), "")
			if rest := strings.SplitN(c.want, "\r\n\r\n", 2)[1]; rest != "" {
				body := make([]byte, len(rest))
				_, _ = io.ReadFull(answer, body)
				got += string(body)
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func withoutLines(lines []string, prefix string) []string {
	var kept []string
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestCompressedBodiesAreNotTouched(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(bytes.Repeat([]byte("x"), 1000))
	_ = z.Close()
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	r := launch(t, api(server.Listener.Addr().String()))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	resp, body := get(t, client, r.url("/api/"))
	if resp.StatusCode != 200 || body != packed.String() {
		t.Errorf("got %d, %d bytes, want the %d bytes as they were", resp.StatusCode, len(body), packed.Len())
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-After")
		_, _ = io.WriteString(w, "body, ")
		w.Header().Set("X-After", "got "+r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
	})
	r := launch(t, api(server.Listener.Addr().String()))
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/"), io.MultiReader(strings.NewReader("some body")))
	req.Trailer = http.Header{"X-Sum": {"42"}}
	resp, body := do(t, http.DefaultClient, req)
	if body != "body, " || resp.Trailer.Get("X-After") != "got 42" || resp.Trailer.Get("X-Late") != "unannounced" {
		t.Errorf("got %q with trailers %v", body, resp.Trailer)
	}
}

// TestInformationalAnswersPass, with their links below our base URL, as those of
// the answer itself.
func TestInformationalAnswersPass(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "done")
	})
	r := launch(t, api(server.Listener.Addr().String()))
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", header.Get("Link")))
			return nil
		},
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/api/"), nil)
	resp, body := do(t, http.DefaultClient, req)
	if want := []string{"103 </api/style.css>; rel=preload"}; !reflect.DeepEqual(hints, want) || body != "done" || resp.Header.Get("Link") != "" {
		t.Errorf("hints %q, then %q with Link %q", hints, body, resp.Header.Get("Link"))
	}
}

// 100 Continue is the upstream's to give: the client must not be asked for a
// body that the upstream refuses.
func TestContinueIsEndToEnd(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		h := head(r)
		if strings.Contains(h, "/no") {
			_, _ = io.WriteString(conn, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		if !strings.Contains(h, "Expect: 100-continue\r\n") {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		body := make([]byte, 5)
		_, _ = io.ReadFull(r, body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n%s", body)
	})
	r := launch(t, api(address))

	conn, answer := r.raw("POST /api/yes HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if h := head(answer); h != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("got %q, want 100 Continue", h)
	}
	_, _ = io.WriteString(conn, "hello")
	resp, err := http.ReadResponse(answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "hello" {
		t.Errorf("got %q", body)
	}

	_, answer = r.raw("POST /api/no HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 417 ") {
		t.Errorf("got %q, want 417 and no 100 before it", h)
	}
}

func TestUpgradePassesBytesBothWays(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		h := head(r)
		if !strings.Contains(h, "Upgrade: websocket\r\n") || !strings.Contains(h, "Connection: Upgrade\r\n") || !strings.Contains(h, "Sec-Websocket-Key: k\r\n") {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nfirst ")
		all, _ := io.ReadAll(r)
		_, _ = fmt.Fprintf(conn, "echo:%s", all)
	})
	r := launch(t, api(address))
	conn, answer := r.raw("GET /api/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly ")
	h := head(answer)
	if !strings.HasPrefix(h, "HTTP/1.1 101 ") || !strings.Contains(h, "Upgrade: websocket\r\n") {
		t.Fatalf("got %q", h)
	}
	_, _ = io.WriteString(conn, "late")
	_ = conn.(*net.TCPConn).CloseWrite()
	all, err := io.ReadAll(answer)
	if err != nil || string(all) != "first echo:early late" {
		t.Errorf("got %q %v", all, err)
	}
}

// Every event has to arrive before the next is sent: nothing is held back.
func TestEventsArriveOneByOne(t *testing.T) {
	next := make(chan struct{})
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	r := launch(t, api(server.Listener.Addr().String()))
	resp, err := http.Get(r.url("/api/"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	events := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := events.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("event %d: %q %v", i, line, err)
		}
		_, _ = events.ReadString('\n')
		next <- struct{}{}
	}
}

// A head that has its first event with it goes on as it came: in one packet. One that is
// alone is not held back for an event.
func TestFirstEventTravelsWithItsHead(t *testing.T) {
	const event = "data: 1\n\n"
	with := make(chan bool, 1)
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if <-with {
			_, _ = io.WriteString(w, event)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	r := launch(t, api(server.Listener.Addr().String()))
	for _, has := range []bool{true, false, true, true} {
		with <- has
		conn, answer := r.raw("GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if h := head(answer); !strings.HasPrefix(h, "HTTP/1.1 200 ") {
			t.Fatalf("got %q", h)
		}
		if rest, _ := answer.Peek(answer.Buffered()); has != strings.Contains(string(rest), event) {
			t.Errorf("sent with its head: %v; behind the head there is %q", has, rest)
		}
		_ = conn.Close()
	}
}

func TestClientThatLeavesCancelsTheUpstream(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(left)
	})
	r := launch(t, api(server.Listener.Addr().String()))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "GET", r.url("/api/"), nil)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the call was answered")
	}
	<-left
}

// A body that breaks off upstream must not look whole at the client, who gets what came before
// that: one that got nothing, not even the head, took its connection for one that had died
// before, and Java's client made the POST again, as did Go's with an Idempotency-Key.
func TestBrokenBodiesAreErrorsAtTheClient(t *testing.T) {
	t.Setenv("KEY", "sesame")
	for _, c := range []struct{ name, answer, body string }{
		{"shorter than its length", "Content-Length: 100\r\n\r\nonly this", "only this"},
		{"no byte of it", "Content-Length: 100\r\n\r\n", ""},
		{"chunks without an end", "Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n", "only this"},
		{"a bad chunk, in one read with all before it", "Transfer-Encoding: chunked\r\n\r\n4\r\nonly\r\nxyz\r\n", "only"},
		{"no chunk", "Transfer-Encoding: chunked\r\n\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived := make(chan string, 8)
			address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
				arrived <- head(r)
				_, _ = io.WriteString(conn, "HTTP/1.1 201 Created\r\nLocation: /orders/7\r\n"+c.answer)
			})
			r := launch(t, captured(address))
			bothProtocols(t, func(t *testing.T, http2 bool) {
				req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://api.example.test/orders", nil)
				req.Header["Idempotency-Key"] = []string{"order-7"}
				resp, err := r.trusting(http2).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") == "" || string(body) != c.body {
					t.Errorf("the client got %d %v %q", resp.StatusCode, resp.Header, body)
				}
				if err == nil {
					t.Errorf("the client got %q as a whole body", body)
				}
				if len(arrived) != 1 {
					t.Errorf("%d requests arrived", len(arrived))
				}
				<-arrived
			})
		})
	}
}

// What stands behind an answer must never be taken for the next one.
func TestBrokenFramingDoesNotPoisonTheNextAnswer(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		for i := 0; ; i++ {
			if h := head(r); !strings.HasSuffix(h, "\r\n\r\n") {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
		}
	})
	r := launch(t, api(address))
	for range 5 {
		if _, body := get(t, http.DefaultClient, r.url("/api/")); body != "fine" {
			t.Fatalf("got %q", body)
		}
	}
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	const size = 64 << 20
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body) // what comes in goes out, at the same time
	})
	r := launch(t, api(server.Listener.Addr().String()))
	want, got := sha256.New(), sha256.New()
	body := io.TeeReader(io.LimitReader(&pattern{}, size), want)
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url("/api/"), body)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(got, resp.Body)
	if err != nil || n != size || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d of %d bytes came back: %v", n, size, err)
	}
}

// pattern is an endless, cheap stream of bytes that differ.
type pattern struct{ n byte }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		p.n += 7
		b[i] = p.n
	}
	return len(b), nil
}

func TestClientThatBreaksItsBodyOffIsNotAnUpstreamFault(t *testing.T) {
	ended := make(chan error, 1)
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	r := launch(t, api(server.Listener.Addr().String()))
	conn, _ := r.raw("POST /api/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	_ = conn.Close()
	if err := <-ended; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the upstream saw a whole body: %v", err)
	}
}

func TestBadChunkInsideABodyIsRefused(t *testing.T) {
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	r := launch(t, api(server.Listener.Addr().String()))
	_, answer := r.raw("POST /api/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n")
	resp, err := http.ReadResponse(answer, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log)
	}
	if resp.StatusCode != 400 || !resp.Close {
		t.Errorf("got %d, close %v: want 400, and the connection closed", resp.StatusCode, resp.Close)
	}
}
