package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/egress"
)

// A corporate is a small real proxy: the only one who knows where the hosts are.
type corporate struct {
	*server
	hosts map[string]string // host:port as it is asked for → where it really is

	mu    sync.Mutex
	heads []string
}

func serveProxy(t testing.TB, overTLS bool, hosts map[string]string) *corporate {
	c := &corporate{hosts: hosts}
	if overTLS {
		c.server = serveTLS(t, serverTLS("http/1.1"), c.handle)
	} else {
		c.server = serve(t, c.handle)
	}
	return c
}

// seen is the heads so far, one a line with "|" for the line ends.
func (c *corporate) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.heads)
}

func (c *corporate) handle(p *peer) {
	for {
		head := p.head()
		if head == "" {
			return
		}
		c.mu.Lock()
		c.heads = append(c.heads, strings.TrimSuffix(strings.ReplaceAll(head, "\r\n", "|"), "|"))
		c.mu.Unlock()
		method, rest, _ := strings.Cut(head, " ")
		target, _, _ := strings.Cut(rest, " ")
		if method == "CONNECT" {
			c.tunnel(p, target)
			return
		}
		if !c.forward(p, head, target) {
			return
		}
	}
}

func (c *corporate) tunnel(p *peer, target string) {
	up, err := net.Dial("tcp", c.hosts[target])
	if err != nil {
		p.say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer up.Close()
	p.say("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(p.Conn, up)
		p.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	io.Copy(up, p.br)
	up.(*net.TCPConn).CloseWrite()
	<-done
}

// forward sends the request on in origin-form, over a connection of its own.
func (c *corporate) forward(p *peer, head, target string) bool {
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head+"\r\n"), p.br)))
	if err != nil {
		p.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		return false
	}
	u, _ := url.Parse(target)
	at := u.Host
	if u.Port() == "" {
		at += ":80"
	}
	up, err := net.Dial("tcp", c.hosts[at])
	if err != nil {
		p.say("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return true
	}
	defer up.Close()
	req.Header.Del("Proxy-Authorization")
	if err := req.Write(up); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(up), req)
	return err == nil && resp.Write(p.Conn) == nil
}

// through is a ProxyFunc for one proxy, without exceptions.
func through(t testing.TB, raw string) egress.ProxyFunc {
	t.Helper()
	p, err := egress.ParseProxy(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(newCA().cert)
	p = p.Trusting(pool)
	return func(*url.URL) *egress.Proxy { return p }
}

// basicAuth is what u:s3cret becomes.
const basicAuth = "Basic dTpzM2NyZXQ="

func TestHTTPSGoesThroughATunnel(t *testing.T) {
	for _, c := range []struct {
		name, user, auth string
		overTLS          bool
		protos           []string
		want             string
	}{
		{"plain", "", "", false, []string{"http/1.1"}, "HTTP/1.1"},
		{"credentials", "u:s3cret@", "|Proxy-Authorization: " + basicAuth, false, []string{"http/1.1"}, "HTTP/1.1"},
		{"HTTP/2", "u:s3cret@", "|Proxy-Authorization: " + basicAuth, false, []string{"h2"}, "HTTP/2.0"},
		{"TLS to the proxy", "", "", true, []string{"http/1.1"}, "HTTP/1.1"},
		{"TLS to the proxy, HTTP/2", "", "", true, []string{"h2"}, "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			origin := serveHTTP(t, serverTLS(c.protos...), func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Proto, r.Host, r.RequestURI, r.Header["Proxy-Authorization"])
			})
			at, _ := url.Parse(origin)
			proxy := serveProxy(t, c.overTLS, map[string]string{"api.test:443": at.Host})
			scheme := map[bool]string{false: "http", true: "https"}[c.overTLS]
			tr := newTransport(t, egress.Settings{CAFile: caFile(t), Proxy: through(t, scheme+"://"+c.user+proxy.addr)})
			var h hooks
			for range 3 {
				resp, body := fetch(t, tr, h.on(newRequest(t, "GET", "https://api.test/a%2Fb?c", nil)))
				if body != c.want+"api.test/a%2Fb?c[]" || resp.TLS == nil || resp.TLS.ServerName != "api.test" {
					t.Errorf("%q, %+v", body, resp.TLS)
				}
			}
			if got, want := proxy.seen(), []string{"CONNECT api.test:443 HTTP/1.1|Host: api.test:443" + c.auth}; !slices.Equal(got, want) {
				t.Errorf("the proxy saw %q, want %q", got, want)
			}
			if h.wrote.Load() != 3 || len(h.gotConn) != 3 || !h.gotConn[2].Reused {
				t.Errorf("hooks: %+v", &h)
			}
		})
	}
}

