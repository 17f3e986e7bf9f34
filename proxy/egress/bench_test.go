package egress_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"outrider/proxy/egress"
)

// The peer is a minimal raw server, the response that of a small JSON API.
const benchResponse = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\n" +
	"Content-Length: 1024\r\nX-RateLimit-Limit: 5000\r\nX-RateLimit-Remaining: 4999\r\nX-Request-Id: 0123456789abcdef\r\nVary: Accept\r\n\r\n"

func benchPeer(p *peer) {
	out := []byte(benchResponse + strings.Repeat("x", 1024))
	for {
		// No parsing: the head ends with an empty line.
		for {
			line, err := p.br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		p.Write(out)
	}
}

func BenchmarkKeepAliveGet(b *testing.B) {
	pool := x509.NewCertPool()
	pool.AddCert(newCA().cert)
	plain := "http://" + serve(b, benchPeer).addr + "/v1/things?limit=10"
	secure := "https://" + serveTLS(b, serverTLS("http/1.1"), benchPeer).addr + "/v1/things?limit=10"
	ours := newTransport(b, egress.Settings{CAFile: caFile(b)})
	std := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true, MaxIdleConnsPerHost: 64}
	b.Cleanup(std.CloseIdleConnections)
	for _, c := range []struct {
		name, url string
		tr        http.RoundTripper
	}{
		{"plain/egress", plain, ours}, {"plain/net-http", plain, std},
		{"TLS/egress", secure, ours}, {"TLS/net-http", secure, std},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 4<<10)
			req := newRequest(b, "GET", c.url, nil)
			req.Header = http.Header{"Accept": {"application/json"}, "Authorization": {"Bearer 0123456789"}, "User-Agent": {"bench/1"}}
			for b.Loop() {
				resp, err := c.tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for err == nil {
					var m int
					m, err = resp.Body.Read(buf)
					n += m
				}
				if err != io.EOF || n != 1024 {
					b.Fatal(n, err)
				}
				resp.Body.Close()
			}
		})
	}
}

// longResponse is that of a large API: much is said, and little of it is new.
var longResponse = strings.ReplaceAll(`HTTP/1.1 200 OK
Server: api.test
Date: Sun, 22 Nov 2026 10:00:00 GMT
Content-Type: application/json; charset=utf-8
Content-Length: 1024
Cache-Control: private, max-age=60, s-maxage=60
Vary: Accept, Authorization, Cookie, Accept-Encoding, X-Requested-With
ETag: W/"0123456789abcdef"
X-OAuth-Scopes: repo, user
X-Accepted-OAuth-Scopes:
X-RateLimit-Limit: 5000
X-RateLimit-Remaining: 4999
X-RateLimit-Reset: 1795000000
X-RateLimit-Resource: core
Access-Control-Expose-Headers: ETag, Link, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset
Access-Control-Allow-Origin: *
Strict-Transport-Security: max-age=31536000; includeSubdomains; preload
X-Frame-Options: deny
X-Content-Type-Options: nosniff
X-XSS-Protection: 0
Referrer-Policy: origin-when-cross-origin, strict-origin-when-cross-origin
Content-Security-Policy: default-src 'none'
X-Request-Id: 0123456789abcdef

`, "\n", "\r\n")

// benchAnswers are those of a server: what is left is less each time, and the id another.
func benchAnswers(response string) (answers []string) {
	for n := range 10 {
		head := strings.NewReplacer("4999", strconv.Itoa(4999-n), "0123456789abcdef", strings.Repeat(strconv.Itoa(n), 16)).Replace(response)
		answers = append(answers, head+strings.Repeat("x", 1024))
	}
	return answers
}

// An instant is a connection in memory that has an answer to each write.
type instant struct {
	net.Conn
	answers []string
	n       int // answers so far
	unread  string
}

func (c *instant) Write(p []byte) (int, error) {
	c.unread = c.answers[c.n%len(c.answers)]
	c.n++
	return len(p), nil
}

