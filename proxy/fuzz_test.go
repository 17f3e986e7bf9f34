package proxy

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/egress"
	"outrider/proxy/inbound"
)

// wire is a connection to a peer who has said everything already, and whose ear
// keeps what it hears.
type wire struct {
	said  *strings.Reader
	heard bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error)       { return w.said.Read(p) }
func (w *wire) Write(p []byte) (int, error)      { return w.heard.Write(p) }
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (w *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

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

// taken is a request as a handler gets it, nil when none gets it.
func taken(head string) (got *http.Request) {
	server := inbound.New(inbound.Settings{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, bad := inbound.Violation(r); !bad && got == nil {
			got = r.WithContext(context.Background()) // its own ends here
		}
	})})
	_ = server.Serve(&onlyOne{&wire{said: strings.NewReader(head)}})
	_ = server.Shutdown(context.Background())
	return got
}

// compiled is a Set with one upstream, api, at http://api.example.test/v1.
func compiled(tb testing.TB) *policy.Set {
	tb.Helper()
	file, err := config.Parse("fuzz.toml", []byte("[upstream.api]\nurl = \"http://api.example.test/v1\"\n"))
	if err != nil {
		tb.Fatal(err)
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return http.DefaultTransport, nil },
		Jitter:    func(time.Duration) time.Duration { return 0 },
		NewKey:    func() string { return "key" },
	}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// requestLine is how a request goes out.
func requestLine(t *testing.T, out *http.Request) string {
	t.Helper()
	peer := &wire{said: strings.NewReader("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")}
	transport, err := egress.New(egress.Settings{
		Dial: func(context.Context, string, string) (net.Conn, error) { return peer, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	out.Body = http.NoBody
	resp, err := transport.RoundTrip(out)
	if err != nil {
		t.Fatalf("what came in as %q does not go out: %v", out.URL.Opaque, err)
	}
	_ = resp.Body.Close()
	line, _, _ := strings.Cut(peer.heard.String(), "\r\n")
	return line
}

// The target of a call goes out in the bytes in which it came in, with the base
// path in front where the call came by base URL, and changed in nothing else.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"", "/", "/x", "/a//b%2Fc/../d;p=1", "?", "?q", "/?", "/x?a=%zz&&=?#", "/%41%7e", "//evil.test/x",
		"/caf\xe9", "/\"<>\\^`{|}", "/x?http://evil.test/", "/.", "/..", "/%2e%2e/x", "/:80", "/@", "*", "/x%00y", "?/../x", "/a?b?c"} {
		f.Add(seed)
	}
	set := compiled(f)
	at := &address{host: "127.0.0.1", port: "8080"}
	f.Fuzz(func(t *testing.T, raw string) {
		if raw != "" && raw[0] != '/' && raw[0] != '?' {
			return // another host, or no path
		}
		path := raw
		if raw == "" || raw[0] == '?' {
			path = "/" + raw
		}
		check := func(target, want string) {
			r := taken("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if r == nil {
				return
			}
			var to route
			var err error
			if absolute(r) {
				err = to.byForward(set, r)
			} else {
				err = to.byBaseURL(set, at, r, r.RequestURI)
			}
			if err != nil {
				t.Fatalf("%q leads nowhere: %v", target, err)
			}
			if to.upstream == nil || to.host != "api.example.test" || to.scheme != "http" {
				t.Fatalf("%q leads to %s://%s", target, to.scheme, to.host)
			}
			if line := requestLine(t, outbound(context.Background(), r, to)); line != "GET "+want+" HTTP/1.1" {
				t.Errorf("%q goes out as %q, want the target %q", target, line, want)
			}
		}
		check("/api"+raw, "/v1"+path)
		check("http://api.example.test"+raw, path)
	})
}

// Headers of one connection stay with it, those for us stay with us, and all
// others go out as they came.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{
		"", "X-A: 1\r\nX-A: 2", "Connection: X-Hop, close\r\nX-Hop: 1", "connection: a\r\nConnection: b ,, c\r\nA: 1\r\nB: 2\r\nC: 3",
		"Connection: Upgrade\r\nUpgrade: websocket", "Connection: keep-alive, Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA",
		"TE: trailers, deflate", "Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic eDp5",
		"Outrider-Key: k\r\noutrider-timeout: 5s", "Content-Length: 0", "Cookie: a=\xe9\xff", "Connection: \"quoted\", x y\r\nX: y",
		"Connection: Upgrade, Cookie\r\nUpgrade: a\r\nUpgrade: b\r\nCookie: c", "Connection:\r\nX_under: 1",
	} {
		f.Add(seed)
	}
	set := compiled(f)
	at := &address{host: "127.0.0.1", port: "8080"}
	never := []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Outrider-Timeout", "Outrider-Priority", "Outrider-Retry", "Outrider-Idempotent",
		"Outrider-Connection", "Outrider-Caller", "Outrider-Key",
		"Outrider-Order-Key", "Outrider-Dedup-Key", "Outrider-Callback", "Content-Length", "Host",
	}
	f.Fuzz(func(t *testing.T, lines string) {
		r := taken("GET /api/x HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n\r\n")
		if r == nil {
			return
		}
		var to route
		err := to.byBaseURL(set, at, r, r.RequestURI)
		if err != nil {
			return // the lines brought a Host of their own
		}
		came := r.Header.Clone()
		got := maps.Clone(outbound(context.Background(), r, to).Header)
		if !maps.EqualFunc(came, r.Header, slices.Equal[[]string]) {
			t.Errorf("the request that came in was changed: %q, before %q", r.Header, came)
		}

		// The three that may go out again, in words of our own.
		if upgrade, ok := got["Upgrade"]; ok {
			if !slices.Equal(got["Connection"], []string{"Upgrade"}) || len(upgrade) != 1 || offers(upgrade[0], "h2c") {
				t.Errorf("an upgrade goes out as %q, %q", got["Connection"], upgrade)
			}
			delete(got, "Upgrade")
			delete(got, "Connection")
		}
		if te, ok := got["Te"]; ok && slices.Equal(te, []string{"trailers"}) {
			delete(got, "Te")
		}
		var named []string // by Connection
		for _, value := range came["Connection"] {
			for name := range strings.SplitSeq(value, ",") {
				named = append(named, strings.TrimSpace(name))
			}
		}
		stays := func(name string) bool {
			return slices.ContainsFunc(slices.Concat(never, named), func(n string) bool { return strings.EqualFold(n, name) })
		}
		for name, values := range got {
			if stays(name) {
				t.Errorf("%s: %q goes out", name, values)
			}
			if !slices.Equal(values, came[name]) {
				t.Errorf("%s goes out as %q, and came as %q", name, values, came[name])
			}
		}
		for name := range came {
			if _, ok := got[name]; !ok && !stays(name) {
				t.Errorf("%s does not go out", name)
			}
		}
	})
}