func TestHTTPGoesInAbsoluteForm(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			origin := serveHTTP(t, nil, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprint(w, r.Method, " ", r.Host, r.RequestURI, string(body))
			})
			at, _ := url.Parse(origin)
			proxy := serveProxy(t, scheme == "https", map[string]string{"api.test:80": at.Host, "api.test:81": at.Host})
			tr := newTransport(t, egress.Settings{Proxy: through(t, scheme+"://u:s3cret@"+proxy.addr)})
			var h hooks
			call := func(method, target, body, want string) {
				t.Helper()
				req := newRequest(t, method, target, strings.NewReader(body))
				req.Header = http.Header{"Proxy-Authorization": {"the caller's"}}
				if resp, got := fetch(t, tr, h.on(req)); got != want || resp.TLS != nil {
					t.Errorf("%q, want %q", got, want)
				}
			}
			call("GET", "http://api.test/a%2Fb?c", "", "GET api.test/a%2Fb?c")
			call("POST", "http://api.test:80/", "x", "POST api.test:80/x")
			call("GET", "http://api.test:81", "", "GET api.test:81/")
			auth := "|Proxy-Authorization: " + basicAuth
			want := []string{
				"GET http://api.test/a%2Fb?c HTTP/1.1|Host: api.test" + auth,
				"POST http://api.test:80/ HTTP/1.1|Host: api.test:80" + auth + "|Content-Length: 1",
				"GET http://api.test:81/ HTTP/1.1|Host: api.test:81" + auth,
			}
			if got := proxy.seen(); !slices.Equal(got, want) {
				t.Errorf("the proxy saw\n%q, want\n%q", got, want)
			}
			// A connection belongs to one authority.
			if n := proxy.accepted.Load(); n != 2 || h.wrote.Load() != 3 {
				t.Errorf("%d connections, hooks %+v", n, &h)
			}
		})
	}
}

