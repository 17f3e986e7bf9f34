package inbound_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/proxy/framing"
	"outrider/proxy/inbound"
)

// A server is a Server on a loopback socket, with a handler that echoes and answers
// violations as Outrider does.
type server struct {
	addr string
	mu   sync.Mutex
	seen []string // method and target of each request that the handler took for one
}

func serve(t *testing.T, configure func(*inbound.Settings)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: listener.Addr().String()}
	settings := inbound.Settings{Handler: s}
	if configure != nil {
		configure(&settings)
	}
	start(t, inbound.New(settings), listener)
	return s
}

// start serves until the test has ended.
func start(t testing.TB, s *inbound.Server, listener net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(listener); err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
		_ = s.Shutdown(context.Background())
	})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v, ok := inbound.Violation(r); ok {
		http.Error(w, v.Reason, v.Status)
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.RequestURI)
	s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if v, ok := errors.AsType[*framing.Error](err); ok {
		http.Error(w, v.Reason, v.Status)
		return
	}
	fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
}

func (s *server) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, ", ")
}

func (s *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// No test waits for this; it only ends one that hangs.
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// An answer is a status and its body.
type answer struct {
	status int
	body   string
}

// exchange sends raw, then reads answers until the server closes.
func (s *server) exchange(t *testing.T, raw string) (got []answer) {
	t.Helper()
	c := s.dial(t)
	go func() { _, _ = io.WriteString(c, raw) }()
	br := bufio.NewReader(c)
	for {
		if _, err := br.Peek(1); err != nil {
			if err != io.EOF {
				t.Errorf("the answer does not end in EOF: %v", err)
			}
			return got
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, answer{resp.StatusCode, strings.TrimSpace(string(b))})
	}
}

// Each attack hides a second request from a reader that frames the first one
// differently. It must be answered 400, the connection closed, and the hidden
// request must not reach the handler.
func TestSmuggledRequestsNeverReachTheHandler(t *testing.T) {
	const (
		host   = "Host: api.test"
		hidden = "GET /hidden HTTP/1.1\r\nHost: api.test\r\n\r\n"
		chunk  = "0\r\n\r\n" + hidden
	)
	post := func(fields ...string) string {
		return head(append([]string{"POST / HTTP/1.1", host}, fields...)...)
	}
	te := "Transfer-Encoding: chunked"
	for name, raw := range map[string]string{
		"CL.TE":                       post("Content-Length: 47", te) + chunk,
		"TE.CL":                       post(te, "Content-Length: 3") + "1\r\nx\r\n" + chunk,
		"CL.CL":                       post("Content-Length: 0", "Content-Length: 42") + hidden,
		"CL list":                     post("Content-Length: 0, 42") + hidden,
		"CL equal list":               post("Content-Length: 5, 5") + "12345" + hidden,
		"CL with plus":                post("Content-Length: +5") + "12345" + hidden,
		"CL with leading text":        post("Content-Length: x5") + hidden,
		"CL with NUL":                 post("Content-Length: 5\x00") + "12345" + hidden,
		"CL with space before colon":  post("Content-Length : 42") + hidden,
		"CL folded":                   post("Content-Length:\r\n 42") + hidden,
		"CL overflow":                 post("Content-Length: 18446744073709551616") + hidden,
		"TE xchunked":                 post("Transfer-Encoding: xchunked") + chunk,
		"TE twice":                    post(te, "Transfer-Encoding: x") + chunk,
		"TE identity, chunked":        post("Transfer-Encoding: identity, chunked") + chunk,
		"TE chunked, identity":        post("Transfer-Encoding: chunked, identity") + chunk,
		"TE space before colon":       post("Transfer-Encoding : chunked") + chunk,
		"TE tab before colon":         post("Transfer-Encoding\t: chunked") + chunk,
		"TE vertical tab in name":     post("Transfer-Encoding\x0b: chunked") + chunk,
		"TE vertical tab in value":    post("Transfer-Encoding: \x0bchunked") + chunk,
		"TE NUL":                      post("Transfer-Encoding: chunked\x00") + chunk,
		"TE space in front":           post(" Transfer-Encoding: chunked") + chunk,
		"TE folded":                   post("Transfer-Encoding:\r\n chunked") + chunk,
		"TE behind a fold":            post("X: y\r\n Transfer-Encoding: chunked") + chunk,
		"TE behind a bare CR":         post("X: y\rTransfer-Encoding: chunked") + chunk,
		"TE behind a bare LF":         post("X: y\nTransfer-Encoding: chunked") + chunk,
		"TE behind an empty name":     post(": y\nTransfer-Encoding: chunked") + chunk,
		"TE quoted":                   post("Transfer-Encoding: \"chunked\"") + chunk,
		"TE empty":                    post("Transfer-Encoding:", "Content-Length: 47") + chunk,
		"TE in 1.0":                   head("POST / HTTP/1.0", host, te) + chunk,
		"TE in 1.0, keep-alive":       head("POST / HTTP/1.0", host, te, "Connection: keep-alive", "Content-Length: 47") + chunk,
		"chunk size with LF":          post(te) + "5\n12345\r\n" + chunk,
		"chunk size with space":       post(te) + "5 \r\n12345\r\n" + chunk,
		"chunk size 0x":               post(te) + "0x0\r\n\r\n" + hidden,
		"chunk size negative":         post(te) + "-1\r\n\r\n" + hidden,
		"chunk size overflow":         post(te) + "100000000000000000\r\n\r\n" + hidden,
		"chunk extension LF":          post(te) + "0;\n\r\n" + hidden,
		"chunk extension LF, hidden":  post(te) + "2;x\nxx\r\n2a\r\n0\r\n\r\n" + hidden,
		"chunk extension CR":          post(te) + "2;\rxx\r\n" + chunk,
		"chunk data too long":         post(te) + "1\r\nxx" + chunk,
		"last chunk with LF":          post(te) + "0\n\n" + hidden,
		"trailer with CL":             post(te) + "0\r\nContent-Length: 42\r\n\r\n" + hidden,
		"trailer with TE":             post(te) + "0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
		"trailer with LF":             post(te) + "0\r\nX: y\n\r\n" + hidden,
		"Host twice":                  head("GET / HTTP/1.1", host, "Host: evil.test") + hidden,
		"Host missing":                head("GET / HTTP/1.1") + hidden,
		"Host with userinfo":          head("GET / HTTP/1.1", "Host: api.test@evil.test") + hidden,
		"request line with two lines": "GET / HTTP/1.1\n" + host + "\n\n" + hidden,
		"request line of three":       head("GET / HTTP/1.1 HTTP/1.1", host) + hidden,
		"HTTP/0.9":                    "GET /\r\n\r\n" + hidden,
		"connect with a body":         head("CONNECT a.test:443 HTTP/1.1", host, "Content-Length: 42") + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil)
			got := s.exchange(t, head("GET /before HTTP/1.1", host)+raw+hidden)
			if len(got) != 2 || got[0] != (answer{200, "GET /before"}) || got[1].status != 400 {
				t.Errorf("answers: %v", got)
			}
			if seen := s.requests(); strings.Contains(seen, "hidden") {
				t.Errorf("handler saw %s", seen)
			}
		})
	}
}

