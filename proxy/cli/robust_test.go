package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/policy/config"
)

// A script is an upstream that gives its answers one after the other, the last
// one again and again, and writes down what it was asked for.
type script struct {
	ledger
	address string
	answers []string
}

func scripted(t *testing.T, answers ...string) *script {
	t.Helper()
	s := &script{answers: answers}
	var next atomic.Int32
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		answer := s.answers[min(int(next.Add(1)), len(s.answers))-1]
		status, body, _ := strings.Cut(answer, " ")
		code, _ := strconv.Atoi(status)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})
	s.address = server.Listener.Addr().String()
	return s
}

// document is an [upstream.api] for it, with waits too short to be noticed.
func (s *script) document() string {
	return api(s.address) + "retry = { attempts = 3, base = \"1ms\", cap = \"2ms\", idempotency_header = \"Idempotency-Key\" }\n"
}

// What is sent again, and what never is. A second request is a second charge on
// somebody's card unless one of the reasons below holds.
func TestWhatIsSentAgain(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 128<<10) // 2 MiB; replay_body is 1 MiB
	for _, c := range []struct {
		name, method, header, body string
		answers                    []string
		status                     int
		times                      int
	}{
		{"PUT on 503", "PUT", "", "small body", []string{"503 busy", "200 ok"}, 200, 2},
		{"PUT on 503, body as large as may be kept", "PUT", "", large[:1<<20], []string{"503 busy", "503 busy", "200 ok"}, 200, 3},
		{"PUT on 503, body larger than may be kept", "PUT", "", large, []string{"503 busy", "200 ok"}, 503, 1},
		{"GET until the attempts are spent", "GET", "", "", []string{"503 busy"}, 503, 3},
		{"GET on 404", "GET", "", "", []string{"404 nothing", "200 ok"}, 404, 1},
		{"POST on 503", "POST", "", "small body", []string{"503 busy", "200 ok"}, 503, 1},
		{"PATCH on 503", "PATCH", "", "small body", []string{"503 busy", "200 ok"}, 503, 1},
		{"POST with a key on 503", "POST", "Idempotency-Key: k1", "small body", []string{"503 busy", "200 ok"}, 200, 2},
		{"POST with two keys on 503", "POST", "Idempotency-Key: k1\nIdempotency-Key: k2", "small body", []string{"503 busy", "200 ok"}, 503, 1},
		{"POST with an empty key on 503", "POST", "Idempotency-Key:", "small body", []string{"503 busy", "200 ok"}, 503, 1},
		{"POST vouched for", "POST", "Outrider-Idempotent: true", "small body", []string{"503 busy", "200 ok"}, 200, 2},
		{"POST vouched for, body larger than may be kept", "POST", "Outrider-Idempotent: true", large, []string{"503 busy", "200 ok"}, 503, 1},
		{"retries turned off", "GET", "Outrider-Retry: off", "", []string{"503 busy", "200 ok"}, 503, 1},
		{"retries turned off goes before vouching", "POST", "Outrider-Retry: off\nOutrider-Idempotent: true", "b", []string{"503 busy", "200 ok"}, 503, 1},
		{"an unknown method", "CHARGE", "", "small body", []string{"503 busy", "200 ok"}, 503, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scripted(t, c.answers...)
			r := launch(t, s.document())
			req, _ := http.NewRequestWithContext(t.Context(), c.method, r.url("/api/x"), strings.NewReader(c.body))
			for line := range strings.SplitSeq(c.header, "\n") {
				if name, value, ok := strings.Cut(line, ":"); ok {
					req.Header.Add(name, strings.TrimSpace(value))
				}
			}
			resp, body := do(t, http.DefaultClient, req)
			wantBody := c.answers[min(c.times, len(c.answers))-1][4:]
			if resp.StatusCode != c.status || body != wantBody {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, body, c.status, wantBody)
			}
			got := s.take()
			if len(got) != c.times {
				t.Fatalf("sent %d times, want %d", len(got), c.times)
			}
			attempts := resp.Header.Get("Outrider-Attempts")
			if c.times > 1 && attempts != strconv.Itoa(c.times) || c.times == 1 && attempts != "" {
				t.Errorf("Outrider-Attempts is %q after %d", attempts, c.times)
			}
			for i, request := range got {
				if request.body != c.body {
					t.Errorf("request %d has %d bytes of body, want the %d that were given", i+1, len(request.body), len(c.body))
				}
				if key := strings.Join(request.header["Idempotency-Key"], ","); c.times > 1 && key != strings.TrimPrefix(c.header, "Idempotency-Key: ") && strings.HasPrefix(c.header, "Idem") {
					t.Errorf("request %d has the key %q", i+1, key)
				}
				for name := range request.header {
					if strings.HasPrefix(name, "Outrider-") {
						t.Errorf("request %d has %s", i+1, name)
					}
				}
			}
		})
	}
}