func TestStarTargetInAbsoluteForm(t *testing.T) {
	heads := make(chan string, 1)
	s := serve(t, func(p *peer) { heads <- p.head(); p.say(hello) })
	req := newRequest(t, "OPTIONS", "http://api.test:8000", nil)
	req.URL.Opaque = "*"
	fetch(t, newTransport(t, egress.Settings{Proxy: through(t, s.addr)}), req)
	if got, want := <-heads, "OPTIONS http://api.test:8000 HTTP/1.1\r\nHost: api.test:8000\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What a proxy need not pass on, or would pass on as something else, goes
// through a tunnel also to plain HTTP; and such connections are not mixed with
// those on which the proxy reads the requests, and gets its credentials.
func TestUpgradesAndOtherHostsTunnel(t *testing.T) {
	origin := serve(t, func(p *peer) {
		for {
			head := p.head()
			switch {
			case head == "" || strings.Contains(head, "s3cret") || !strings.HasPrefix(head, "GET / "):
				return
			case strings.Contains(head, "Upgrade: echo"):
				p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
				io.Copy(p.Conn, p.br)
				return
			}
			p.say(hello)
		}
	})
	proxy := serveProxy(t, false, map[string]string{"api.test:80": origin.addr})
	tr := newTransport(t, egress.Settings{Proxy: through(t, "http://u:s3cret@"+proxy.addr)})
	get(t, tr, "http://api.test/")
	for range 2 {
		other := newRequest(t, "GET", "http://api.test/", nil)
		other.Host = "other.test"
		fetch(t, tr, other)
	}
	upgrade := newRequest(t, "GET", "http://api.test/", nil)
	upgrade.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	resp, err := tr.RoundTrip(upgrade)
	if err != nil {
		t.Fatal(err)
	}
	rwc := resp.Body.(io.ReadWriteCloser)
	io.WriteString(rwc, "ping")
	rwc.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(rwc); err != nil || string(b) != "earlyping" {
		t.Errorf("%q, %v", b, err)
	}
	rwc.Close()
	get(t, tr, "http://api.test/")

	var methods []string
	for _, head := range proxy.seen() {
		methods = append(methods, head[:strings.IndexByte(head, ' ')])
	}
	// The upgrade takes the connection that the other Host has left.
	if got := strings.Join(methods, " "); got != "GET CONNECT GET" {
		t.Errorf("the proxy saw %s", got)
	}
}

// Whatever a proxy says instead of letting us through, nothing of the request
// was sent, and the error names the proxy and not its password.
func TestProxyThatDoesNotLetUsThrough(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
		text   string
	}{
		"407":              {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n", 407, "answered 407: it wants credentials, or other ones"},
		"502":              {"HTTP/1.1 502 Bad Gateway\r\n\r\n", 502, "answered 502"},
		"after interim":    {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n", 403, "answered 403"},
		"101":              {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "answered 101"},
		"302":              {"HTTP/1.1 302 Found\r\nLocation: http://login.corp/\r\n\r\n", 302, "answered 302"},
		"garbage":          {"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n", 0, "status line"},
		"SMTP":             {"220 mail.corp ESMTP\r\n\r\n", 0, "status line"},
		"bare LF":          {"HTTP/1.1 200 OK\n\n", 0, "line without CR"},
		"bad field":        {"HTTP/1.1 200 OK\r\nA B: c\r\n\r\n", 0, "field name"},
		"nothing":          {"", 0, "EOF"},
		"half":             {"HTTP/1.1 200 Connection establ", 0, "EOF"},
		"half a head":      {"HTTP/1.1 200 OK\r\nVia: x\r\n", 0, "EOF"},
		"long head":        {"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70000) + "\r\n\r\n", 0, "passes the limit"},
		"many fields":      {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20000) + "\r\n", 0, "passes the limit"},
		"interim for ever": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 200), 0, "too many interim"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := serve(t, func(p *peer) {
				p.head()
				p.say(c.answer)
				p.Conn.(*net.TCPConn).CloseWrite()
				p.br.ReadByte()
			})
			via := through(t, "http://u:s3cret@"+proxy.addr)
			check := func(err error) {
				t.Helper()
				e := wantError(t, err, egress.ProxyFailed, false)
				refused, ok := errors.AsType[*egress.ProxyError](err)
				if !ok || refused.Status != c.status || refused.Proxy != proxy.addr || e.Addr != "api.test:443" || e.ErrorType() != "proxy_failed" {
					t.Errorf("%+v in %+v", refused, e)
				}
				if e.Permanent() != (c.status == 407) {
					t.Errorf("permanent %v", e.Permanent())
				}
				if s := err.Error(); !strings.Contains(s, c.text) || !strings.Contains(s, proxy.addr) || strings.Contains(s, "s3cret") {
					t.Errorf("%q, want it to name the proxy and %q", s, c.text)
				}
			}
			var h hooks
			tr := newTransport(t, egress.Settings{Proxy: via})
			_, err := tr.RoundTrip(h.on(newRequest(t, "POST", "https://api.test/", strings.NewReader("x"))))
			check(err)
			if h.wrote.Load() != 0 || len(h.gotConn) != 0 {
				t.Errorf("hooks: %+v", &h)
			}
			_, err = egress.Dialer{Proxy: via}.Dial(context.Background(), "tcp", "api.test:443")
			check(err)
			if n := proxy.accepted.Load(); n != 2 {
				t.Errorf("%d connections for two dials", n)
			}
		})
	}
}

func TestWayToTheProxy(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().String()
	ln.Close()
	plain := serve(t, func(p *peer) { p.say("no TLS here\r\n\r\n") })
	secure := serveTLS(t, serverTLS("http/1.1"), func(p *peer) { p.head() })
	untrusted, err := egress.ParseProxy("https://u:s3cret@" + secure.addr)
	if err != nil {
		t.Fatal(err)
	}
	for name, via := range map[string]egress.ProxyFunc{
		closed:      through(t, "http://u:s3cret@"+closed),
		plain.addr:  through(t, "https://u:s3cret@"+plain.addr),
		secure.addr: func(*url.URL) *egress.Proxy { return untrusted },
	} {
		for _, target := range []string{"http://api.test/", "https://api.test/"} {
			_, err := newTransport(t, egress.Settings{Proxy: via}).RoundTrip(newRequest(t, "GET", target, nil))
			wantError(t, err, egress.ProxyFailed, false)
			if s := err.Error(); !strings.Contains(s, "the proxy "+name) || strings.Contains(s, "s3cret") {
				t.Errorf("%s: %q", name, s)
			}
		}
	}
}

