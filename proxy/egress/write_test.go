package egress_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/egress"
)

// recorder is a network whose connections keep what is written to them, one
// entry a write, and answer with a fixed response.
type recorder struct {
	mu     sync.Mutex
	writes [][]byte
	answer string
}

func (r *recorder) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	go func() { io.WriteString(server, r.answer) }()
	return &recorded{client, r}, nil
}

type recorded struct {
	net.Conn
	r *recorder
}

func (c *recorded) Write(p []byte) (int, error) {
	c.r.mu.Lock()
	c.r.writes = append(c.r.writes, bytes.Clone(p))
	c.r.mu.Unlock()
	return c.Conn.Write(p)
}

const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// sent is what req looks like on the wire.
func sent(t *testing.T, req *http.Request) []string {
	t.Helper()
	r := &recorder{answer: empty}
	tr := newTransport(t, egress.Settings{Dial: r.dial})
	fetch(t, tr, req)
	tr.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, w := range r.writes {
		out = append(out, string(w))
	}
	return out
}

func TestRequestTargetGoesOutByteForByte(t *testing.T) {
	for _, c := range []struct {
		url  url.URL
		want string
	}{
		{url.URL{Path: "/a b"}, "/a%20b"},
		{url.URL{Path: "/a/b", RawPath: "/a%2Fb"}, "/a%2Fb"},
		{url.URL{}, "/"},
		{url.URL{Path: "/x", ForceQuery: true}, "/x?"},
		{url.URL{Path: "/x", RawQuery: "a=%zz&b=|+"}, "/x?a=%zz&b=|+"},
		{url.URL{Opaque: "//api.test/a//b/../c%2f;x", Path: "/other"}, "/a//b/../c%2f;x"},
		{url.URL{Opaque: "//api.test//evil/x"}, "//evil/x"},
		{url.URL{Opaque: "//api.test:8080"}, "/"},
		{url.URL{Opaque: "/just/path", RawQuery: "q"}, "/just/path?q"},
		{url.URL{Opaque: "//api.test/\xc3\xa4"}, "/\xc3\xa4"},
	} {
		req := newRequest(t, "GET", "http://api.test", nil)
		c.url.Scheme, c.url.Host = "http", "api.test"
		req.URL = &c.url
		line, _, _ := strings.Cut(sent(t, req)[0], "\r\n")
		if want := "GET " + c.want + " HTTP/1.1"; line != want {
			t.Errorf("%+v: %q, want %q", c.url, line, want)
		}
	}
	req := newRequest(t, "OPTIONS", "http://api.test", nil)
	req.URL.Opaque = "*"
	if out := sent(t, req)[0]; !strings.HasPrefix(out, "OPTIONS * HTTP/1.1\r\n") {
		t.Errorf("%q", out)
	}
}