// Chunked bodies, whose length nobody knows before their end, are remembered on
// the way, and sent again byte for byte.
func TestStreamedBodyIsSentAgainAsItWas(t *testing.T) {
	s := scripted(t, "503 busy", "503 busy", "200 ok")
	r := launch(t, s.document())
	for _, size := range []int{1, 32 << 10, 33 << 10, 1<<20 - 1, 1 << 20} {
		want := make([]byte, size)
		_, _ = (&pattern{}).Read(want)
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", r.url("/api/x"), io.MultiReader(bytes.NewReader(want)))
		resp, body := do(t, http.DefaultClient, req)
		for i, request := range s.take() {
			if request.body != string(want) {
				t.Errorf("%d bytes, request %d: %d bytes arrived, or others", size, i+1, len(request.body))
			}
		}
		if resp.StatusCode != 200 {
			t.Errorf("%d bytes: %d %q", size, resp.StatusCode, body)
		}
	}
}

// A POST that was provably not sent may be sent: here the port refuses it first.
func TestPostThatWasNotSentIsSent(t *testing.T) {
	address := closedPort(t)
	r := launch(t, api(address)+"retry = { attempts = 10, base = \"400ms\", cap = \"400ms\" }\ncircuit = { consecutive = 100 }\n")
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Post(r.url("/api/x"), "text/plain", strings.NewReader("charge"))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		answer <- fmt.Sprint(resp.StatusCode, " ", string(body), " attempts=", resp.Header.Get("Outrider-Attempts"))
	}()
	eventually(t, "the first refusal", func() (bool, string) {
		_, metrics := r.ask("GET", "/metrics")
		return strings.Contains(metrics, "outrider_retries_total{"), ""
	})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	got := &ledger{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, got.note(r).body)
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	if text := <-answer; text != "200 charge attempts=" {
		t.Errorf("got %q, want 200 of one attempt: what was refused was none", text)
	}
	if requests := got.take(); len(requests) != 1 {
		t.Errorf("sent %d times", len(requests))
	}
}

func TestTimeoutOfTheCallerEndsItsCall(t *testing.T) {
	hanging := rawUpstream(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	r := launch(t, api(hanging))
	for _, method := range []string{"GET", "POST"} {
		req, _ := http.NewRequestWithContext(t.Context(), method, r.url("/api/x"), strings.NewReader("body"))
		req.Header.Set("Outrider-Timeout", "300ms")
		began := time.Now()
		resp, body := do(t, http.DefaultClient, req)
		if resp.StatusCode != 504 || slug(body) != "deadline-exceeded" || !strings.Contains(body, "300ms") {
			t.Errorf("%s: got %d %s", method, resp.StatusCode, body)
		}
		if passed := time.Since(began); passed < 300*time.Millisecond {
			t.Errorf("%s: it ended after %s already", method, passed)
		}
	}
}

func TestLargeHeadsPassAndHugeOnesAreRefused(t *testing.T) {
	got := &ledger{}
	server := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got.note(r) })
	r := launch(t, api(server.Listener.Addr().String()))
	fields := func(n, size int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "X-Field-%03d: %s\r\n", i, strings.Repeat(string(rune('a'+i%26)), size))
		}
		return b.String()
	}
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"200 fields of 60 KiB", "GET /api/x HTTP/1.1\r\nHost: localhost\r\n" + fields(200, 290), 200},
		{"one line of 31 KiB", "GET /api/x HTTP/1.1\r\nHost: localhost\r\nCookie: " + strings.Repeat("c", 31<<10) + "\r\n", 200},
		{"a query of 31 KiB", "GET /api/x?" + strings.Repeat("q", 31<<10) + " HTTP/1.1\r\nHost: localhost\r\n", 200},
		{"70 KiB", "GET /api/x HTTP/1.1\r\nHost: localhost\r\n" + fields(200, 350), 431},
		{"300 fields", "GET /api/x HTTP/1.1\r\nHost: localhost\r\n" + fields(300, 1), 431},
		{"one line of 40 KiB", "GET /api/x HTTP/1.1\r\nHost: localhost\r\nCookie: " + strings.Repeat("c", 40<<10) + "\r\n", 431},
		{"a target of 40 KiB", "GET /api/x?" + strings.Repeat("q", 40<<10) + " HTTP/1.1\r\nHost: localhost\r\n", 414},
	} {
		t.Run(c.name, func(t *testing.T) {
			got.take()
			conn, err := net.Dial("tcp", r.addresses[""])
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			go func() { _, _ = io.WriteString(conn, c.head+"\r\n") }() // may be refused before its end
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("got %v %v, want %d", resp, err, c.status)
			}
			requests := got.take()
			if c.status != 200 {
				if len(requests) > 0 {
					t.Errorf("what was refused went out")
				}
				return
			}
			want := strings.Count(c.head, "X-Field-")
			n := 0
			for name, values := range requests[0].header {
				if strings.HasPrefix(name, "X-Field-") && strings.Contains(c.head, name+": "+values[0]+"\r\n") {
					n++
				}
			}
			if n != want {
				t.Errorf("%d of %d fields arrived", n, want)
			}
		})
	}
}