// A proxy that forwards requests wants its credentials as an answer to one: the
// caller has none to give, and shall not be asked for them.
func TestForwardingProxyThatWantsCredentials(t *testing.T) {
	proxy := serve(t, answer("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"))
	tr := newTransport(t, egress.Settings{Proxy: through(t, proxy.addr)})
	var h hooks
	_, err := tr.RoundTrip(h.on(newRequest(t, "GET", "http://api.test/", nil)))
	e := wantError(t, err, egress.ProxyFailed, true)
	if !e.Permanent() || !strings.Contains(err.Error(), "wants credentials") || h.wrote.Load() != 1 {
		t.Errorf("%v, %+v", err, &h)
	}
	// Through a tunnel, or without a proxy, 407 is the target's own answer.
	resp, _ := get(t, newTransport(t, egress.Settings{}), "http://"+proxy.addr+"/")
	if resp.StatusCode != 407 {
		t.Errorf("%s", resp.Status)
	}
}

// A target that speaks first, as many do that are not HTTP: its bytes come
// together with the proxy's answer.
func TestTunnelBeginsBehindTheProxysAnswer(t *testing.T) {
	for _, early := range []string{"", "SSH-2.0\r\n", strings.Repeat("x", 10000)} {
		for _, scheme := range []string{"http", "https"} {
			handle := func(p *peer) {
				// Nothing that a 2xx says about a body matters, nor which 2xx it is.
				if p.head() != "CONNECT host.test:22 HTTP/1.1\r\nHost: host.test:22\r\n" {
					return
				}
				p.say("HTTP/1.1 204 Yes\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + early)
				io.Copy(p.Conn, p.br)
			}
			var proxy *server
			if scheme == "http" {
				proxy = serve(t, handle)
			} else {
				proxy = serveTLS(t, serverTLS("http/1.1"), handle)
			}
			c, err := egress.Dialer{Proxy: through(t, scheme+"://"+proxy.addr)}.Dial(context.Background(), "tcp", "HOST.test:22")
			if err != nil {
				t.Fatal(err)
			}
			if _, tcp := c.(*net.TCPConn); tcp != (scheme == "http" && early == "") {
				t.Errorf("%T after %d early bytes", c, len(early))
			}
			io.WriteString(c, "ping")
			c.(interface{ CloseWrite() error }).CloseWrite()
			if b, err := io.ReadAll(c); err != nil || string(b) != early+"ping" {
				t.Errorf("%d bytes, %v; want %d", len(b), err, len(early)+4)
			}
			c.Close()
		}
	}
}

func TestTunnelAddressIsChecked(t *testing.T) {
	proxy := serve(t, func(p *peer) { p.br.ReadByte() })
	d := egress.Dialer{Proxy: through(t, proxy.addr)}
	for _, addr := range []string{"", ":443", "host.test:x", "host.test:0", "host.test:65536", "a b:443", "a\r\nX: y:443", "a@b:443", "a/b:443", "::1:443"} {
		_, err := d.Dial(context.Background(), "tcp", addr)
		wantError(t, err, egress.InvalidRequest, false)
	}
	if n := proxy.accepted.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestProxyThatNeverAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		proxy string
		took  time.Duration
		text  string
	}{
		"CONNECT":      {"http://proxy.test:3128", 7 * time.Second, "no answer to CONNECT"},
		"TLS":          {"https://proxy.test:3128", 3 * time.Second, "no TLS handshake"},
		"half answers": {"http://u:p@proxy.test:3128", 7 * time.Second, "no answer to CONNECT"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &pipes{handle: func(p *peer) {
					if name == "half answers" && p.head() != "" {
						for range 20 {
							p.say("HTTP/1.1 102 Processing\r\n\r\n")
							time.Sleep(time.Second)
						}
					}
					io.Copy(io.Discard, p.br)
				}}
				tr := newTransport(t, egress.Settings{Dial: n.dial, DialTimeout: 7 * time.Second, TLSTimeout: 3 * time.Second, Proxy: through(t, c.proxy)})
				req, _ := http.NewRequest("GET", "https://api.test/", nil)
				begun := time.Now()
				_, err := tr.RoundTrip(req)
				wantError(t, err, egress.ProxyFailed, false)
				if took := time.Since(begun); took != c.took || !strings.Contains(err.Error(), c.text) {
					t.Errorf("after %v: %v", took, err)
				}
				n.wg.Wait()
				if got := n.counts(); got != "1 dialled, 0 open" {
					t.Error(got)
				}
			})
		})
	}
}