func TestHeadCarriesWhatTheRequestHasAndNothingElse(t *testing.T) {
	req := newRequest(t, "GET", "http://api.test/", nil)
	req.Host = "other.test:99"
	req.Header = http.Header{"x-lower": {"1", "2"}, "X-Raw": {"caf\xe9\t x"}, "Host": {"evil"}, "Transfer-Encoding": {"chunked"}, "Content-Length": nil}
	out := sent(t, req)[0]
	lines := strings.Split(strings.TrimSuffix(out, "\r\n\r\n"), "\r\n")
	slices.Sort(lines[2:])
	want := []string{"GET / HTTP/1.1", "Host: other.test:99", "X-Raw: caf\xe9\t x", "x-lower: 1", "x-lower: 2"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

func TestBodyFraming(t *testing.T) {
	unknown := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }
	for _, c := range []struct {
		name, method string
		body         io.Reader
		prepare      func(*http.Request)
		want         string // after the Host line
	}{
		{"GET without body", "GET", nil, nil, "\r\n"},
		{"POST without body", "POST", nil, nil, "Content-Length: 0\r\n\r\n"},
		{"DELETE that says 0", "DELETE", nil, func(r *http.Request) { r.Header.Set("Content-Length", "0") }, "Content-Length: 0\r\n\r\n"},
		{"in memory", "POST", strings.NewReader("hello"), nil, "Content-Length: 5\r\n\r\nhello"},
		{"declared", "POST", unknown("hello"), func(r *http.Request) { r.ContentLength = 5 }, "Content-Length: 5\r\n\r\nhello"},
		{"unknown", "PUT", unknown("hello"), nil, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"unknown by -1", "PUT", unknown("hello"), func(r *http.Request) { r.ContentLength = -1 }, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"empty unknown", "PUT", unknown(""), nil, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"large chunk", "PUT", unknown(strings.Repeat("x", 32<<10)), nil, "Transfer-Encoding: chunked\r\n\r\n8000\r\n" + strings.Repeat("x", 32<<10) + "\r\n0\r\n\r\n"},
		{"trailers", "PUT", unknown("hi"), func(r *http.Request) {
			r.ContentLength = 2
			r.Trailer = http.Header{"X-Sum": {"42"}}
		}, "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n"},
		{"close", "GET", nil, func(r *http.Request) { r.Close = true }, "Connection: close\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The answer comes when the request is complete.
			want := c.method + " / HTTP/1.1\r\nHost: api.test\r\n" + c.want
			got := make(chan string, 1)
			s := serve(t, func(p *peer) {
				got <- p.body(len(want))
				p.say(empty)
			})
			req := newRequest(t, c.method, "http://"+s.addr+"/", c.body)
			req.Host = "api.test"
			if c.prepare != nil {
				c.prepare(req)
			}
			fetch(t, newTransport(t, egress.Settings{}), req)
			if out := <-got; out != want {
				t.Errorf("%q, want %q", out, want)
			}
		})
	}
}

func TestSmallBodyGoesOutWithTheHeadInOneWrite(t *testing.T) {
	for _, size := range []int{0, 1, 16 << 10} {
		req := newRequest(t, "POST", "http://api.test/", strings.NewReader(strings.Repeat("x", size)))
		if size == 0 {
			req = newRequest(t, "GET", "http://api.test/", nil)
		}
		if out := sent(t, req); len(out) != 1 || strings.Count(out[0], "x") != size {
			t.Errorf("%d bytes: %d writes", size, len(out))
		}
	}
}

