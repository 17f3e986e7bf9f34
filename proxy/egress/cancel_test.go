package egress_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/proxy/egress"
)

func dialFunc(f func() (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return f() }
}

// blockedBody gives some bytes and then waits for Close.
type blockedBody struct {
	data   io.Reader
	closed chan struct{}
	once   sync.Once
	at     func() // called once when it blocks
}

func newBlockedBody(data string, at func()) *blockedBody {
	return &blockedBody{data: strings.NewReader(data), closed: make(chan struct{}), at: sync.OnceFunc(at)}
}

func (b *blockedBody) Read(p []byte) (int, error) {
	if n, _ := b.data.Read(p); n > 0 {
		return n, nil
	}
	b.at()
	<-b.closed
	return 0, errors.New("closed")
}

func (b *blockedBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func TestCancellationEndsTheCallInEveryPhase(t *testing.T) {
	why := errors.New("why")
	for _, c := range []struct {
		phase string
		sent  bool
		// set returns the URL, the settings and the body; reached is to be
		// called when the phase has been reached.
		set func(t *testing.T, reached func()) (string, egress.Settings, io.Reader)
	}{
		{"dial", false, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			return "http://api.test/", egress.Settings{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				reached()
				<-ctx.Done()
				return nil, ctx.Err()
			}}, nil
		}},
		{"shared dial", false, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			end := make(chan struct{})
			t.Cleanup(func() { close(end) })
			return "https://api.test/", egress.Settings{Dial: dialFunc(func() (net.Conn, error) {
				reached()
				<-end
				return nil, errors.New("end of the test")
			})}, nil
		}},
		{"TLS handshake", false, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, func(p *peer) {
				p.br.ReadByte()
				reached()
				io.Copy(io.Discard, p.br)
			})
			return "https://" + s.addr + "/", egress.Settings{}, nil
		}},
		{"inline body", false, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, answer(hello))
			return "http://" + s.addr + "/inline", egress.Settings{}, newBlockedBody("ab", reached)
		}},
		{"reading the body", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, func(p *peer) { p.head(); io.Copy(io.Discard, p.br) })
			return "http://" + s.addr + "/", egress.Settings{}, newBlockedBody("ab", reached)
		}},
		{"writing the body", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			end := make(chan struct{})
			s := serve(t, func(p *peer) { p.head(); reached(); <-end })
			t.Cleanup(func() { close(end) })
			return "http://" + s.addr + "/", egress.Settings{}, io.MultiReader(endless{})
		}},
		{"100 (Continue)", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, func(p *peer) { p.head(); reached(); p.br.ReadByte() })
			return "http://" + s.addr + "/expect", egress.Settings{ExpectContinueTimeout: safety}, strings.NewReader("abc")
		}},
		{"waiting for the head", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, func(p *peer) { p.head(); reached(); p.br.ReadByte() })
			return "http://" + s.addr + "/", egress.Settings{}, nil
		}},
		{"waiting for the head, TLS", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serveTLS(t, serverTLS("http/1.1"), func(p *peer) { p.head(); reached(); p.br.ReadByte() })
			return "https://" + s.addr + "/", egress.Settings{CAFile: caFile(t)}, nil
		}},
		{"inside the head", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			s := serve(t, func(p *peer) { p.head(); p.say("HTTP/1.1 200 OK\r\nX: "); reached(); p.br.ReadByte() })
			return "http://" + s.addr + "/", egress.Settings{}, nil
		}},
		{"waiting for the head, HTTP/2", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { reached(); <-r.Context().Done() })
			return url, egress.Settings{CAFile: caFile(t)}, nil
		}},
		{"sending the body, HTTP/2", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { reached(); <-r.Context().Done() })
			return url, egress.Settings{CAFile: caFile(t)}, io.MultiReader(endless{})
		}},
		{"reading the body, HTTP/2", true, func(t *testing.T, reached func()) (string, egress.Settings, io.Reader) {
			url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			return url, egress.Settings{CAFile: caFile(t)}, newBlockedBody("ab", reached)
		}},
	} {
		t.Run(c.phase, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			url, settings, body := c.set(t, sync.OnceFunc(func() { cancel(why) }))
			req, err := http.NewRequestWithContext(ctx, "POST", url, body)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(url, "/inline") {
				req.ContentLength = 5
				req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("no") }
			}
			if strings.HasSuffix(url, "/expect") {
				req.Header.Set("Expect", "100-continue")
			}
			var h hooks
			tr := newTransport(t, settings)
			_, err = tr.RoundTrip(h.on(req))
			wantError(t, err, egress.Canceled, c.sent)
			if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v wraps neither cause nor context.Canceled", err)
			}
			if n := h.wrote.Load(); n != map[bool]int32{true: 1}[c.sent] {
				t.Errorf("WroteHeaders %d times", n)
			}
		})
	}
}

