package egress_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"outrider/proxy/egress"
)

// serveHTTP runs net/http's server: HTTP/2 if cfg offers it, plain if nil.
func serveHTTP(t testing.TB, cfg *tls.Config, handler http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan bool)
	go func() {
		defer close(done)
		if cfg == nil {
			srv.Serve(ln)
		} else {
			srv.ServeTLS(ln, "", "")
		}
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	if cfg == nil {
		return "http://" + ln.Addr().String()
	}
	return "https://" + ln.Addr().String()
}

func serveHTTP2(t testing.TB, handler http.HandlerFunc) string {
	return serveHTTP(t, serverTLS("h2"), handler)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHTTP2CallIsTheSameCall(t *testing.T) {
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Proto != "HTTP/2.0" || r.RequestURI != "/a%2Fb//c?q=%zz&" || r.Host != "other.test:99" {
			t.Errorf("%s %s %s", r.Proto, r.RequestURI, r.Host)
		}
		for _, name := range []string{"User-Agent", "Accept-Encoding", "Connection", "Keep-Alive", "Upgrade"} {
			if v, ok := r.Header[name]; ok {
				t.Errorf("%s: %q", name, v)
			}
		}
		if !slices.Equal(r.Header["X-Two"], []string{"1", "2"}) || r.Header.Get("Te") != "trailers" {
			t.Errorf("%v", r.Header)
		}
		b, _ := io.ReadAll(r.Body)
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(103)
		w.Write(b)
		w.Header().Set("X-Sum", r.Trailer.Get("X-Sum"))
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for _, length := range []int64{-1, 5} {
		body := &replayed{data: strings.NewReader("hello")}
		req := newRequest(t, "PUT", url, body)
		req.ContentLength = length
		req.URL.Opaque, req.URL.RawQuery = "//ignored.test/a%2Fb//c", "q=%zz&"
		req.Host = "other.test:99"
		req.Header = http.Header{"X-Two": {"1", "2"}, "Te": {"gzip, trailers"}, "Connection": {"x"}, "Keep-Alive": {"x"}}
		req.Trailer = http.Header{"X-Sum": {"42"}}
		var h hooks
		req = h.on(req)
		resp, b := fetch(t, tr, req)
		if b != "hello" || resp.Proto != "HTTP/2.0" || resp.Request != req || resp.TLS == nil || resp.Uncompressed ||
			!slices.Equal(resp.Header["Set-Cookie"], []string{"a=1", "b=2"}) || resp.Header.Get("Content-Encoding") != "gzip" ||
			resp.Trailer.Get("X-Sum") != "42" {
			t.Errorf("%q %+v", b, resp)
		}
		if h.wrote.Load() != 1 || len(h.gotConn) != 1 || h.gotConn[0].Reused != (length == 5) || !slices.Equal(h.interim, []int{103}) {
			t.Errorf("%+v", &h)
		}
		replay(t, body)
	}
}

func TestHTTP2StarTarget(t *testing.T) {
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	req := newRequest(t, "OPTIONS", url, nil)
	req.URL.Opaque = "*"
	// net/http answers OPTIONS * by itself: an answer shows that it got there.
	if resp, _ := fetch(t, newTransport(t, egress.Settings{CAFile: caFile(t)}), req); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}

func TestHTTP2BodylessAnswersKeepTheirLength(t *testing.T) {
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "7")
		if r.Method == "GET" {
			w.WriteHeader(304)
		}
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for _, method := range []string{"HEAD", "GET"} {
		for range 3 {
			resp, body := get2(t, tr, method, url)
			if resp.ContentLength != 7 && method == "HEAD" || body != "" || resp.Body != http.NoBody {
				t.Errorf("%s: length %d, body %q %T", method, resp.ContentLength, body, resp.Body)
			}
		}
	}
}

func get2(t testing.TB, tr http.RoundTripper, method, url string) (*http.Response, string) {
	t.Helper()
	return fetch(t, tr, newRequest(t, method, url, nil))
}

