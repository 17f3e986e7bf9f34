package simulator_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"syscall"
	"testing"

	"outrider/proxy/simulator"
)

// Two requests in one write: the heads are told apart, their order and
// spelling kept, whatever the framing of the body between them.
func TestEchoKeepsOrderAndSpellingOfHeaders(t *testing.T) {
	_, base, _ := serve(t, simulator.Settings{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /echo//a%2Fb/../%7Ec?x=%41&&y HTTP/1.1\r\nHost: sim.test\r\nx-LOWER: one\r\nB: 2\r\nA:  1 \r\nTransfer-Encoding: chunked\r\nx-lower: two\r\nTrailer: X-Sum\r\n\r\n"+
		"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 7\r\n\r\n"+
		"PUT http://other.test/echo HTTP/1.1\r\nhost: sim.test\r\ncontent-length: 3\r\n\r\nabc"+
		"GET /echo HTTP/1.1\r\nHost: sim.test\r\nConnection: close\r\n\r\n")
	r := bufio.NewReader(conn)
	next := func() simulator.Echo {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return parse[simulator.Echo](t, b)
	}

	e := next()
	want := [][2]string{{"Host", "sim.test"}, {"x-LOWER", "one"}, {"B", "2"}, {"A", "1"}, {"Transfer-Encoding", "chunked"}, {"x-lower", "two"}, {"Trailer", "X-Sum"}}
	if !e.Ordered || !slices.Equal(e.Headers, want) {
		t.Errorf("headers %v", e.Headers)
	}
	if e.Target != "/echo//a%2Fb/../%7Ec?x=%41&&y" || e.Method != "POST" || e.Body.Length != 6 || e.Body.SHA256 != hash("hello!") {
		t.Errorf("%+v", e)
	}
	if got := e.Trailers["X-Sum"]; !slices.Equal(got, []string{"7"}) {
		t.Errorf("trailers %v", e.Trailers)
	}
	e = next()
	if e.Target != "http://other.test/echo" || e.Host != "other.test" || !slices.Equal(e.Headers, [][2]string{{"host", "sim.test"}, {"content-length", "3"}}) || e.Body.SHA256 != hash("abc") {
		t.Errorf("%+v", e)
	}
	if e = next(); !e.Ordered || len(e.Headers) != 2 || e.Body.Length != 0 {
		t.Errorf("%+v", e)
	}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestEchoSpeaksHTTP2(t *testing.T) {
	_, base, _ := serve(t, simulator.Settings{})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	_, body, err := fetch(client, base+"/echo")
	if err != nil {
		t.Fatal(err)
	}
	if e := parse[simulator.Echo](t, []byte(body)); e.Proto != "HTTP/2.0" || e.Ordered {
		t.Errorf("%+v", e)
	}
	if _, _, err := fetch(client, base+"/fault/reset-before"); err == nil {
		t.Error("the stream was not aborted")
	}
}

// Under TLS the type of the connection is net/http's, and HTTP/2 is negotiated.
func TestTLSNegotiatesAndStillResets(t *testing.T) {
	lender := httptest.NewTLSServer(nil) // for its certificate, and a client that trusts it
	config := lender.TLS.Clone()
	transport := lender.Client().Transport.(*http.Transport).Clone()
	lender.Close()
	config.NextProtos = []string{"h2", "http/1.1"}

	sim := newSimulator(t, simulator.Settings{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(tls.NewListener(ln, config)) }()
	base := "https://" + ln.Addr().String()
	for proto, set := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetHTTP2(true) },
	} {
		transport := transport.Clone()
		transport.Protocols = new(http.Protocols)
		set(transport.Protocols)
		client := &http.Client{Transport: transport}
		_, body, err := fetch(client, base+"/echo")
		if err != nil {
			t.Fatal(err)
		}
		if e := parse[simulator.Echo](t, []byte(body)); e.Proto != proto {
			t.Errorf("%+v", e)
		}
		if _, _, err := fetch(client, base+"/fault/reset-before?key="+proto); err == nil {
			t.Errorf("%s: no reset", proto)
		} else if proto == "HTTP/1.1" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", proto, err)
		}
		transport.CloseIdleConnections()
	}
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestOptionsStarIsEchoed(t *testing.T) {
	_, base, _ := serve(t, simulator.Settings{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: sim.test\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, resp.ContentLength))
	if e := parse[simulator.Echo](t, b); e.Method != "OPTIONS" || e.Target != "*" {
		t.Errorf("%+v", e)
	}
}

func TestBodiesAreWhatTheyClaim(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	if _, b, err := fetch(client, base+"/bytes/28"); err != nil || b != "abcdefghijklmnopqrstuvwxyzab" {
		t.Errorf("/bytes: %q %v", b, err)
	}
	if _, b, err := fetch(client, base+"/bytes/0"); err != nil || b != "" {
		t.Errorf("/bytes/0: %q %v", b, err)
	}
	if _, b, err := fetch(client, base+"/stream/2"); err != nil || b != "{\"line\":1}\n{\"line\":2}\n" {
		t.Errorf("/stream: %q %v", b, err)
	}
	if code, _, _ := fetch(client, base+"/bytes/-1"); code != 400 {
		t.Errorf("/bytes/-1: %d", code)
	}
	if w := get(sim, "/sse?events=4&interval=0s", "Last-Event-ID", "2"); w.Body.String() != "id: 3\nevent: tick\ndata: {\"n\":3}\n\nid: 4\nevent: tick\ndata: {\"n\":4}\n\n" {
		t.Errorf("/sse goes on wrongly: %q", w.Body)
	}
	for code, want := range map[string]int{"200": 200, "204": 204, "304": 304, "599": 599, "600": 400, "99": 400, "x": 400} {
		if w := get(sim, "/status/"+code); w.Code != want {
			t.Errorf("/status/%s: %d", code, w.Code)
		}
	}
	if w := get(sim, "/headers/two-cookies"); len(w.Header()["Set-Cookie"]) != 2 || len(w.Header()["X-Twice"]) != 2 {
		t.Errorf("two cookies: %v", w.Header())
	}
	z, err := gzip.NewReader(get(sim, "/gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || len(b) != 1000 {
		t.Errorf("/gzip: %d bytes, %v", len(b), err)
	}
	for _, path := range []string{"/nowhere", "/sse/x", "/faults", "/fault/x", "/bytes2", "/_nothing"} {
		if w := get(sim, path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := call(sim, "CONNECT", "sim.test:443", ""); w.Code != 404 {
		t.Errorf("CONNECT: %d", w.Code)
	}
}

func TestUploadIsDigested(t *testing.T) {
	_, base, client := serve(t, simulator.Settings{})
	body := bytes.Repeat([]byte("0123456789"), 300_000)
	resp, err := client.Post(base+"/upload", "application/octet-stream", io.MultiReader(bytes.NewReader(body))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if d := parse[simulator.Digest](t, b); d.Length != int64(len(body)) || d.SHA256 != hash(string(body)) {
		t.Errorf("%+v", d)
	}
}

func TestDuplexAnswersBeforeTheRequestEnds(t *testing.T) {
	_, base, client := serve(t, simulator.Settings{})
	pr, pw := io.Pipe()
	resp, err := client.Post(base+"/duplex", "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		io.WriteString(pw, word)
		got := make([]byte, len(word))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
	pw.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestTrailersAndEarlyHintsArrive(t *testing.T) {
	_, base, client := serve(t, simulator.Settings{})
	resp, err := client.Get(base + "/trailers")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.Trailer.Get("X-Checksum") != hash(string(b)) || resp.Trailer.Get("X-Length") != "21" {
		t.Errorf("trailers %v", resp.Trailer)
	}

	var hints []string
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, h.Get("Link"))
		return nil
	}})
	r, _ := http.NewRequestWithContext(ctx, "GET", base+"/early-hints", nil)
	if resp, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(hints) != 1 || hints[0] == "" || resp.StatusCode != 200 || resp.Header.Get("Link") != "" {
		t.Errorf("hints %q, %d, %v", hints, resp.StatusCode, resp.Header)
	}
}
