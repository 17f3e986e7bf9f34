package inbound_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/inbound"
)

// pipes is a listener whose connections are pipes in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// bubble runs a test against a server in memory, whose clock stands still while
// anybody has something to do.
func bubble(t *testing.T, settings inbound.Settings, test func(t *testing.T, s *inbound.Server, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, listener := inbound.New(settings), newPipes()
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(listener) }()
		test(t, s, listener.dial)
		_ = s.Close()
		if err := <-ended; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// say writes to a pipe, whose other end has read it then.
func say(t *testing.T, conn net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(conn, s); err != nil {
		t.Fatalf("saying %q: %v", s, err)
	}
}

// hear reads one answer.
func hear(t *testing.T, r *bufio.Reader, method string) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading its body: %v", err)
	}
	return resp.StatusCode, string(data)
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })

// ends tells how long a connection stays.
func ends(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v", n, err)
	}
	return time.Since(began)
}

func TestConnectionsEndWhenNothingComes(t *testing.T) {
	settings := inbound.Settings{Handler: ok, HeadTimeout: 30 * time.Second, IdleTimeout: 3 * time.Minute}
	bubble(t, settings, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		silent := dial()
		if d := ends(t, silent); d != 30*time.Second {
			t.Errorf("a new connection ends after %v", d)
		}
		conn := dial()
		r := bufio.NewReader(conn)
		say(t, conn, head("GET / HTTP/1.1", "Host: a"))
		hear(t, r, "GET")
		if d := ends(t, conn); d != 3*time.Minute {
			t.Errorf("an idle connection ends after %v", d)
		}
		conn = dial()
		r = bufio.NewReader(conn)
		began := time.Now()
		say(t, conn, "GET / HT")
		hear(t, r, "GET")
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("a head may take %v", d)
		}
		_ = conn.Close()
	})
}

// A call whose end somebody waits for is watched from its 20th millisecond on at the latest.
func TestClientThatLeavesEndsItsCall(t *testing.T) {
	ended := make(map[string]time.Duration) // of one handler at a time
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began := time.Now()
		<-r.Context().Done()
		ended[r.URL.Path] = time.Since(began)
	})
	settings := inbound.Settings{Handler: handler, HeadTimeout: time.Second, IdleTimeout: time.Second}
	bubble(t, settings, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		for path, left := range map[string]time.Duration{"/soon": 0, "/later": time.Hour} {
			conn := dial()
			say(t, conn, head("GET "+path+" HTTP/1.1", "Host: a"))
			synctest.Wait()
			time.Sleep(left)
			_ = conn.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
			if want := max(left, 20*time.Millisecond); ended[path] != want {
				t.Errorf("%s: the call ended after %v, want %v", path, ended[path], want)
			}
		}
	})
}

// Where nobody waits to be told, a call is watched when a tenth of a second has passed: most
// never get so old. One of which somebody asks later is watched from the next look but one on.
func TestClientOfACallThatNobodyAsksAboutIsWatchedLater(t *testing.T) {
	var ended time.Duration
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, body := time.Now(), make([]byte, 2)
		if r.ContentLength > 0 {
			_, _ = io.ReadFull(r.Body, body)
			_, _ = r.Body.Read(body)
		}
		if asks, err := time.ParseDuration(r.URL.Path[1:]); err == nil {
			time.Sleep(asks)
			<-r.Context().Done()
		}
		for r.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		ended = time.Since(began).Truncate(2 * time.Millisecond)
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		for text, want := range map[string]time.Duration{
			head("GET /never HTTP/1.1", "Host: a"):                              110 * time.Millisecond,
			head("GET /5ms HTTP/1.1", "Host: a"):                                20 * time.Millisecond,
			head("GET /15ms HTTP/1.1", "Host: a"):                               30 * time.Millisecond,
			head("GET /99ms HTTP/1.1", "Host: a"):                               110 * time.Millisecond,
			head("POST /never HTTP/1.1", "Host: a", "Content-Length: 2") + "hi": 110 * time.Millisecond,
		} {
			conn := dial()
			say(t, conn, text)
			synctest.Wait()
			_ = conn.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
			if ended != want {
				t.Errorf("%q: the call ended after %v, want %v", text, ended, want)
			}
		}
	})
}

// Who waits for the end while the body comes is told as soon as one who waits behind it.
func TestClientThatLeavesBehindItsBodyIsWatchedSoonIfSomebodyWaits(t *testing.T) {
	var ended time.Duration
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		over := r.Context().Done()
		_, _ = io.Copy(io.Discard, r.Body)
		began := time.Now()
		<-over
		ended = time.Since(began)
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		say(t, conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: 2"))
		time.Sleep(time.Second)
		say(t, conn, "hi")
		synctest.Wait()
		_ = conn.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := 20 * time.Millisecond; ended != want {
			t.Errorf("the call ended after %v, want %v", ended, want)
		}
	})
}