func TestInvalidRequestsAreNeverDialled(t *testing.T) {
	tr := newTransport(t, egress.Settings{Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, errors.New("no")
	}})
	for name, spoil := range map[string]func(*http.Request){
		"method":           func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX: y\r\n\r\n" },
		"CONNECT":          func(r *http.Request) { r.Method = "CONNECT" },
		"opaque LF":        func(r *http.Request) { r.URL.Opaque = "//api.test/a\nX: y" },
		"opaque space":     func(r *http.Request) { r.URL.Opaque = "//api.test/a b" },
		"opaque form":      func(r *http.Request) { r.URL.Opaque = "mailto:x" },
		"star with GET":    func(r *http.Request) { r.URL.Opaque = "*" },
		"query CR":         func(r *http.Request) { r.URL.RawQuery = "a\rb" },
		"query NUL":        func(r *http.Request) { r.URL.RawQuery = "a\x00b" },
		"header name":      func(r *http.Request) { r.Header["X: y\r\nZ"] = []string{"1"} },
		"empty name":       func(r *http.Request) { r.Header[""] = []string{"1"} },
		"header value CR":  func(r *http.Request) { r.Header["X"] = []string{"secret\rX: y"} },
		"header value LF":  func(r *http.Request) { r.Header["X"] = []string{"secret\nX: y"} },
		"header value NUL": func(r *http.Request) { r.Header["X"] = []string{"secret\x00"} },
		"trailer value":    func(r *http.Request) { r.Trailer = http.Header{"X": {"secret\r\n"}} },
		"host":             func(r *http.Request) { r.Host = "a\r\nX: y" },
		"host userinfo":    func(r *http.Request) { r.Host = "u@a" },
		"no host":          func(r *http.Request) { r.URL.Host, r.Host = "", "" },
		"scheme":           func(r *http.Request) { r.URL.Scheme = "ftp" },
	} {
		req := newRequest(t, "GET", "http://api.test/", nil)
		body := &closeCounter{Reader: strings.NewReader("x")}
		req.Body = body
		spoil(req)
		_, err := tr.RoundTrip(req)
		e := wantError(t, err, egress.InvalidRequest, false)
		if strings.Contains(e.Error(), "secret") {
			t.Errorf("%s: the error quotes the value: %v", name, e)
		}
		if body.closed == 0 {
			t.Errorf("%s: body not closed", name)
		}
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

type failingReader struct {
	data string
	err  error
}

func (r *failingReader) Read(p []byte) (int, error) {
	if r.data == "" {
		return 0, r.err
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// A request body that breaks off or has another length than declared never
// looks complete to the peer.
func TestFaultyRequestBodyNeverEndsCleanly(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name   string
		body   io.Reader
		length int64
		cause  error
	}{
		{"read error, chunked", &failingReader{"abc", boom}, -1, boom},
		{"read error, declared", &failingReader{"abc", boom}, 10, boom},
		{"short", strings.NewReader("abc"), 10, nil},
		{"long", strings.NewReader("abcdefghijkl"), 10, nil},
	} {
		for _, proto := range []string{"http", "https"} {
			t.Run(c.name+" "+proto, func(t *testing.T) {
				got := make(chan string, 1)
				handle := func(p *peer) {
					head := p.head()
					rest, _ := io.ReadAll(p.br)
					got <- head + "\r\n" + string(rest)
				}
				var s *server
				if proto == "http" {
					s = serve(t, handle)
				} else {
					s = serveTLS(t, serverTLS("http/1.1"), handle)
				}
				body := &replayed{data: c.body}
				req := newRequest(t, "POST", proto+"://"+s.addr+"/", body)
				req.ContentLength = c.length
				_, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(req)
				e := wantError(t, err, egress.ClientBody, true)
				if c.cause != nil && !errors.Is(e, c.cause) {
					t.Errorf("%v does not wrap the cause", e)
				}
				out := <-got
				if strings.Contains(out, "\r\n0\r\n") || c.length > 0 && len(out[strings.Index(out, "\r\n\r\n")+4:]) >= int(c.length) {
					t.Errorf("the peer saw a complete request: %q", out)
				}
				replay(t, body)
			})
		}
	}
	t.Run("in memory: nothing leaves", func(t *testing.T) {
		s := serve(t, answer(empty))
		tr := newTransport(t, egress.Settings{})
		for _, length := range []int64{2, 10} {
			req := newRequest(t, "POST", "http://"+s.addr+"/", strings.NewReader("abc"))
			req.ContentLength = length
			_, err := tr.RoundTrip(req)
			wantError(t, err, egress.ClientBody, false)
		}
		get(t, tr, "http://"+s.addr+"/")
		if n := s.accepted.Load(); n != 1 {
			t.Errorf("%d connections: the unused one was not kept", n)
		}
	})
}

// A replayed body panics when it is read after the call's end.
type replayed struct {
	mu      sync.Mutex
	data    io.Reader
	reading int
	closed  bool
	over    bool
}

func (r *replayed) Read(p []byte) (int, error) {
	r.mu.Lock()
	if r.over {
		panic("request body read after the call")
	}
	r.reading++
	r.mu.Unlock()
	n, err := r.data.Read(p)
	r.mu.Lock()
	r.reading--
	r.mu.Unlock()
	return n, err
}

func (r *replayed) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return nil
}

// replay checks that the call has let go of the body.
func replay(t *testing.T, r *replayed) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if !r.closed || r.reading > 0 {
		t.Errorf("request body: closed %v, %d reads in progress", r.closed, r.reading)
	}
}