// Clients that send their heads a byte at a time, or not at all, are nobody
// else's business.
func TestSlowHeadsHoldNobodyUp(t *testing.T) {
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	for i := range 100 {
		conn, _ := r.raw("GET /api/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: "[:1+i%40])
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "x")
		}
	}
	for range 20 {
		if resp, body := get(t, &http.Client{Timeout: patience}, r.url("/api/x")); resp.StatusCode != 200 {
			t.Fatalf("got %d %s", resp.StatusCode, body)
		}
	}
}

// An upstream that has seen enough of a large upload answers and closes. Its
// answer must reach the client, who is still sending.
func TestEarlyAnswerToALargeUploadArrives(t *testing.T) {
	address := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		h := head(r)
		_, _ = io.CopyN(io.Discard, r, 1<<20)
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\nenough\r\n")
		if strings.Contains(h, "/reset") {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		// Close with bytes unread: the kernel resets the connection.
	})
	r := launch(t, api(address))
	for _, framing := range []string{"Content-Length: 67108864", "Transfer-Encoding: chunked"} {
		t.Run(framing, func(t *testing.T) {
			conn, answer := r.raw("POST /api/x HTTP/1.1\r\nHost: localhost\r\n" + framing + "\r\n\r\n")
			var sending sync.WaitGroup
			sending.Go(func() {
				block := make([]byte, 64<<10)
				for range 64 << 20 / len(block) {
					if strings.HasPrefix(framing, "Transfer") {
						if _, err := io.WriteString(conn, "10000\r\n"); err != nil {
							return
						}
						block = append(block[:64<<10], '\r', '\n')
					}
					if _, err := conn.Write(block); err != nil {
						return
					}
				}
			})
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 413 || string(body) != "enough\r\n" || err != nil {
				t.Errorf("got %d %q %v", resp.StatusCode, body, err)
			}
			_ = conn.Close()
			sending.Wait()
		})
	}
	t.Run("curl", func(t *testing.T) {
		if _, err := exec.LookPath("curl"); err != nil {
			return // the clients' own test complains
		}
		cmd := exec.CommandContext(t.Context(), "curl", "-sS", "--max-time", "20", "-H", "Expect:", "-T", "-", "-X", "POST", "-o", "/dev/null", "-w", "%{http_code}", r.url("/api/x"))
		cmd.Stdin = io.LimitReader(&pattern{}, 64<<20)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		if out.String() != "413" {
			t.Errorf("curl got %s %s", out.String(), errs.String())
		}
	})
}