func TestCancellationEndsTheResponseBody(t *testing.T) {
	why := errors.New("why")
	hang := func(head string) func(*peer) {
		return func(p *peer) { p.head(); p.say(head); p.br.ReadByte() }
	}
	for name, url := range map[string]func(t *testing.T) string{
		"fixed": func(t *testing.T) string {
			return "http://" + serve(t, hang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")).addr
		},
		"chunked": func(t *testing.T) string {
			return "http://" + serve(t, hang("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")).addr
		},
		"until close": func(t *testing.T) string { return "http://" + serve(t, hang("HTTP/1.1 200 OK\r\n\r\nabc")).addr },
		"TLS": func(t *testing.T) string {
			return "https://" + serveTLS(t, serverTLS("http/1.1"), hang("HTTP/1.1 200 OK\r\n\r\nabc")).addr
		},
		"HTTP/2": func(t *testing.T) string {
			return serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "abc")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			req, _ := http.NewRequestWithContext(ctx, "GET", url(t), nil)
			resp, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			cancel(why)
			_, err = resp.Body.Read(make([]byte, 1))
			wantError(t, err, egress.Canceled, true)
			if !errors.Is(err, why) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Close from another goroutine wakes a Read.
func TestCloseWakesRead(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		p.br.ReadByte()
	})
	body := newBlockedBody("", func() {})
	resp, err := newTransport(t, egress.Settings{}).RoundTrip(newRequest(t, "POST", "http://"+s.addr+"/", body))
	if err != nil {
		t.Fatal(err)
	}
	reading := make(chan error)
	go func() {
		io.ReadFull(resp.Body, make([]byte, 3))
		reading <- nil
		_, err := resp.Body.Read(make([]byte, 1))
		reading <- err
	}()
	<-reading
	resp.Body.Close()
	if err := <-reading; err == nil || err == io.EOF {
		t.Errorf("Read returned %v", err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
		t.Errorf("after Close: %v", err)
	}
	resp.Body.Close()
}

// touchyBody panics when it is closed.
type touchyBody struct{ *blockedBody }

func (b touchyBody) Close() error {
	_ = b.blockedBody.Close()
	panic("closed")
}

// A request body that panics when it is closed left the response's body locked for good.
func TestCloseOutlivesAPanicOfTheRequestBody(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		p.br.ReadByte()
	})
	reading := make(chan struct{})
	body := touchyBody{newBlockedBody("", func() { close(reading) })}
	resp, err := newTransport(t, egress.Settings{}).RoundTrip(newRequest(t, "POST", "http://"+s.addr+"/", body))
	if err != nil {
		t.Fatal(err)
	}
	<-reading // the sender does not close it before us
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		resp.Body.Close()
	}()
	if _, err := resp.Body.Read(make([]byte, 1)); err != http.ErrBodyReadAfterClose {
		t.Errorf("after Close: %v", err)
	}
	resp.Body.Close()
}

// A call whose context ends right after its response must not hand on a
// connection with a deadline in the past.
func TestLateCancellationSpoilsNoOtherCall(t *testing.T) {
	s := serve(t, answer(hello))
	tr := newTransport(t, egress.Settings{})
	for range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		go cancel()
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		get(t, tr, "http://"+s.addr+"/")
	}
}

// A call has its connection while its small body is read, and that has a deadline in the
// past when the context ends meanwhile: no other call gets it.
func TestCancellationBeforeTheRequestSpoilsNoOtherCall(t *testing.T) {
	s := serve(t, answer(hello))
	tr := newTransport(t, egress.Settings{})
	get(t, tr, "http://"+s.addr+"/")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/", newBlockedBody("ab", cancel))
	req.ContentLength = 5
	req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("no") }
	_, err := tr.RoundTrip(req)
	wantError(t, err, egress.Canceled, false)
	for range 3 {
		get(t, tr, "http://"+s.addr+"/")
	}
	if n := s.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// Both bodies flow at the same time: neither side could hold 64 MiB.
func TestFullDuplex(t *testing.T) {
	const size = 64 << 20
	echo := func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Body.Read(buf)
			if _, werr := w.Write(buf[:n]); werr != nil || err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		tls    *tls.Config
		length int64
	}{
		{"HTTP/1.1, declared", nil, size},
		{"HTTP/1.1, chunked", nil, -1},
		{"TLS", serverTLS("http/1.1"), -1},
		{"HTTP/2", serverTLS("h2"), size},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
			body := &replayed{data: io.LimitReader(pattern{}, size)}
			req := newRequest(t, "POST", serveHTTP(t, c.tls, echo), body)
			req.ContentLength = c.length
			before, peak := heap(), uint64(0)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			n, next, buf := 0, 0, make([]byte, 64<<10)
			for {
				m, err := resp.Body.Read(buf)
				if bytes.Count(buf[:m], []byte{'p'}) != m {
					t.Fatal("wrong data")
				}
				if n += m; n >= next {
					peak = max(peak, heap())
					next += size / 16
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			resp.Body.Close()
			replay(t, body)
			if n != size {
				t.Errorf("%d bytes came back", n)
			}
			// Of both sides, garbage included: far less than the data.
			if peak > before+size/2 {
				t.Errorf("the heap grew by %d MiB", (peak-before)>>20)
			}
		})
	}
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'p'
	}
	return len(p), nil
}

// Close wakes a Read in progress by a deadline that is over. Where that Read had just come
// to the body's end, the connection was in the pool already, and the deadline hit the next
// call. Many calls come to that moment at some time; none may fail.
func TestCloseBesideTheEndOfTheBodyHitsNoOtherCall(t *testing.T) {
	tr := newTransport(t, egress.Settings{Dial: dialFunc(func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			p := newPeer(theirs)
			for p.head() != "" {
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}()
		return ours, nil
	})})
	var spent atomic.Int64
	for i := range 20_000 {
		req, _ := http.NewRequest("GET", "http://api.test/", nil)
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		begin, end := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(end)
			<-begin
			_, _ = resp.Body.Read(make([]byte, 10))
		}()
		begin <- struct{}{}
		for n := range i % 200 { // not always after the same time
			spent.Store(int64(n))
		}
		resp.Body.Close()
		<-end
	}
}