func TestHTTP2FaultyRequestBody(t *testing.T) {
	boom := errors.New("boom")
	ended := make(chan error, 10)
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for name, c := range map[string]struct {
		data   io.Reader
		length int64
	}{
		"read error": {&failingReader{"abc", boom}, -1},
		"short":      {strings.NewReader("abc"), 10},
		"long":       {strings.NewReader("abcdefghijklmn"), 10},
	} {
		body := &replayed{data: c.data}
		req := newRequest(t, "POST", url, body)
		req.ContentLength = c.length
		_, err := tr.RoundTrip(req)
		e := wantError(t, err, egress.ClientBody, true)
		if name == "read error" && !errors.Is(e, boom) {
			t.Errorf("%v", e)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: the server saw a clean end", name)
		}
		replay(t, body)
	}
}

func TestHTTP2ExpectContinue(t *testing.T) {
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(417)
			return
		}
		b, _ := io.ReadAll(r.Body) // sends 100
		w.Write(b)
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t), ExpectContinueTimeout: safety / 8})
	for path, want := range map[string]string{"/": "hello", "/no": ""} {
		body := &replayed{data: strings.NewReader("hello")}
		req := newRequest(t, "POST", url+path, body)
		req.ContentLength = 5
		req.Header.Set("Expect", "100-continue")
		var h hooks
		if _, b := fetch(t, tr, h.on(req)); b != want {
			t.Errorf("%s: %q", path, b)
		}
		if got := slices.Equal(h.interim, []int{100}); got != (path == "/") {
			t.Errorf("%s: interim %v", path, h.interim)
		}
		replay(t, body)
	}
}

// More calls at once than one connection has streams for.
func TestHTTP2OpensFurtherConnections(t *testing.T) {
	const streams, calls = 3, 10
	var conns atomic.Int32
	var all sync.WaitGroup
	all.Add(calls)
	cfg := serverTLS("h2")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		TLSConfig: cfg,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: streams},
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				conns.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			all.Done()
			all.Wait()
			io.Copy(w, r.Body)
		}),
	}
	go srv.ServeTLS(ln, "", "")
	defer srv.Close()
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			var h hooks
			req := newRequest(t, "POST", "https://"+ln.Addr().String(), &replayed{data: strings.NewReader("hello")})
			if _, body := fetch(t, tr, h.on(req)); body != "hello" || h.wrote.Load() != 1 {
				t.Errorf("%q, WroteHeaders %d times", body, h.wrote.Load())
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n < (calls+streams-1)/streams || n > calls {
		t.Errorf("%d connections", n)
	}
}

// With no more connections allowed, calls wait for a stream.
func TestHTTP2WaitsForAFreeStream(t *testing.T) {
	var running, most atomic.Int32
	cfg := serverTLS("h2")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{TLSConfig: cfg, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			io.WriteString(w, "ok")
			running.Add(-1)
		})}
	go srv.ServeTLS(ln, "", "")
	defer srv.Close()
	tr := newTransport(t, egress.Settings{CAFile: caFile(t), MaxHTTP2PerHost: 1})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { get(t, tr, "https://"+ln.Addr().String()) })
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}

// frames serves scripted HTTP/2: handle gets every connection after the
// settings were exchanged.
func frames(t *testing.T, handle func(f *http2.Framer, p *peer)) string {
	return "https://" + serveTLS(t, serverTLS("h2"), func(p *peer) {
		p.body(len(http2.ClientPreface))
		f := http2.NewFramer(p.Conn, p.br)
		f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
		handle(f, p)
	}).addr
}

// nextHeaders reads frames up to the next request.
func nextHeaders(f *http2.Framer) (stream uint32, ok bool) {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return 0, false
		}
		switch fr := fr.(type) {
		case *http2.SettingsFrame:
			if !fr.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !fr.IsAck() {
				f.WritePing(true, fr.Data)
			}
		case *http2.HeadersFrame:
			return fr.StreamID, true
		}
	}
}

// wholeBody reads frames up to the end of a request: a peer that closed
// earlier would break our writing, too.
func wholeBody(f *http2.Framer) {
	for {
		fr, err := f.ReadFrame()
		if err != nil || fr.Header().Type == http2.FrameData && fr.Header().Flags.Has(http2.FlagDataEndStream) {
			return
		}
	}
}

func okHeaders(f *http2.Framer, stream uint32, more ...hpack.HeaderField) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for _, m := range more {
		e.WriteField(m)
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: len(more) == 0})
}