// The calls that are young are looked at together, every 10 ms, and each whose end is waited
// for is watched from the second time on. One that ends before is forgotten, and no other in
// its place.
func TestYoungCallsAreLookedAtTogether(t *testing.T) {
	type end struct {
		path  string
		after time.Duration
	}
	var ends chan end // of the bubble
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			time.Sleep(5 * time.Millisecond)
			return
		}
		began := time.Now()
		<-r.Context().Done()
		ends <- end{r.URL.Path, time.Since(began)}
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		now := time.Now()
		ends = make(chan end, 3)
		for _, c := range []struct {
			path string
			at   time.Duration
		}{{"/at0", 0}, {"/short", 2 * time.Millisecond}, {"/at6", 6 * time.Millisecond}, {"/at15", 15 * time.Millisecond}} {
			time.Sleep(time.Until(now.Add(c.at)))
			conn := dial()
			say(t, conn, head("GET "+c.path+" HTTP/1.1", "Host: a"))
			if c.path == "/short" {
				go func() { _, _ = io.Copy(io.Discard, conn) }()
				continue
			}
			synctest.Wait()
			_ = conn.Close()
		}
		want := map[string]time.Duration{"/at0": 20 * time.Millisecond, "/at6": 14 * time.Millisecond, "/at15": 15 * time.Millisecond}
		for range want {
			if e := <-ends; e.after != want[e.path] {
				t.Errorf("%s ended after %v, want %v", e.path, e.after, want[e.path])
			}
		}
	})
}

// A client whose next request, or the empty line that some send behind a body, had
// come together with its call was not watched: its call went on for nobody.
func TestClientThatSaidMoreAndLeavesEndsItsCall(t *testing.T) {
	for _, more := range []string{"\r\n", head("GET /2 HTTP/1.1", "Host: a"), "GET /2 HT"} {
		var ended []time.Duration
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began := time.Now()
			<-r.Context().Done()
			ended = append(ended, time.Since(began))
		})
		bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
			conn := dial()
			say(t, conn, head("GET /1 HTTP/1.1", "Host: a")+more)
			time.Sleep(time.Hour)
			_ = conn.Close()
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(ended) == 0 || ended[0] != time.Hour {
				t.Errorf("behind it %q: the calls ended after %v, want one hour", more, ended)
			}
		})
	}
}

// finalRead is a connection whose end comes together with its last bytes, as that of
// TLS does when both are in one packet.
type finalRead struct{ net.Conn }

func (c finalRead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 1 { // the first of a request is read alone
		err = io.EOF
	}
	return n, err
}

// Such an end was known before there was anybody to tell, and so it was never told.
func TestEndThatComesWithARequestEndsItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended time.Duration
		s, listener := inbound.New(inbound.Settings{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began := time.Now()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Hour):
			}
			ended = time.Since(began)
		})}), newPipes()
		go func() { _ = s.Serve(listener) }()
		near, far := net.Pipe()
		listener.conns <- finalRead{far}
		say(t, near, head("GET / HTTP/1.1", "Host: a"))
		_ = near.Close()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if want := 20 * time.Millisecond; ended != want {
			t.Errorf("the call ended after %v, want %v", ended, want)
		}
		_ = s.Close()
		_ = s.Shutdown(context.Background())
	})
}

// What a client sends while its call is under way is its next request, or what
// comes behind the switch to another protocol: the watch must not lose the byte
// that it has read.
func TestWatchKeepsWhatItReads(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		if r.URL.Path != "/switch" {
			_, _ = io.WriteString(w, r.RequestURI)
			return
		}
		early, conn, err := inbound.Detach(w)
		if err != nil {
			t.Error(err)
			return
		}
		rest := make([]byte, 4-len(early))
		_, _ = io.ReadFull(conn, rest)
		_, _ = conn.Write(append(early, rest...))
		_ = conn.Close()
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		r := bufio.NewReader(conn)
		say(t, conn, head("GET /1 HTTP/1.1", "Host: a"))
		time.Sleep(500 * time.Millisecond)
		go func() { _, _ = io.WriteString(conn, head("GET /2 HTTP/1.1", "Host: a")) }()
		for _, want := range []string{"/1", "/2"} {
			if status, body := hear(t, r, "GET"); status != 200 || body != want {
				t.Errorf("%d %q, want %s", status, body, want)
			}
		}
		say(t, conn, head("GET /switch HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: x"))
		time.Sleep(500 * time.Millisecond)
		go func() { _, _ = io.WriteString(conn, "ping") }()
		if rest, err := io.ReadAll(r); string(rest) != "ping" {
			t.Errorf("behind the switch: %q, %v", rest, err)
		}
	})
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "ok")
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, s *inbound.Server, dial func() net.Conn) {
		idle, busy, fresh := dial(), dial(), dial()
		say(t, idle, head("GET / HTTP/1.1", "Host: a"))
		hear(t, bufio.NewReader(idle), "GET")
		say(t, busy, head("GET / HTTP/1.1", "Host: a"))
		synctest.Wait()
		began := time.Now()
		ended := make(chan time.Duration)
		go func() {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			ended <- time.Since(began)
		}()
		if d := ends(t, idle); d != 0 {
			t.Errorf("an idle connection ends after %v", d)
		}
		resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
		if err != nil || !resp.Close {
			t.Fatalf("the busy one is answered %v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if d := time.Since(began); d != time.Second {
			t.Errorf("the busy one is answered after %v", d)
		}
		ends(t, busy)
		ends(t, fresh)
		if d := <-ended; d != 4*time.Second { // opened a second before
			t.Errorf("Shutdown took %v, want what is left of 5 s for a new connection", d)
		}
	})
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, s *inbound.Server, dial func() net.Conn) {
		say(t, dial(), head("GET / HTTP/1.1", "Host: a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

// Where nothing is under way there is nothing to wait for, and so nothing that the end of a
// context cuts off. A sidecar whose grace ended before it had begun to wait, with nothing but
// tunnels open, which are not the server's, said that draining had failed, every other time.
func TestShutdownWithoutConnectionsIsNoFailure(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 { // it was chance
		if err := inbound.New(inbound.Settings{}).Shutdown(over); err != nil {
			t.Fatalf("Shutdown: %v", err)
		}
	}
}

func TestEndOfTheBaseEndsAllCalls(t *testing.T) {
	ended := 0
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithCancel(context.Background())
		s, listener := inbound.New(inbound.Settings{Base: base, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended++
		})}), newPipes()
		go func() { _ = s.Serve(listener) }()
		conn := listener.dial()
		say(t, conn, head("GET / HTTP/1.1", "Host: a")+head("GET / HTTP/1.1", "Host: a"))
		synctest.Wait()
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		cancel()
		synctest.Wait()
		if ended != 2 { // the second came when all was over
			t.Errorf("%d calls have ended", ended)
		}
		_ = s.Close()
		_ = s.Shutdown(context.Background())
	})
}

