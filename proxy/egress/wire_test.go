package egress_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/egress"
)

// The server resets connections at random points. Whatever happens, it sees at
// most as many requests as WroteHeaders was called, every call that reports
// Sent called it once, and none that reports Unsent did. A proxy that reads the
// requests is the server; one that passes bytes is nobody.
func TestAccountingAgreesWithTheServerUnderResets(t *testing.T) {
	for _, way := range []string{"http", "https", "http forwarded", "https tunnelled", "https tunnelled in TLS"} {
		t.Run(way, func(t *testing.T) {
			proto, by, _ := strings.Cut(way, " ")
			var seen, whole atomic.Int32
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(1, 2))
			chance := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rnd.IntN(n)
			}
			handle := func(p *peer) {
				for chance(8) > 0 {
					if p.head() == "" {
						return
					}
					seen.Add(1)
					switch chance(8) {
					case 0:
						return
					case 1:
						p.reset()
						return
					case 2:
						p.say("HTTP/1.1 200")
						return
					case 3:
						whole.Add(1) // before its client can have it
						p.say(hello)
						return
					}
					whole.Add(1)
					p.say(hello)
				}
				if chance(2) == 0 {
					p.reset()
				}
			}
			var s *server
			if proto == "http" {
				s = serve(t, handle)
			} else {
				s = serveTLS(t, serverTLS("http/1.1"), handle)
			}
			settings, host := egress.Settings{CAFile: caFile(t)}, s.addr
			switch by {
			case "forwarded":
				settings.Proxy, host = through(t, "http://u:p@"+s.addr), "api.test"
			case "tunnelled":
				proxy := serveProxy(t, false, map[string]string{"api.test:443": s.addr})
				settings.Proxy, host = through(t, "http://u:p@"+proxy.addr), "api.test"
			case "tunnelled in TLS":
				proxy := serveProxy(t, true, map[string]string{"api.test:443": s.addr})
				settings.Proxy, host = through(t, "https://u:p@"+proxy.addr), "api.test"
			}
			calls := 100
			if by != "" {
				calls = 40
			}
			tr := newTransport(t, settings)
			var wrote, sent, unsent, answers atomic.Int32
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range calls {
						var h hooks
						resp, err := tr.RoundTrip(h.on(newRequest(t, "GET", proto+"://"+host+"/", nil)))
						n := h.wrote.Load()
						wrote.Add(n)
						if err == nil {
							io.ReadAll(resp.Body)
							resp.Body.Close()
							answers.Add(1)
							if n != 1 {
								t.Errorf("answered, WroteHeaders %d times", n)
							}
							continue
						}
						var e *egress.Error
						if !errors.As(err, &e) {
							t.Fatalf("%T %v", err, err)
						}
						if e.Sent != (n == 1) || n > 1 {
							t.Errorf("%v: sent %v, WroteHeaders %d times", e, e.Sent, n)
						}
						if e.Sent {
							sent.Add(1)
						} else {
							unsent.Add(1)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d answers, %d failed sent, %d failed unsent; the server saw %d", answers.Load(), sent.Load(), unsent.Load(), seen.Load())
			if seen.Load() > wrote.Load() {
				t.Errorf("the server saw %d requests, WroteHeaders was called %d times", seen.Load(), wrote.Load())
			}
			if answers.Load() > whole.Load() {
				t.Errorf("%d answers to %d requests", answers.Load(), whole.Load())
			}
		})
	}
}

// Without faults the two numbers are the same.
func TestEveryRequestIsCountedOnce(t *testing.T) {
	var seen atomic.Int32
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			seen.Add(1)
			p.say(hello)
		}
	})
	tr := newTransport(t, egress.Settings{})
	var h hooks
	for range 50 {
		fetch(t, tr, h.on(newRequest(t, "GET", "http://"+s.addr+"/", nil)))
	}
	if seen.Load() != 50 || h.wrote.Load() != 50 {
		t.Errorf("seen %d, WroteHeaders %d", seen.Load(), h.wrote.Load())
	}
	for i, info := range h.gotConn {
		if info.Reused != (i > 0) || info.WasIdle != (i > 0) {
			t.Errorf("call %d: %+v", i, info)
		}
	}
}

// A connection that takes nothing: no byte of the request has left.
func TestFailedWriteIsUnsent(t *testing.T) {
	var writes atomic.Int32
	tr := newTransport(t, egress.Settings{Dial: dialFunc(func() (net.Conn, error) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		return &brokenWriter{client, &writes, 0}, nil
	})})
	var h hooks
	_, err := tr.RoundTrip(h.on(newRequest(t, "POST", "http://api.test/", strings.NewReader("x"))))
	wantError(t, err, egress.Reset, false)
	if h.wrote.Load() != 0 || writes.Load() != 1 || len(h.gotConn) != 1 {
		t.Errorf("WroteHeaders %d, writes %d", h.wrote.Load(), writes.Load())
	}
	// One byte taken is a byte sent.
	tr = newTransport(t, egress.Settings{Dial: dialFunc(func() (net.Conn, error) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		return &brokenWriter{client, &writes, 1}, nil
	})})
	_, err = tr.RoundTrip(h.on(newRequest(t, "POST", "http://api.test/", strings.NewReader("x"))))
	wantError(t, err, egress.Reset, true)
	if h.wrote.Load() != 1 || writes.Load() != 2 {
		t.Errorf("WroteHeaders %d, writes %d", h.wrote.Load(), writes.Load())
	}
}

// brokenWriter takes a few bytes and then breaks.
type brokenWriter struct {
	net.Conn
	writes *atomic.Int32
	takes  int
}

func (b *brokenWriter) Write(p []byte) (int, error) {
	b.writes.Add(1)
	n, _ := b.Conn.Write(p[:b.takes])
	return n, errors.New("broken")
}

func TestDialErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	tr := newTransport(t, egress.Settings{})
	for _, url := range []string{"http://" + addr + "/", "https://" + addr + "/"} {
		var h hooks
		_, err = tr.RoundTrip(h.on(newRequest(t, "GET", url, nil)))
		e := wantError(t, err, egress.DialFailed, false)
		if e.Addr != addr || h.wrote.Load() != 0 || len(h.gotConn) != 0 {
			t.Errorf("%+v, %+v", e, &h)
		}
	}
}