func TestHTTP2Faults(t *testing.T) {
	length := hpack.HeaderField{Name: "content-length", Value: "10"}
	drain := func(f *http2.Framer) {
		for {
			if _, err := f.ReadFrame(); err != nil {
				return
			}
		}
	}
	status := func(value string) func(f *http2.Framer, p *peer, stream uint32) {
		return func(f *http2.Framer, p *peer, s uint32) {
			var b bytes.Buffer
			hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: value})
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: value != "101"})
			drain(f)
		}
	}
	for _, c := range []struct {
		name   string
		script func(f *http2.Framer, p *peer, stream uint32)
		kind   egress.Kind
		sent   bool
		body   bool // the fault is in the body
	}{
		{"REFUSED_STREAM", func(f *http2.Framer, p *peer, s uint32) { f.WriteRSTStream(s, http2.ErrCodeRefusedStream); drain(f) }, egress.Reset, false, false},
		{"reset", func(f *http2.Framer, p *peer, s uint32) { f.WriteRSTStream(s, http2.ErrCodeInternal); drain(f) }, egress.Reset, true, false},
		{"GOAWAY above, graceful", func(f *http2.Framer, p *peer, s uint32) {
			f.WriteGoAway(s-2, http2.ErrCodeNo, []byte("secret"))
			drain(f)
		}, egress.Reset, false, false},
		{"GOAWAY above, error", func(f *http2.Framer, p *peer, s uint32) {
			f.WriteGoAway(s-2, http2.ErrCodeEnhanceYourCalm, []byte("secret"))
			drain(f)
		}, egress.Reset, false, false},
		{"GOAWAY including it, then closed", func(f *http2.Framer, p *peer, s uint32) { f.WriteGoAway(s, http2.ErrCodeNo, []byte("secret")) }, egress.Reset, true, false},
		{"closed", func(f *http2.Framer, p *peer, s uint32) {}, egress.Reset, true, false},
		{"header section too large", func(f *http2.Framer, p *peer, s uint32) {
			x := hpack.HeaderField{Name: "x", Value: strings.Repeat("v", 6000)}
			okHeaders(f, s, x, x, x)
			drain(f)
		}, egress.HeaderTooLarge, true, false},
		{"no status", func(f *http2.Framer, p *peer, s uint32) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, EndHeaders: true, EndStream: true})
			drain(f)
		}, egress.Malformed, true, false},
		{"frame of no sense", func(f *http2.Framer, p *peer, s uint32) {
			f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, []byte{0, 0, 0, 0})
			drain(f)
		}, egress.Malformed, true, false},
		{"101", status("101"), egress.Malformed, true, false},
		{"status of two digits", status("42"), egress.Malformed, true, false},
		{"status of four digits", status("2000"), egress.Malformed, true, false},
		{"status below zero", status("-200"), egress.Malformed, true, false},
		{"short body", func(f *http2.Framer, p *peer, s uint32) {
			okHeaders(f, s, length)
			f.WriteData(s, true, []byte("abc"))
			drain(f)
		}, egress.Truncated, true, true},
		{"long body", func(f *http2.Framer, p *peer, s uint32) {
			okHeaders(f, s, length)
			f.WriteData(s, true, []byte("abcdefghijklmnop"))
			drain(f)
		}, egress.Malformed, true, true},
		{"reset in the body", func(f *http2.Framer, p *peer, s uint32) {
			okHeaders(f, s, length)
			f.WriteData(s, false, []byte("abc"))
			f.WriteRSTStream(s, http2.ErrCodeCancel)
			drain(f)
		}, egress.Truncated, true, true},
		{"closed in the body", func(f *http2.Framer, p *peer, s uint32) {
			okHeaders(f, s, length)
			f.WriteData(s, false, []byte("abc"))
		}, egress.Truncated, true, true},
	} {
		// The first stream of a connection and a later one: the library makes
		// a difference.
		for _, before := range []int{0, 1} {
			t.Run(c.name+map[int]string{0: ", first", 1: ", later"}[before], func(t *testing.T) {
				var requests atomic.Int32
				url := frames(t, func(f *http2.Framer, p *peer) {
					for range before {
						if s, ok := nextHeaders(f); ok {
							requests.Add(1)
							okHeaders(f, s)
						}
					}
					if s, ok := nextHeaders(f); ok {
						requests.Add(1)
						if s == 1 && strings.Contains(c.name, "above") {
							s = 2 // last stream 0: none
						}
						wholeBody(f)
						c.script(f, p, s)
					}
				})
				tr := newTransport(t, egress.Settings{CAFile: caFile(t), MaxHeaderBytes: 8 << 10})
				for range before {
					get(t, tr, url)
				}
				var h hooks
				body := &replayed{data: strings.NewReader("x")}
				req := h.on(newRequest(t, "POST", url+"/?secret", body))
				req.GetBody = func() (io.ReadCloser, error) { t.Error("body taken again"); return nil, errors.New("no") }
				resp, err := tr.RoundTrip(req)
				if c.body {
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				e := wantError(t, err, c.kind, c.sent)
				if strings.Contains(e.Error(), "secret") {
					t.Errorf("quotes the peer or the query: %v", e)
				}
				if c.kind == egress.Truncated && !errors.Is(e, io.ErrUnexpectedEOF) {
					t.Errorf("%v is not io.ErrUnexpectedEOF", e)
				}
				if h.wrote.Load() != 1 || int(requests.Load()) != before+1 {
					t.Errorf("WroteHeaders %d times, %d requests seen", h.wrote.Load(), requests.Load())
				}
				replay(t, body)
			})
		}
	}
}