func (c *instant) Read(p []byte) (int, error) {
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (*instant) Close() error                { return nil }
func (*instant) RemoteAddr() net.Addr        { return nil }
func (*instant) SetDeadline(time.Time) error { return nil }

// A hearer is the context of a call as the stages above make it: it has a
// deadline, and hears of the call itself.
type hearer struct {
	context.Context
	begun time.Time
	until time.Time
}

var _ egress.Listener = (*hearer)(nil)

func (h *hearer) Deadline() (time.Time, bool)                  { return h.until, true }
func (*hearer) GotConn(httptrace.GotConnInfo)                  {}
func (*hearer) WroteHeaders()                                  {}
func (*hearer) GotBody()                                       {}
func (h *hearer) Departed() time.Time                          { return h.begun }
func (*hearer) Got1xxResponse(int, textproto.MIMEHeader) error { return nil }

// A sealed is the same for TLS. Its server is in memory too, and has an answer to each
// record, which it does not open.
type sealed struct {
	net.Conn // to the server, for the handshake
	server   *tls.Conn
	ready    chan struct{} // closed when the handshake is over
	answers  [][]byte
	n        int // answers so far
	unread   bytes.Buffer
}

// A farSide is where the server writes to: after the handshake, that is unread.
type farSide struct {
	net.Conn
	near *sealed
}

func newSealed(cfg *tls.Config) *sealed {
	ours, theirs := net.Pipe()
	c := &sealed{Conn: ours, ready: make(chan struct{})}
	for _, answer := range benchAnswers(benchResponse) {
		c.answers = append(c.answers, []byte(answer))
	}
	c.server = tls.Server(&farSide{theirs, c}, cfg)
	go func() {
		defer close(c.ready)
		_ = c.server.Handshake()
	}()
	return c
}

func (f *farSide) Write(p []byte) (int, error) {
	select {
	case <-f.near.ready:
		return f.near.unread.Write(p)
	default:
		return f.Conn.Write(p)
	}
}

func (c *sealed) Write(p []byte) (int, error) {
	const applicationData = 23
	if p[0] != applicationData {
		return c.Conn.Write(p)
	}
	<-c.ready
	_, err := c.server.Write(c.answers[c.n%len(c.answers)])
	c.n++
	return len(p), err
}

func (c *sealed) Read(p []byte) (int, error) {
	if c.unread.Len() > 0 {
		return c.unread.Read(p)
	}
	return c.Conn.Read(p)
}

func (*sealed) SetDeadline(time.Time) error { return nil }

// What this package does itself: no system calls, no waiting. In TLS half of what is
// sealed and opened is the server's.
func BenchmarkCallInMemory(b *testing.B) {
	for name, response := range map[string]string{"plain": benchResponse, "plain, long head": longResponse} {
		answers := benchAnswers(response)
		b.Run(name, func(b *testing.B) {
			benchmarkCall(b, "http://api.test/v1/things?limit=10", egress.Settings{
				Dial: dialFunc(func() (net.Conn, error) { return &instant{answers: answers}, nil }),
			})
		})
	}
	b.Run("TLS", func(b *testing.B) {
		cfg := serverTLS("http/1.1")
		cfg.SessionTicketsDisabled, cfg.DynamicRecordSizingDisabled = true, true
		benchmarkCall(b, "https://api.test/v1/things?limit=10", egress.Settings{
			CAFile: caFile(b),
			Dial:   dialFunc(func() (net.Conn, error) { return newSealed(cfg), nil }),
		})
	})
}

func benchmarkCall(b *testing.B, url string, s egress.Settings) {
	tr := newTransport(b, s)
	buf := make([]byte, 4<<10)
	req := newRequest(b, "GET", url, nil)
	now := time.Now()
	req = req.WithContext(&hearer{req.Context(), now, now.Add(time.Hour)})
	req.Header = http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate"}, "Authorization": {"Bearer 0123456789"},
		"User-Agent": {"bench/1"}, "X-Request-Id": {"0123456789abcdef"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := resp.Body.Read(buf); n != 1024 || err != io.EOF {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
}

// One byte more, and a call takes 576.
func TestACallFillsASizeClassOfTheAllocator(t *testing.T) {
	if egress.ExchangeSize > 512 {
		t.Errorf("a call takes %d bytes", egress.ExchangeSize)
	}
}

// What a plain call allocates: the exchange with its response, and the map of its
// fields, which is two. Its head is that of the answers before. In TLS the record's
// reader is allocated by crypto/tls.
func TestCallAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop some of what it is given")
	}
	response := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-RateLimit-Limit: 5000\r\n\r\n{}")
	quiet := func(p *peer) {
		for {
			line, err := p.br.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				p.Write(response)
			}
		}
	}
	for _, c := range []struct {
		name, url string
		most      float64
	}{
		{"plain", "http://" + serve(t, quiet).addr + "/", 3},
		{"TLS", "https://" + serveTLS(t, serverTLS("http/1.1"), quiet).addr + "/", 3 + 1 + 1}, // one of them is the server's
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
			req := newRequest(t, "GET", c.url, nil)
			buf := make([]byte, 4<<10)
			n := testing.AllocsPerRun(500, func() {
				resp, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := resp.Body.Read(buf); err != io.EOF {
					t.Fatal(err)
				}
				resp.Body.Close()
			})
			if n > c.most {
				t.Errorf("%v allocations, want %v at most", n, c.most)
			}
		})
	}
}