// Bodies pass through a few buffers, however large they are.
func TestLargeBodiesTakeLittleMemory(t *testing.T) {
	const size, step, bound = 64 << 20, 8 << 20, 24 << 20
	var most uint64
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		block := make([]byte, 64<<10)
		for n := 0; ; {
			m, err := io.ReadFull(r.Body, block)
			if _, werr := w.Write(block[:m]); werr != nil || err != nil {
				return
			}
			if n += m; n%step < m {
				most = max(most, heap())
			}
		}
	})
	r := launch(t, api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/")) // everything that is made once is there
	before := heap()
	for name, body := range map[string]io.Reader{
		"chunked":         io.LimitReader(&pattern{}, size),
		"of known length": struct{ io.Reader }{io.LimitReader(&pattern{}, size)},
	} {
		most = 0
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", r.url("/api/x"), body)
		if name != "chunked" {
			req.ContentLength = size
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if n != size || err != nil {
			t.Fatalf("%s: %d bytes came back: %v", name, n, err)
		}
		if most > before+bound {
			t.Errorf("%s: the heap grew from %d to %d KiB while %d MiB passed both ways", name, before>>10, most>>10, size>>20)
		}
		t.Logf("%s: heap %d KiB before, at most %d KiB within", name, before>>10, most>>10)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/2" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = fmt.Fprintf(w, "%s%s", r.URL.Path, body)
	})
	r := launch(t, api(server.Listener.Addr().String()))
	_, answer := r.raw("GET /api/1 HTTP/1.1\r\nHost: localhost\r\n\r\n" +
		"POST /api/2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" +
		"GET /nope/3 HTTP/1.1\r\nHost: localhost\r\n\r\n" +
		"POST /api/4 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n" +
		"GET /api/5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	for i, want := range []string{"200 /1", "404 /2abc", "404 unknown-upstream", "200 /4def", "200 /5"} {
		resp, err := http.ReadResponse(answer, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i+1, err)
		}
		body, _ := io.ReadAll(resp.Body)
		text := string(body)
		if s := slug(text); s != "" {
			text = s
		}
		if got := fmt.Sprint(resp.StatusCode, " ", text); got != want {
			t.Errorf("answer %d is %q, want %q", i+1, got, want)
		}
	}
}

func TestOldClients(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-After")
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush() // chunked towards us
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", r.Proto, body)
		w.Header().Set("X-After", "1")
	})
	r := launch(t, api(server.Listener.Addr().String())+"hosts = [\"api.example.test\"]\n")
	for name, request := range map[string]string{
		"HTTP/1.0":                           "GET /api/x HTTP/1.0\r\nHost: localhost\r\n\r\n",
		"HTTP/1.0 without a Host":            "GET /api/x HTTP/1.0\r\n\r\n",
		"HTTP/1.0 that asks to keep alive":   "GET /api/x HTTP/1.0\r\nConnection: keep-alive\r\nHost: localhost\r\n\r\n",
		"HTTP/1.0 as a proxy":                "GET http://api.example.test/x HTTP/1.0\r\n\r\n",
		"HTTP/1.0 with a body":               "POST /api/x HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 that closes":               "GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 that names nobody as Host": "GET /api/x HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, answer := r.raw(request)
			resp, err := http.ReadResponse(answer, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 200 || string(body) != "first HTTP/1.1 " || err != nil {
				t.Errorf("got %d %q %v", resp.StatusCode, body, err)
			}
			if strings.Contains(request, "HTTP/1.0") && len(resp.TransferEncoding) > 0 {
				t.Errorf("a 1.0 client got %v", resp.TransferEncoding)
			}
			if rest, err := io.ReadAll(answer); len(rest) > 0 || err != nil {
				t.Errorf("behind the answer stands %q %v", rest, err)
			}
		})
	}
}