func TestCancellationOnTheWayThroughAProxy(t *testing.T) {
	why := errors.New("why")
	reached := make(chan bool)
	silent := func(p *peer) { p.br.ReadByte(); reached <- true; io.Copy(io.Discard, p.br) }
	proxy := serve(t, silent)
	for _, scheme := range []string{"http", "https"} {
		via := through(t, scheme+"://"+proxy.addr)
		tr := newTransport(t, egress.Settings{Proxy: via})
		for name, call := range map[string]func(ctx context.Context) error{
			"call": func(ctx context.Context) error {
				req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.test/", nil)
				_, err := tr.RoundTrip(req)
				return err
			},
			"upgrade": func(ctx context.Context) error {
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.test/", nil)
				req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"x"}}
				_, err := tr.RoundTrip(req)
				return err
			},
			"tunnel": func(ctx context.Context) error {
				_, err := egress.Dialer{Proxy: via}.Dial(ctx, "tcp", "api.test:443")
				return err
			},
		} {
			ctx, cancel := context.WithCancelCause(context.Background())
			go func() {
				<-reached
				cancel(why)
			}()
			err := call(ctx)
			if e := wantError(t, err, egress.Canceled, false); e.Addr != "api.test:443" && name != "upgrade" || !errors.Is(err, why) {
				t.Errorf("%s: %v", name, err)
			}
			tr.Close() // ends the dial that only this call had waited for
			tr = newTransport(t, egress.Settings{Proxy: via})
		}
	}
}

// Both layers of TLS can be cut off by whoever is on the way, and either would
// take the end of the one below for its own.
func TestProxyCannotForgeTheEndOfABody(t *testing.T) {
	const untilClose = "HTTP/1.1 200 OK\r\n\r\nabc"
	inner := tls.Server
	for name, c := range map[string]struct {
		target string
		handle func(p *peer)
		clean  bool
	}{
		"forwarded, close_notify": {"http://api.test/", func(p *peer) { p.head(); p.say(untilClose) }, true},
		"forwarded, FIN": {"http://api.test/", func(p *peer) {
			p.head()
			p.say(untilClose)
			p.Conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite()
			p.br.ReadByte()
		}, false},
		"tunnel, the target's close_notify": {"https://api.test/", func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\n\r\n")
			tc := inner(p.Conn, serverTLS("http/1.1"))
			newPeer(tc).head()
			io.WriteString(tc, untilClose)
			tc.CloseWrite()
			p.br.ReadByte()
		}, true},
		"tunnel, the proxy's close_notify": {"https://api.test/", func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\n\r\n")
			tc := inner(p.Conn, serverTLS("http/1.1"))
			newPeer(tc).head()
			io.WriteString(tc, untilClose)
			p.Conn.(*tls.Conn).CloseWrite()
			p.br.ReadByte()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := serveTLS(t, serverTLS("http/1.1"), c.handle)
			tr := newTransport(t, egress.Settings{CAFile: caFile(t), Proxy: through(t, "https://"+proxy.addr)})
			resp, err := tr.RoundTrip(newRequest(t, "GET", c.target, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if string(b) != "abc" {
				t.Errorf("%q", b)
			}
			if c.clean {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantError(t, err, egress.Truncated, true)
		})
	}
}

func TestPooledConnectionThatTheProxyClosedIsNotUsed(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			idle, gone := make(chan bool), make(chan bool)
			handle := func(p *peer) {
				for p.head() != "" {
					p.say(hello)
					if p.n == 0 {
						<-idle
						p.Close()
						close(gone)
						return
					}
				}
			}
			var proxy *server
			if scheme == "http" {
				proxy = serve(t, handle)
			} else {
				proxy = serveTLS(t, serverTLS("http/1.1"), handle)
			}
			tr := newTransport(t, egress.Settings{Proxy: through(t, scheme+"://"+proxy.addr)})
			get(t, tr, "http://api.test/")
			idle <- true
			<-gone
			var h hooks
			fetch(t, tr, h.on(newRequest(t, "POST", "http://api.test/", bytes.NewReader(nil))))
			if proxy.accepted.Load() != 2 || h.wrote.Load() != 1 || h.gotConn[0].Reused {
				t.Errorf("%d connections, hooks %+v", proxy.accepted.Load(), &h)
			}
		})
	}
}

