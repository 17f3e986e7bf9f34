package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/telemetry"
)

// memory is an upstream that answers from memory.
type memory struct {
	response http.Response
	header   http.Header
	body     bytes.Reader
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	m.body.Reset(page)
	m.response = http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: maps.Clone(m.header), // which is its receiver's
		Body:   (*memoryBody)(m), ContentLength: int64(len(page)), Request: r,
	}
	return &m.response, nil
}

// memoryBody is the body of the answer.
type memoryBody memory

func (b *memoryBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err == nil && b.body.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

func (b *memoryBody) Close() error { return nil }

var page = bytes.Repeat([]byte("."), 1024)

// An endless client sends the same request again and again, and takes no time.
type endless struct {
	net.Conn
	request []byte
	at      int // read so far
	left    int // requests
	over    chan struct{}
}

func (c *endless) Read(p []byte) (int, error) {
	if c.at == 0 {
		if c.left--; c.left < 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, c.request[c.at:])
	c.at = (c.at + n) % len(c.request)
	return n, nil
}

func (c *endless) Write(p []byte) (int, error)      { return len(p), nil }
func (c *endless) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *endless) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *endless) SetReadDeadline(time.Time) error  { return nil }
func (c *endless) SetWriteDeadline(time.Time) error { return nil }
func (c *endless) Close() error                     { close(c.over); return nil }

// benchServer is a server whose upstreams answer from memory, and which tells nobody of its
// calls.
func benchServer(tb testing.TB, document string) *Server {
	return memoryServer(tb, document, telemetry.Settings{LogOutput: io.Discard})
}

// memoryServer is a server whose upstreams answer from memory.
func memoryServer(tb testing.TB, document string, settings telemetry.Settings) *Server {
	return serverTo(tb, &memory{header: anAnswer()}, document, settings)
}

// serverTo is a server with one transport to all of its upstreams.
func serverTo(tb testing.TB, upstream http.RoundTripper, document string, settings telemetry.Settings) *Server {
	file, err := config.Parse("bench.toml", []byte(document))
	if err != nil {
		tb.Fatal(err)
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil },
		Jitter:    func(time.Duration) time.Duration { return 0 },
		NewKey:    func() string { return "key" },
		Secret:    func(config.Reference) (string, error) { return "secret", nil },
		Observe:   func(context.Context, policy.Event) {},
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tel, err := telemetry.New(tb.Context(), settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	live := new(policy.Live)
	live.Publish(set)
	return New(Settings{
		Live: live, Telemetry: tel, Log: slog.New(slog.DiscardHandler),
		Outside: func(*config.File) (Outside, error) { return Outside{Transport: upstream}, nil },
	})
}

// BenchmarkCall is what a call costs between two sockets: that of the client, which is
// endless, and that of the upstream, which answers from memory.
func BenchmarkCall(b *testing.B) {
	const plain = "[upstream.api]\nurl = \"http://api.test/v1\"\nretry.attempts = 1\n"
	for name, request := range map[string]string{
		"base URL": "GET /api/v1/things?limit=10 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: python-requests/2.32.3\r\n" +
			"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
		"post":    "POST /api/v1/things HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 1024\r\nContent-Type: application/json\r\n\r\n" + string(page),
		"bare":    "GET /api/v1/things HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
		"forward": "GET http://other.test/v1/things HTTP/1.1\r\nHost: other.test\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := benchServer(b, plain)
			client := &endless{request: []byte(request), left: b.N, over: make(chan struct{})}
			s.Serve(&onlyOne{client}, "", "127.0.0.1:8080")
			<-client.over
		})
	}
}