// An answer of our own, or of an upstream in trouble, does not cost the client
// its connection.
func TestConnectionsAreKeptAfterErrors(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.Copy(w, r.Body)
	})
	r := launch(t, api(server.Listener.Addr().String())+"[upstream.down]\nurl = \"http://"+closedPort(t)+"\"\nretry = { attempts = 1 }\n")
	conn, answer := r.raw("")
	for _, c := range []struct {
		request string
		status  int
	}{
		{"GET /nope/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"POST /nope/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 404},
		{"POST /nope/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 404},
		{"GET /api/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421},
		{"GET /api/500 HTTP/1.1\r\nHost: localhost\r\n\r\n", 500},
		{"POST /api/500 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 500},
		{"GET /down/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 502},
		{"POST /down/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 502},
		{"HEAD /nope/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
	} {
		_, _ = io.WriteString(conn, c.request)
		method, _, _ := strings.Cut(c.request, " ")
		resp, err := http.ReadResponse(answer, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%q: %v", c.request, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != c.status || resp.Close {
			t.Errorf("%q: %d, close %v; want %d on a connection that stays", c.request, resp.StatusCode, resp.Close, c.status)
		}
	}
}

func TestUpstreamsDoNotMix(t *testing.T) {
	t.Setenv("KEY_A", "secret-a")
	t.Setenv("KEY_B", "secret-b")
	answer := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			sum := sha256.Sum256(body)
			_, _ = fmt.Fprintf(w, "%s %s %s %s", name, r.Header.Get("Authorization"), r.URL.Path, hex.EncodeToString(sum[:]))
		}
	}
	a, b := upstream(t, answer("a")), upstream(t, answer("b"))
	r := launch(t, fmt.Sprintf(`
[upstream.a]
url = "http://%s"
auth = { type = "bearer", token = "env:KEY_A" }
[upstream.b]
url = "http://%s"
auth = { type = "bearer", token = "env:KEY_B" }
`, a.Listener.Addr(), b.Listener.Addr()))
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}
	var calling sync.WaitGroup
	for i := range 16 {
		calling.Go(func() {
			for j := range 25 {
				name := []string{"a", "b"}[(i+j)%2]
				body := make([]byte, (i*25+j)*97)
				for k := range body {
					body[k] = byte(i + j + k)
				}
				sum := sha256.Sum256(body)
				want := fmt.Sprintf("%s Bearer secret-%s /%d/%d %s", name, name, i, j, hex.EncodeToString(sum[:]))
				req, _ := http.NewRequestWithContext(t.Context(), "POST", r.url(fmt.Sprintf("/%s/%d/%d", name, i, j)), bytes.NewReader(body))
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(got) != want || err != nil {
					t.Errorf("got %q %v, want %q", got, err, want)
				}
			}
		})
	}
	calling.Wait()
}

// An upstream that is ourselves would call itself for ever. Where the file says so, it is an
// error.
func TestUpstreamThatIsOurselvesIsNotStarted(t *testing.T) {
	listen, admin, own := closedPort(t), closedPort(t), closedPort(t)
	_, port, _ := net.SplitHostPort(listen)
	data := fmt.Appendf(nil, `
listen = %q
admin = %q
[upstream.ip]
url = "http://%s/ip"
[upstream.name]
url = "http://localhost:%s/name"
[upstream.mapped]
url = "http://[::ffff:127.0.0.1]:%s/mapped"
[upstream.admin]
url = "http://%s"
[upstream.other]
url = "http://%s"
hosts = []
[upstream.own]
url = "http://%s/own"
listen = %q
`, listen, admin, listen, port, port, admin, own, own, own)
	file, err := config.Parse("test.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), "", data, file, &logBuffer{})
	if err == nil {
		t.Fatal("it was started")
	}
	for _, name := range []string{"ip", "name", "mapped", "admin", "other", "own"} {
		if !strings.Contains(err.Error(), "upstream."+name+".url: ") {
			t.Errorf("nothing is said of %s in %v", name, err)
		}
	}
}

// Where only the connection shows it, each call is refused.
func TestUpstreamThatIsOurselvesIsRefused(t *testing.T) {
	listen, admin, own := closedPort(t), closedPort(t), closedPort(t)
	anyAt := func(address string) string {
		_, port, _ := net.SplitHostPort(address)
		return "http://0.0.0.0:" + port
	}
	r := launchData(t, "", fmt.Sprintf(`
listen = %q
admin = %q
[upstream.any]
url = "%s/any"
[upstream.admin]
url = %q
[upstream.other]
url = %q
hosts = []
[upstream.own]
url = "%s/own"
listen = %q
`, listen, admin, anyAt(listen), anyAt(admin), anyAt(own), anyAt(own), own))
	for _, name := range []string{"any", "admin", "other", "own"} {
		resp, body := get(t, http.DefaultClient, r.url("/"+name+"/x"))
		if s := slug(body); resp.StatusCode < 400 || s != "address-denied" && s != "proxy-loop" {
			t.Errorf("%s: got %d %s", name, resp.StatusCode, body)
		}
	}
	r.rest()
	if calls := r.logged("call"); len(calls) != 4 {
		t.Errorf("%d calls came in for the 4 that were made", len(calls))
	}
}