func TestAnswersComeInOrderBeforeTheRefusal(t *testing.T) {
	s := serve(t, nil)
	got := s.exchange(t,
		head("POST /1 HTTP/1.1", "Host: a", "Content-Length: 2")+"hi"+
			head("POST /2 HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")+"2\r\nho\r\n0\r\n\r\n"+
			head("GET /3 HTTP/1.1", "Host: a")+
			head("GET /4 HTTP/1.1", "Host: a", "X : y")+
			head("GET /5 HTTP/1.1", "Host: a"))
	want := []answer{{200, "POST /1 hi"}, {200, "POST /2 ho"}, {200, "GET /3"}, {400, "whitespace between header name and colon"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestForeignProtocolsAreTold(t *testing.T) {
	s := serve(t, nil)
	for raw, want := range map[string]answer{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": {400, "TLS"},
		"\x05\x01\x00": {400, "SOCKS"},
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00":                                            {505, "HTTP/2 preface"},
		"GET /" + strings.Repeat("x", 1<<20):                                                      {414, "request line too long"},
		lines("GET / HTTP/1.1", "") + strings.Repeat("X: "+strings.Repeat("y", 9<<10)+"\r\n", 99): {431, "section too large"},
	} {
		got := s.exchange(t, raw)
		if len(got) != 1 || got[0].status != want.status || !strings.Contains(got[0].body, want.body) {
			t.Errorf("%.20q: %v, want %v", raw, got, want)
		}
	}
}

func TestBodyViolationsReachTheHandler(t *testing.T) {
	begin := []string{"POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"}
	for _, expect := range []bool{false, true} {
		for body, want := range map[string]string{
			"zz\r\n":                           "invalid chunk size",
			"5\n":                              "line that ends in LF without CR",
			"2\r\nhixx":                        "chunk data not followed by CRLF",
			"2\r\nhi\rx":                       "chunk data not followed by CRLF",
			"2\r\nhi\r\n0\r\n\n":               "line that ends in LF without CR",
			"2\r\nhi\r\n0\r\nX\x00: y\r\n\r\n": "invalid byte in a header name",
			"2\r\nhi\r\n0\r\nA: b\r\nHost: x\r\n\r\n": "field that is not allowed in trailers",
		} {
			fields := begin
			if expect {
				fields = append(fields, "Expect: 100-continue")
			}
			s := serve(t, nil)
			got := s.exchange(t, head(fields...)+body)
			if len(got) > 1 && got[0].status == 100 {
				got = got[1:]
			}
			if len(got) != 1 || got[0] != (answer{400, want}) {
				t.Errorf("%q, expect %v: %v, want %q", body, expect, got, want)
			}
		}
	}
}

// A handler that leaves the body alone must not turn the rest of a bad body into a request.
func TestUnreadBadBodyEndsTheConnection(t *testing.T) {
	s := serve(t, func(s *inbound.Settings) {
		echo := s.Handler
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/deaf" {
				echo.ServeHTTP(w, r)
			}
		})
	})
	got := s.exchange(t, head("POST /deaf HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")+
		"2\r\nhi\n\r\n"+head("GET /hidden HTTP/1.1", "Host: a"))
	if len(got) != 1 || s.requests() != "" {
		t.Errorf("answers %v, handler saw %q", got, s.requests())
	}
}