// offers reports whether a list has a protocol.
func offers(list, protocol string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(item), protocol) {
			return true
		}
	}
	return false
}

// What a caller may ask of us is understood, or refused in words; it never
// does anything else.
func FuzzControls(f *testing.F) {
	f.Add("5s", "off", "true", "", "high", "nightly")
	f.Add("250ms", "on", "false", "acme", "normal", "a name with spaces")
	f.Add("5", "maybe", "1", "\"\\\x7f", "HIGH", "\xff")
	f.Add("-1s", "", "", "", "low", "")
	f.Add("9999999999h", "OFF", "True", "", "0", "x")
	f.Add("0.1ns", "", "", "", "", strings.Repeat("x", 129))
	f.Fuzz(func(t *testing.T, timeout, retry, idempotent, connection, priority, caller string) {
		header := http.Header{}
		for name, value := range map[string]string{"Timeout": timeout, "Retry": retry, "Idempotent": idempotent,
			"Connection": connection, "Priority": priority, "Caller": caller} {
			header.Set("Outrider-"+name, value)
		}
		c, err := controls(header)
		if err != nil {
			p, ok := errors.AsType[*problem](err)
			if !ok || kinds[p.slug].status == 0 || p.detail == "" || len(p.detail) > 1000 {
				t.Errorf("refused with %v", err)
			}
			return
		}
		d, parseErr := time.ParseDuration(timeout)
		switch {
		case timeout == "" && c.Timeout != 0, timeout != "" && (parseErr != nil || c.Timeout != d || d <= 0):
			t.Errorf("Outrider-Timeout %q is understood as %s", timeout, c.Timeout)
		case c.NoRetry != (retry == "off"), c.Idempotent != (idempotent == "true"), c.Connection == nil || *c.Connection != connection:
			t.Errorf("understood %q %q %q as %+v", retry, idempotent, connection, c)
		case c.Priority != map[string]policy.Priority{"high": policy.PriorityHigh, "low": policy.PriorityLow}[priority]:
			t.Errorf("Outrider-Priority %q is understood as %d", priority, c.Priority)
		case len(caller) > longestCaller, (c.Caller == nil) != (caller == ""), c.Caller != nil && c.Caller() != caller:
			t.Errorf("Outrider-Caller %q is understood otherwise", caller)
		}
	})
}