func TestExpectContinueHoldsTheBodyBack(t *testing.T) {
	for name, small := range map[string]bool{"in memory": true, "streamed": false} {
		newReq := func(s *server) (*http.Request, *replayed) {
			body := &replayed{data: strings.NewReader("hello")}
			req := newRequest(t, "POST", "http://"+s.addr+"/", body)
			req.ContentLength = 5
			if small {
				req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("not for the transport") }
			}
			req.Header.Set("Expect", "100-continue")
			return req, body
		}
		t.Run(name+": body after 100", func(t *testing.T) {
			s := serve(t, func(p *peer) {
				for p.head() != "" {
					if p.br.Buffered() > 0 {
						t.Error("body came before 100")
					}
					p.say("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
					if b := p.body(5); b != "hello" {
						t.Errorf("body %q", b)
					}
					p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
			tr := newTransport(t, egress.Settings{})
			for range 2 {
				req, body := newReq(s)
				var h hooks
				if _, b := fetch(t, tr, h.on(req)); b != "ok" {
					t.Errorf("%q", b)
				}
				if !slices.Equal(h.interim, []int{103, 100}) || h.wrote.Load() != 1 || h.first.Load() != 1 {
					t.Errorf("interim %v, wrote %d, first byte %d", h.interim, h.wrote.Load(), h.first.Load())
				}
				replay(t, body)
			}
			if n := s.accepted.Load(); n != 1 {
				t.Errorf("%d connections, want one reused", n)
			}
		})
		t.Run(name+": no body after a final answer", func(t *testing.T) {
			rest := make(chan string, 1)
			s := serve(t, func(p *peer) {
				p.head()
				p.say("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
				b, _ := io.ReadAll(p.br)
				rest <- string(b)
			})
			req, body := newReq(s)
			resp, b := fetch(t, newTransport(t, egress.Settings{}), req)
			if resp.StatusCode != 417 || b != "no" {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
			if r := <-rest; r != "" {
				t.Errorf("sent %q after the final answer", r)
			}
			replay(t, body)
		})
		t.Run(name+": a peer that knows no 100 gets the body in the end", func(t *testing.T) {
			s := serve(t, func(p *peer) {
				p.head()
				if b := p.body(5); b != "hello" {
					t.Errorf("body %q", b)
				}
				p.say(empty)
			})
			req, body := newReq(s)
			fetch(t, newTransport(t, egress.Settings{ExpectContinueTimeout: 1}), req)
			replay(t, body)
		})
	}
}

func TestEarlyFinalAnswerStopsTheBodyAndTheConnection(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 204 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
	} {
		s := serve(t, func(p *peer) {
			p.head()
			p.body(10)
			p.say(raw)
			io.Copy(io.Discard, p.br)
		})
		tr := newTransport(t, egress.Settings{})
		for range 2 {
			body := &replayed{data: endless{}}
			fetch(t, tr, newRequest(t, "POST", "http://"+s.addr+"/", body))
			replay(t, body)
		}
		if n := s.accepted.Load(); n != 2 {
			t.Errorf("%d connections: one was used after half a request", n)
		}
	}
}

// Trailers are filled in while the body is read: too late for the first check.
func TestTrailersCannotSplitTheRequest(t *testing.T) {
	for _, url := range []string{
		"http://" + serve(t, func(p *peer) { io.Copy(io.Discard, p.br) }).addr,
		serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }),
	} {
		req := newRequest(t, "POST", url, nil)
		req.Trailer = http.Header{"X": nil}
		body := &replayed{data: readerFunc(func([]byte) (int, error) {
			req.Trailer["X"] = []string{"secret\r\nY: z"}
			return 0, io.EOF
		})}
		req.Body = body
		_, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(req)
		e := wantError(t, err, egress.ClientBody, true)
		if strings.Contains(e.Error(), "secret") {
			t.Errorf("%v", e)
		}
		replay(t, body)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestHostHasNoZone(t *testing.T) {
	req := newRequest(t, "GET", "http://[fe80::1%25eth0]:81/", nil)
	if out := sent(t, req)[0]; !strings.Contains(out, "\r\nHost: [fe80::1]:81\r\n") {
		t.Errorf("%q", out)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
