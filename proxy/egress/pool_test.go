package egress_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/egress"
)

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// waitIdle is over when the peer's farewell has arrived: the client end is
// told apart by a call that the peer answers on another connection.
func TestConnectionThatThePeerClosedIsNotUsed(t *testing.T) {
	for name, say := range map[string]string{
		"closed":          "",
		"timeout message": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
	} {
		for _, proto := range []string{"http", "https"} {
			t.Run(name+" "+proto, func(t *testing.T) {
				idle, gone := make(chan bool), make(chan bool)
				handle := func(p *peer) {
					for p.head() != "" {
						p.say(hello)
						if p.n == 0 {
							<-idle
							p.say(say)
							if say == "" {
								p.Close()
							}
							close(gone)
							p.br.ReadByte()
							return
						}
					}
				}
				var s *server
				if proto == "http" {
					s = serve(t, handle)
				} else {
					s = serveTLS(t, serverTLS("http/1.1"), handle)
				}
				tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
				get(t, tr, proto+"://"+s.addr+"/")
				idle <- true
				<-gone // on loopback what was written has arrived
				var h hooks
				_, body := fetch(t, tr, h.on(newRequest(t, "GET", proto+"://"+s.addr+"/", nil)))
				if body != "hello" || s.accepted.Load() != 2 || len(h.gotConn) != 1 || h.gotConn[0].Reused || h.wrote.Load() != 1 {
					t.Errorf("%q over %d connections, hooks %+v", body, s.accepted.Load(), &h)
				}
			})
		}
	}
}

// A TLS record may hold the response and more. The surplus sits in the TLS
// buffer, where neither the socket nor our own buffer shows it.
func TestSurplusInsideTLSIsNotGivenToTheNextCall(t *testing.T) {
	pad := make([]byte, 6000)
	for i := range pad {
		pad[i] = 'x'
	}
	s := serveTLS(t, serverTLS("http/1.1"), func(p *peer) {
		for p.head() != "" {
			// More than our reader takes at once, less than a record.
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 4200\r\n\r\n" + string(pad[:4200]) + "HTTP/1.1 200 OK\r\nX-Forged: 1\r\nContent-Length: 0\r\n\r\n" + string(pad))
		}
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for range 2 {
		resp, err := tr.RoundTrip(newRequest(t, "GET", "https://"+s.addr+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("X-Forged") != "" {
			t.Error("the next call got a response that it did not ask for")
		}
		io.ReadFull(resp.Body, make([]byte, 4200))
		resp.Body.Close()
	}
	if n := s.accepted.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestPoolGivesTheConnectionUsedLast(t *testing.T) {
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + strconv.Itoa(p.n))
		}
	})
	tr := newTransport(t, egress.Settings{MaxIdlePerHost: 2})
	var open []*http.Response
	for range 3 {
		resp, err := tr.RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	for _, i := range []int{1, 0, 2} { // the third finds the pool full
		io.ReadAll(open[i].Body)
	}
	for range 2 {
		if _, body := get(t, tr, "http://"+s.addr+"/"); body != "0" {
			t.Errorf("connection %s", body)
		}
	}
	if n := s.accepted.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// Two hundred calls at a time have had a connection each: the next two hundred take those.
// With 64 kept, as there once were, most of each round were new, and with them a handshake.
func TestPoolKeepsTheConnectionsOfAPeak(t *testing.T) {
	const calls = 200
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
		}
	})
	tr := newTransport(t, egress.Settings{})
	for range 3 {
		var open []*http.Response
		for range calls {
			resp, err := tr.RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, resp)
		}
		for _, resp := range open {
			io.ReadAll(resp.Body)
		}
	}
	if n := s.accepted.Load(); n != calls {
		t.Errorf("%d connections", n)
	}
}

// pipes is a network in memory, for tests with a clock of their own.
type pipes struct {
	mu     sync.Mutex
	dialed int
	open   map[net.Conn]bool
	handle func(*peer)
	wg     sync.WaitGroup
}

type pipeEnd struct {
	net.Conn
	p *pipes
}

func (e *pipeEnd) Close() error {
	e.p.mu.Lock()
	delete(e.p.open, e)
	e.p.mu.Unlock()
	return e.Conn.Close()
}

func (n *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	end := &pipeEnd{client, n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil {
		n.open = make(map[net.Conn]bool)
	}
	n.open[end] = true
	n.dialed++
	n.wg.Go(func() {
		defer server.Close()
		n.handle(newPeer(server))
	})
	return end, nil
}

func (n *pipes) counts() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("%d dialled, %d open", n.dialed, len(n.open))
}

func TestIdleConnectionsEndOnTime(t *testing.T) {
	for name, c := range map[string]struct {
		response string
		keep     time.Duration
	}{
		"our own limit":            {hello, 90 * time.Second},
		"one second under theirs":  {"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: 5\r\n\r\nhello", 4 * time.Second},
		"theirs is longer: ours":   {"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=500\r\nContent-Length: 5\r\n\r\nhello", 90 * time.Second},
		"theirs is not understood": {"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=-5\r\nContent-Length: 5\r\n\r\nhello", 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &pipes{handle: answer(c.response)}
				tr := newTransport(t, egress.Settings{Dial: n.dial})
				call := func() {
					req, _ := http.NewRequest("GET", "http://api.test/", nil)
					fetch(t, tr, req)
				}
				call()
				time.Sleep(c.keep - time.Nanosecond)
				call()
				synctest.Wait()
				if got := n.counts(); got != "1 dialled, 1 open" {
					t.Errorf("just before: %s", got)
				}
				time.Sleep(c.keep + time.Second) // the sweeper collects once a second
				synctest.Wait()
				if got := n.counts(); got != "1 dialled, 0 open" {
					t.Errorf("afterwards: %s", got)
				}
				call()
				time.Sleep(c.keep)
				call() // the sweeper has had no turn yet
				synctest.Wait()
				if got := n.counts(); got != "3 dialled, 1 open" {
					t.Errorf("at the very end: %s", got)
				}
				tr.CloseIdleConnections()
				n.wg.Wait()
			})
		})
	}
}