// Behind a refused head the client may go on sending: its answer must survive that.
func TestRefusalIsReadableWhileTheClientSends(t *testing.T) {
	s := serve(t, nil)
	got := s.exchange(t, head("POST / HTTP/1.1", "Host: a", "Content-Length: +1")+strings.Repeat("x", 700<<10))
	if len(got) != 1 || got[0].status != 400 {
		t.Errorf("answers: %v", got)
	}
}

func TestContextOfAStandInIsAlive(t *testing.T) {
	s := serve(t, func(s *inbound.Settings) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// Were there a watch, it would begin now.
			select {
			case <-r.Context().Done():
				w.WriteHeader(499)
			case <-time.After(50 * time.Millisecond):
				w.WriteHeader(400)
			}
		})
	})
	if got := s.exchange(t, "GET\r\n"); len(got) != 1 || got[0].status != 400 {
		t.Errorf("answers: %v", got)
	}
}

// Every head has HeadTimeout from its first byte on, the first of a connection and
// later ones. IdleTimeout is far away, so only HeadTimeout can end this.
func TestSlowHeadsMeetHeadTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *inbound.Settings) {
		s.HeadTimeout = time.Second
		s.IdleTimeout = time.Hour
	})
	slow := answer{408, "request head took too long"}
	if got := s.exchange(t, "GET / HTTP/1.1\r\nHo"); len(got) != 1 || got[0] != slow {
		t.Errorf("first head: %v", got)
	}
	got := s.exchange(t, head("GET /1 HTTP/1.1", "Host: a")+"GET / HTTP/1.1\r\nHo")
	if len(got) != 2 || got[0].status != 200 || got[1] != slow {
		t.Errorf("second head: %v", got)
	}
	if got := s.exchange(t, ""); len(got) != 0 {
		t.Errorf("no head: %v", got)
	}
}

func TestClientsDepartureCancelsTheCall(t *testing.T) {
	gone := make(chan error, 1)
	started := make(chan struct{})
	s := serve(t, func(s *inbound.Settings) {
		s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(started)
			<-r.Context().Done()
			gone <- context.Cause(r.Context())
		})
	})
	c := s.dial(t)
	_, _ = io.WriteString(c, head("GET / HTTP/1.1", "Host: a"))
	<-started
	_ = c.Close()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("cause: %v", err)
	}
}

// The goroutine that accepted a connection serves it. Others have to be accepted meanwhile,
// however that one ends: here by a client that says nothing, one whose call takes long, and
// a handler that ends its goroutine.
func TestConnectionThatIsServedKeepsNobodyWaiting(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	s := serve(t, func(s *inbound.Settings) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/slow":
				close(entered)
				<-release
			case "/goexit":
				runtime.Goexit()
			}
			fmt.Fprint(w, "fine")
		})
	})
	t.Cleanup(func() { close(release) })
	s.dial(t)
	_, _ = io.WriteString(s.dial(t), head("GET /slow HTTP/1.1", "Host: a"))
	<-entered
	_, _ = io.WriteString(s.dial(t), head("GET /goexit HTTP/1.1", "Host: a"))
	for range 3 {
		if got := s.exchange(t, head("GET / HTTP/1.1", "Host: a", "Connection: close")); len(got) != 1 || got[0].body != "fine" {
			t.Errorf("while others are served: %v", got)
		}
	}
}

func TestStandardClientWorks(t *testing.T) {
	s := serve(t, nil)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, body := range []string{"", "hello", strings.Repeat("0123456789", 100<<10)} {
		for _, chunked := range []bool{false, true} {
			var r io.Reader = strings.NewReader(body)
			if chunked {
				r = struct{ io.Reader }{r}
			}
			resp, err := client.Post("http://"+s.addr+"/x?y=z", "text/plain", r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || string(b) != "POST /x?y=z "+body {
				t.Errorf("%d bytes, chunked %v: %d, %d bytes, %v", len(body), chunked, resp.StatusCode, len(b), err)
			}
		}
	}
}