// A handler that has taken its connection may still have to dial for it. Nothing ended
// that when all calls were to end, and Outrider stopped with a call under way.
func TestEndOfTheBaseEndsACallThatHasDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, cancel := context.WithCancel(context.Background())
		var ended bool
		s, listener := inbound.New(inbound.Settings{Base: base, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, conn, err := inbound.Detach(w)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			select {
			case <-r.Context().Done():
				ended = true
			case <-time.After(time.Hour):
			}
		})}), newPipes()
		go func() { _ = s.Serve(listener) }()
		say(t, listener.dial(), head("CONNECT a:1 HTTP/1.1", "Host: a:1"))
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil { // which does not wait for it
			t.Error(err)
		}
		cancel()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if !ended {
			t.Error("the call went on")
		}
	})
}

func TestClientIsToldToGoOnWhenItsBodyIsWanted(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/unwanted" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		data, _ := io.ReadAll(r.Body)
		_, _ = w.Write(data)
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		r := bufio.NewReader(conn)
		say(t, conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: 2", "Expect: 100-continue"))
		if status, _ := hear(t, r, "POST"); status != 100 {
			t.Errorf("told %d", status)
		}
		say(t, conn, "hi")
		if status, body := hear(t, r, "POST"); status != 200 || body != "hi" {
			t.Errorf("answered %d %q", status, body)
		}
		// One that was not told to need not send its body: what it sends next could
		// be a request, and the connection has to end.
		say(t, conn, head("POST /unwanted HTTP/1.1", "Host: a", "Content-Length: 2", "Expect: 100-continue"))
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 403 || !resp.Close {
			t.Errorf("answered %v, %v", resp, err)
		}
		_ = conn.Close()
	})
}

func TestUnknownExpectationIsRefused(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad, ok := inbound.Violation(r); ok {
			http.Error(w, bad.Reason, bad.Status)
		}
	})
	bubble(t, inbound.Settings{Handler: handler}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		say(t, conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: 0", "Expect: the best"))
		if status, _ := hear(t, bufio.NewReader(conn), "POST"); status != 417 {
			t.Errorf("answered %d", status)
		}
		_ = conn.Close()
	})
}

// What a handler leaves of a body is read, if it is little and comes soon.
func TestRestOfABodyIsReadWithinBounds(t *testing.T) {
	bubble(t, inbound.Settings{Handler: ok}, func(t *testing.T, _ *inbound.Server, dial func() net.Conn) {
		conn := dial()
		r := bufio.NewReader(conn)
		for _, size := range []string{"3", "262144"} {
			n := map[string]int{"3": 3, "262144": 262144}[size]
			go func() {
				_, _ = io.WriteString(conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: "+size)+strings.Repeat("x", n))
			}()
			if status, body := hear(t, r, "POST"); status != 200 || body != "ok" {
				t.Errorf("%s: %d %q", size, status, body)
			}
		}
		say(t, conn, head("POST / HTTP/1.1", "Host: a", "Content-Length: 262145"))
		resp, err := http.ReadResponse(r, nil)
		if err != nil || !resp.Close {
			t.Fatalf("answered %v, %v", resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = ends(t, conn)

		slow := dial()
		say(t, slow, head("POST / HTTP/1.1", "Host: a", "Content-Length: 3"))
		hear(t, bufio.NewReader(slow), "POST")
		if d := ends(t, slow); d != time.Second {
			t.Errorf("a client that does not send its body is waited for %v", d)
		}
	})
}