func TestHTTP2RequestThatIsTooLargeForThePeerIsNotSent(t *testing.T) {
	url := frames(t, func(f *http2.Framer, p *peer) {
		f.WriteSettings(http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 400})
		if s, ok := nextHeaders(f); ok {
			okHeaders(f, s)
		}
		if _, ok := nextHeaders(f); ok {
			t.Error("it was sent")
		}
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	get(t, tr, url)
	var h hooks
	req := newRequest(t, "GET", url, nil)
	req.Header.Set("X", strings.Repeat("secret", 100))
	_, err := tr.RoundTrip(h.on(req))
	e := wantError(t, err, egress.InvalidRequest, false)
	if h.wrote.Load() != 0 || strings.Contains(e.Error(), "secret") {
		t.Errorf("%v, WroteHeaders %d times", e, h.wrote.Load())
	}
}

// After GOAWAY the running call ends well, and the next goes elsewhere.
func TestHTTP2ConnectionThatSaidGoAwayTakesNoCalls(t *testing.T) {
	url := frames(t, func(f *http2.Framer, p *peer) {
		if s, ok := nextHeaders(f); ok {
			f.WriteGoAway(s, http2.ErrCodeNo, nil)
			okHeaders(f, s, hpack.HeaderField{Name: "x-conn", Value: strconv.Itoa(p.n)})
			f.WriteData(s, true, nil)
		}
		if _, ok := nextHeaders(f); ok {
			t.Error("another request after GOAWAY")
		}
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	for i := range 3 {
		if resp, _ := get(t, tr, url); resp.Header.Get("X-Conn") != strconv.Itoa(i) {
			t.Errorf("call %d on connection %s", i, resp.Header.Get("X-Conn"))
		}
	}
}

// A peer that lowers its streams below what is under way, or closes the idle
// connection: whatever was not written is not an error of the call.
func TestHTTP2IdleConnectionThatCloses(t *testing.T) {
	for range 20 {
		url := frames(t, func(f *http2.Framer, p *peer) {
			if s, ok := nextHeaders(f); ok {
				okHeaders(f, s)
			}
		})
		tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
		for range 3 {
			var h hooks
			resp, err := tr.RoundTrip(h.on(newRequest(t, "GET", url, nil)))
			if err == nil {
				resp.Body.Close()
				continue
			}
			var e *egress.Error
			if !errors.As(err, &e) || e.Kind != egress.Reset || e.Sent != (h.wrote.Load() == 1) {
				t.Errorf("%v, WroteHeaders %d times", err, h.wrote.Load())
			}
		}
	}
}

func TestHTTP2CloseLetsRunningCallsEnd(t *testing.T) {
	closed, reading := make(chan bool), make(chan bool)
	url := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/wait" {
			reading <- true
			<-closed
		}
		io.WriteString(w, "two")
	})
	tr := newTransport(t, egress.Settings{CAFile: caFile(t)})
	resp, err := tr.RoundTrip(newRequest(t, "GET", url+"/wait", nil))
	if err != nil {
		t.Fatal(err)
	}
	<-reading
	tr.Close()
	closed <- true
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "onetwo" {
		t.Errorf("%q %v", b, err)
	}
	if _, b := get(t, tr, url); b != "onetwo" {
		t.Errorf("%q", b)
	}
}