// A timedContext says when its call departed, and hears how long its connection
// was idle.
type timedContext struct {
	listeningContext
	idle time.Duration
}

func (c *timedContext) GotConn(info httptrace.GotConnInfo) { c.idle = info.IdleTime }

// The clock is looked at as seldom as can be: what is known of a call's time is used.
func TestIdleTimeIsFromCallToCall(t *testing.T) {
	const rest = 30 * time.Second
	for name, c := range map[string]struct {
		took  time.Duration // the call before
		known bool          // when this one departed
		ago   time.Duration // … and that was so long ago
		want  time.Duration
	}{
		"departed now":                    {time.Second, true, 0, rest},
		"departed a while ago":            {time.Second, true, 2 * time.Second, rest - 2*time.Second},
		"departed before it was idle":     {time.Second, true, 2 * rest, 0},
		"departed, and nobody knows when": {time.Second, false, 0, rest},
		"the call before was young":       {time.Millisecond, true, 0, rest + time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &pipes{handle: func(p *peer) {
					for p.head() != "" {
						time.Sleep(c.took)
						p.say(hello)
					}
				}}
				tr := newTransport(t, egress.Settings{Dial: n.dial})
				req, _ := http.NewRequest("GET", "http://api.test/", nil)
				fetch(t, tr, req)
				time.Sleep(rest)
				ctx := &timedContext{listeningContext: listeningContext{Context: req.Context()}}
				if c.known {
					ctx.begun = time.Now().Add(-c.ago)
				}
				fetch(t, tr, req.WithContext(ctx))
				if ctx.idle != c.want {
					t.Errorf("idle for %v, want %v", ctx.idle, c.want)
				}
				tr.CloseIdleConnections()
				n.wg.Wait()
			})
		})
	}
}

func TestCloseLetsRunningCallsEnd(t *testing.T) {
	s := serve(t, answer(hello))
	tr := newTransport(t, egress.Settings{})
	resp, err := tr.RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
	if err != nil {
		t.Fatal(err)
	}
	tr.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	for range 2 { // still works, keeps nothing
		if _, body := get(t, tr, "http://"+s.addr+"/"); body != "hello" {
			t.Errorf("%q", body)
		}
	}
	if n := s.accepted.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// The first calls to an https authority share a dial until its protocol is
// known. Then HTTP/1.1 needs one connection each.
func TestFirstCallsShareOneDial(t *testing.T) {
	const calls = 8
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Add(calls)
	handshakes := 0
	cfg := serverTLS("h2", "http/1.1")
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		handshakes++
		mu.Unlock()
		return nil, nil
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.Done()
		all.Wait() // all calls are under way at once
		io.WriteString(w, r.Proto)
	}), TLSConfig: cfg}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.ServeTLS(ln, "", "")
	defer srv.Close()

	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	// One that leaves at once does not take the dial with it.
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	req, _ := http.NewRequestWithContext(gone, "GET", "https://"+ln.Addr().String()+"/", nil)
	_, err = tr.RoundTrip(req)
	wantError(t, err, egress.Canceled, false)

	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if resp, body := get(t, tr, "https://"+ln.Addr().String()+"/"); body != "HTTP/2.0" || resp.ProtoMajor != 2 {
				t.Errorf("%q", body)
			}
		})
	}
	wg.Wait()
	if handshakes != 1 {
		t.Errorf("%d handshakes", handshakes)
	}
}

func TestWaiterThatLeavesDoesNotCancelTheDial(t *testing.T) {
	s := serveTLS(t, serverTLS("http/1.1"), answer(hello))
	dialling, dial := make(chan bool), make(chan bool)
	tr := newTransport(t, egress.Settings{CAFile: caFile(t), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialling <- true
		select {
		case <-dial:
		case <-ctx.Done():
			t.Error("the dial was canceled")
		}
		return net.Dial(network, addr)
	}})
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+s.addr+"/", nil)
		_, err := tr.RoundTrip(req)
		left <- err
	}()
	<-dialling
	stayed := make(chan string)
	go func() {
		_, body := get(t, tr, "https://"+s.addr+"/")
		stayed <- body
	}()
	leave()
	wantError(t, <-left, egress.Canceled, false)
	dial <- true
	if b := <-stayed; b != "hello" || s.accepted.Load() != 1 {
		t.Errorf("%q, %d connections", b, s.accepted.Load())
	}
}

func TestFailedSharedDialFailsAllWhoWait(t *testing.T) {
	s := serve(t, func(p *peer) { p.say("not TLS\r\n\r\n") })
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			_, err := tr.RoundTrip(newRequest(t, "GET", "https://"+s.addr+"/", nil))
			wantError(t, err, egress.TLSFailed, false)
		})
	}
	wg.Wait()
}

// Whoever asks how many connections there are is told of those in use and of those that wait
// to be used again, and of none twice.
func TestOpenConnectionsAreCounted(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			url := serveHTTP(t, serverTLS(protocol), func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
			var open atomic.Int64
			tr := newTransport(t, egress.Settings{CAFile: caFile(t), Open: &open})
			for range 2 {
				get(t, tr, url)
			}
			if n := open.Load(); n != 1 {
				t.Errorf("%d connections, want the one that waits", n)
			}
			tr.Close()
			if n := open.Load(); n != 0 {
				t.Errorf("%d connections are open after Close", n)
			}
		})
	}
}