// The proxy's own address is the operator's choice; the target's is not.
func TestGuardJudgesTheTargetBehindAProxy(t *testing.T) {
	proxy := serveProxy(t, false, nil)
	via := through(t, proxy.addr)
	guard := egress.NewGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, func(a netip.AddrPort) bool { return a.Port() == 8080 })
	strict := newTransport(t, egress.Settings{Guard: guard, Proxy: via})
	for _, host := range []string{
		"127.0.0.1", "169.254.169.254", "[::1]", "[64:ff9b::7f00:1]", "[fe80::1%25eth0]", "10.2.0.1", "10.1.0.1:8080", "8.8.8.8:8080",
		"localhost", "LOCALHOST.", "x.localhost", "127.1", "127.0.0.1.", "0x7f.1", "2130706433", "0177.0.0.1", "0x7f000001", "1.1.1.0x", "8.8.8.8:99999",
		// 127.0.0.1 to a proxy that reads targets as Node's URL does.
		"127%252e0%252e0%252e1", "%256cocalhost",
	} {
		for _, scheme := range []string{"http", "https"} {
			_, err := strict.RoundTrip(newRequest(t, "GET", scheme+"://"+host+"/", nil))
			wantError(t, err, egress.AddressDenied, false)
			refusal, ok := errors.AsType[interface {
				error
				Refusal() (string, time.Duration)
			}](err)
			if !ok || strings.Contains(err.Error(), "invalid AddrPort") {
				t.Errorf("%s: %v, refusal %v", host, err, refusal)
			}
		}
	}
	if n := proxy.accepted.Load(); n != 0 {
		t.Errorf("%d connections to the proxy", n)
	}
	for _, host := range []string{"8.8.8.8", "10.1.0.1", "[2606:4700::1111]"} {
		_, err := strict.RoundTrip(newRequest(t, "GET", "https://"+host+"/", nil))
		wantError(t, err, egress.ProxyFailed, false) // it was asked, and knows nobody
	}
	open := newTransport(t, egress.Settings{Guard: egress.NewOpenGuard(func(a netip.AddrPort) bool { return a.Port() == 8080 }), Proxy: via})
	_, err := open.RoundTrip(newRequest(t, "GET", "https://192.168.0.1/", nil))
	wantError(t, err, egress.ProxyFailed, false)
	_, err = open.RoundTrip(newRequest(t, "GET", "https://192.168.0.1:8080/", nil))
	wantError(t, err, egress.AddressDenied, false)
}

func TestProxyThatIsOurselvesIsRefused(t *testing.T) {
	self := serve(t, func(p *peer) { p.head() })
	ours := func(a netip.AddrPort) bool { return a.String() == self.addr }
	for _, guard := range []*egress.Guard{egress.NewGuard(nil, ours), egress.NewOpenGuard(ours)} {
		_, err := egress.Dialer{Guard: guard, Proxy: through(t, self.addr)}.Dial(context.Background(), "tcp", "8.8.8.8:443")
		e := wantError(t, err, egress.AddressDenied, false)
		if e.Addr != "8.8.8.8:443" || !strings.Contains(err.Error(), self.addr+" is a listener of Outrider itself") {
			t.Error(err)
		}
	}
	if n := self.accepted.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
}
