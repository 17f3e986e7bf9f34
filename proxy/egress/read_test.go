package egress_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

func TestMalformedResponsesAreRefusedAndTheConnectionClosed(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, raw := range map[string]string{
		"not HTTP":                  "SSH-2.0-OpenSSH\r\n\r\n",
		"blank line first":          "\r\n" + empty,
		"HTTP/2":                    "HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.2":                  "HTTP/1.2 200 OK\r\n\r\n",
		"lower-case http":           "http/1.1 200 OK\r\n\r\n",
		"two digits":                "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":               "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":                "HTTP/1.1 099 OK\r\n\r\n",
		"signed status":             "HTTP/1.1 +20 OK\r\n\r\n",
		"two spaces":                "HTTP/1.1  200 OK\r\n\r\n",
		"tab":                       "HTTP/1.1\t200 OK\r\n\r\n",
		"control in reason":         "HTTP/1.1 200 O\x01K\r\n\r\n",
		"bare CR in reason":         "HTTP/1.1 200 O\rK\r\n\r\n",
		"bare LF ends status":       "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"bare LF ends field":        ok + "Content-Length: 0\n\r\n",
		"bare LF ends head":         ok + "Content-Length: 0\r\n\n",
		"bare CR in value":          ok + "A: b\rc\r\nContent-Length: 0\r\n\r\n",
		"NUL in value":              ok + "A: b\x00c\r\nContent-Length: 0\r\n\r\n",
		"DEL in value":              ok + "A: b\x7fc\r\nContent-Length: 0\r\n\r\n",
		"NUL in name":               ok + "A\x00: b\r\nContent-Length: 0\r\n\r\n",
		"space before colon":        ok + "Content-Length : 0\r\n\r\n",
		"space in name":             ok + "A B: c\r\nContent-Length: 0\r\n\r\n",
		"empty name":                ok + ": c\r\nContent-Length: 0\r\n\r\n",
		"no colon":                  ok + "ABC\r\nContent-Length: 0\r\n\r\n",
		"umlaut in name":            ok + "\xc3\x84: c\r\nContent-Length: 0\r\n\r\n",
		"obs-fold":                  ok + "A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"obs-fold with tab":         ok + "A: b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
		"obs-fold with a colon":     ok + "A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n",
		"folded first field":        ok + " A: b\r\nContent-Length: 0\r\n\r\n",
		"CL and TE":                 ok + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE and CL":                 ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"CLs differ":                ok + "Content-Length: 0\r\nContent-Length: 1\r\n\r\n",
		"CL list":                   ok + "Content-Length: 0, 0\r\n\r\n",
		"CL +":                      ok + "Content-Length: +0\r\n\r\n",
		"CL -":                      ok + "Content-Length: -0\r\n\r\n",
		"CL empty":                  ok + "Content-Length: \r\n\r\n",
		"CL hex":                    ok + "Content-Length: 0x0\r\n\r\n",
		"CL underscore":             ok + "Content-Length: 1_0\r\n\r\n",
		"CL overflow":               ok + "Content-Length: 9223372036854775808\r\n\r\n",
		"CL on HEAD-like 204 bad":   "HTTP/1.1 204 No\r\nContent-Length: x\r\n\r\n",
		"TE identity":               ok + "Transfer-Encoding: identity\r\n\r\n",
		"TE gzip":                   ok + "Transfer-Encoding: gzip\r\n\r\n",
		"TE gzip, chunked":          ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"TE chunked, gzip":          ok + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
		"TE twice":                  ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE xchunked":               ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"TE vertical tab":           ok + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
		"TE in HTTP/1.0":            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"101 unasked":               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"101 interim responses":     strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 101) + empty,
		"malformed after 103":       "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 abc\r\n\r\n",
		"obs-fold in a long head":   ok + "A: " + strings.Repeat("b", 5000) + "\r\n c\r\n\r\n",
		"bare LF in a long head":    ok + "A: " + strings.Repeat("b", 5000) + "\n\r\n",
		"bare CR, then LF, no head": "HTTP/1.1 200 OK\r\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan bool, 2)
			s := serve(t, func(p *peer) {
				if p.head() == "" {
					return
				}
				p.say(raw)
				p.br.ReadByte()
				closed <- true
			})
			tr := newTransport(t, egress.Settings{})
			var h hooks
			body := &replayed{data: strings.NewReader("")}
			req := newRequest(t, "POST", "http://"+s.addr+"/?secret", body)
			_, err := tr.RoundTrip(h.on(req))
			e := wantError(t, err, egress.Malformed, true)
			if strings.Contains(e.Error(), "secret") {
				t.Errorf("the error quotes the query: %v", e)
			}
			if h.wrote.Load() != 1 {
				t.Errorf("WroteHeaders %d times", h.wrote.Load())
			}
			<-closed
			replay(t, body)
		})
	}
}

func TestWellFormedResponses(t *testing.T) {
	type want struct {
		status, proto string
		header        http.Header
		length        int64
		body          string
		reuse         bool
	}
	h := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(kv); i += 2 {
			h[kv[i]] = append(h[kv[i]], kv[i+1])
		}
		return h
	}
	long := strings.Repeat("v", 20000)
	for _, c := range []struct {
		name, method, raw string
		want
	}{
		{"plain", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
			want{"200 OK", "HTTP/1.1", h("Content-Length", "5"), 5, "hello", true}},
		{"no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
			want{"200 ", "HTTP/1.1", h("Content-Length", "0"), 0, "", true}},
		{"no reason, no space", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
			want{"200", "HTTP/1.1", h("Content-Length", "0"), 0, "", true}},
		{"status 999", "GET", "HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n",
			want{"999 Denied", "HTTP/1.1", h("Content-Length", "0"), 0, "", true}},
		{"two cookies, raw bytes, OWS, order", "GET", "HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nX-Raw:\t caf\xe9 \"x\"\t \r\nSET-COOKIE:b=2\r\nX-Empty:\r\nContent-length:0\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h("Set-Cookie", "a=1; Path=/", "X-Raw", "caf\xe9 \"x\"", "Set-Cookie", "b=2", "X-Empty", "", "Content-Length", "0"), 0, "", true}},
		{"repeated CL", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.1", h("Content-Length", "2"), 2, "hi", true}},
		{"HEAD keeps its length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h("Content-Length", "12345"), 12345, "", true}},
		{"HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h(), -1, "", true}},
		{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h(), -1, "", true}},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n",
			want{"204 No Content", "HTTP/1.1", h(), 0, "", true}},
		{"204 with length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
			want{"204 No Content", "HTTP/1.1", h("Content-Length", "7"), 7, "", true}},
		{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nEtag: x\r\n\r\n",
			want{"304 Not Modified", "HTTP/1.1", h("Content-Length", "7", "Etag", "x"), 7, "", true}},
		{"Content-Encoding untouched", "GET", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
			want{"200 OK", "HTTP/1.1", h("Content-Encoding", "gzip", "Content-Length", "2"), 2, "\x1f\x8b", true}},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n00A;ext=\"q\"\r\n0123456789\r\n0\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h(), -1, "abc0123456789", true}},
		{"until close", "GET", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end",
			want{"200 OK", "HTTP/1.1", h("X", "y"), -1, "to the end", false}},
		{"Connection: close", "GET", "HTTP/1.1 200 OK\r\nConnection: Foo, Close\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.1", h("Connection", "Foo, Close", "Content-Length", "2"), 2, "hi", false}},
		{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.0", h("Content-Length", "2"), 2, "hi", false}},
		{"HTTP/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.0", h("Connection", "keep-alive", "Content-Length", "2"), 2, "hi", true}},
		{"HTTP/1.0 until close", "GET", "HTTP/1.0 200 OK\r\n\r\nhi",
			want{"200 OK", "HTTP/1.0", h(), -1, "hi", false}},
		{"bytes behind the response", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
			want{"200 OK", "HTTP/1.1", h("Content-Length", "2"), 2, "hi", false}},
		{"bytes behind a bodyless response", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.1", h("Content-Length", "2"), 2, "", false}},
		{"Keep-Alive: timeout=1 is too short", "GET", "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=1\r\nContent-Length: 0\r\n\r\n",
			want{"200 OK", "HTTP/1.1", h("Keep-Alive", "max=5, timeout=1", "Content-Length", "0"), 0, "", false}},
		{"long head", "GET", "HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\nContent-Length: 2\r\n\r\nhi",
			want{"200 OK", "HTTP/1.1", h("X-Long", long, "Content-Length", "2"), 2, "hi", true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(p *peer) {
				for p.head() != "" {
					p.say(c.raw)
					if !c.reuse {
						return
					}
				}
			})
			tr := newTransport(t, egress.Settings{})
			for range 2 {
				var k hooks
				req := k.on(newRequest(t, c.method, "http://"+s.addr+"/", nil))
				resp, body := fetch(t, tr, req)
				if resp.Status != c.status || resp.Proto != c.proto || resp.ProtoMajor != 1 || resp.ContentLength != c.length || body != c.body {
					t.Errorf("%q %s, length %d, body %q; want %+v", resp.Status, resp.Proto, resp.ContentLength, body, c.want)
				}
				if !maps.EqualFunc(resp.Header, c.header, slices.Equal) {
					t.Errorf("header %q, want %q", resp.Header, c.header)
				}
				if resp.Request != req || resp.TLS != nil || resp.Uncompressed {
					t.Error("Request, TLS or Uncompressed is wrong")
				}
				if k.wrote.Load() != 1 || k.first.Load() != 1 || len(k.gotConn) != 1 {
					t.Errorf("hooks: %+v", &k)
				}
			}
			if n, want := s.accepted.Load(), map[bool]int32{true: 1, false: 2}[c.reuse]; n != want {
				t.Errorf("%d connections, want %d", n, want)
			}
		})
	}
}

// The same bytes, but one at a time.
func TestResponsesInSingleBytes(t *testing.T) {
	const raw = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;x\r\n, \r\n5\r\nworld\r\n0\r\nX-T: y\r\n\r\n"
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			for i := range raw {
				p.say(raw[i : i+1])
			}
		}
	})
	tr := newTransport(t, egress.Settings{})
	for range 3 {
		var h hooks
		resp, body := fetch(t, tr, h.on(newRequest(t, "GET", "http://"+s.addr+"/", nil)))
		if body != "hello, world" || resp.Trailer.Get("X-T") != "y" || !slices.Equal(h.interim, []int{103}) {
			t.Errorf("%q %v %v", body, resp.Trailer, h.interim)
		}
	}
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The header of an interim response belongs to who was told of it: the final one
// takes nothing from it.
func TestHeaderOfAnInterimResponseMayBeKept(t *testing.T) {
	s := serve(t, answer("HTTP/1.1 103 Early Hints\r\nLink: a\r\nLink: b\r\n\r\nHTTP/1.1 204 No Content\r\nVary: c\r\nLink: d\r\n\r\n"))
	var hints http.Header
	req := newRequest(t, "GET", "http://"+s.addr+"/", nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { hints = http.Header(h); return nil },
	}))
	resp, _ := fetch(t, newTransport(t, egress.Settings{}), req)
	if want := (http.Header{"Link": {"a", "b"}}); !maps.EqualFunc(hints, want, slices.Equal[[]string]) {
		t.Errorf("the hints are %v now, want %v", hints, want)
	}
	if want := (http.Header{"Vary": {"c"}, "Link": {"d"}}); !maps.EqualFunc(resp.Header, want, slices.Equal[[]string]) {
		t.Errorf("the answer's header is %v, want %v", resp.Header, want)
	}
}

func TestHeaderSectionIsBounded(t *testing.T) {
	for name, raw := range map[string]string{
		"one long line": "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 70000) + "\r\n\r\n",
		"many lines":    "HTTP/1.1 200 OK\r\n" + strings.Repeat("Aaaa: bbbb\r\n", 7000) + "\r\n",
		"no line end":   "HTTP/1.1 200 " + strings.Repeat("O", 70000),
		"many fields":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("A:\r\n", 5000) + "\r\n",
	} {
		s := serve(t, func(p *peer) {
			p.head()
			p.say(raw)
			p.br.ReadByte()
		})
		tr := newTransport(t, egress.Settings{MaxHeaderBytes: 64 << 10})
		_, err := tr.RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
		t.Log(name)
		wantError(t, err, egress.HeaderTooLarge, true)
	}
	t.Run("trailers", func(t *testing.T) {
		s := serve(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("b", 70000) + "\r\n\r\n")
			p.br.ReadByte()
		})
		resp, err := newTransport(t, egress.Settings{MaxHeaderBytes: 64 << 10}).RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(resp.Body)
		wantError(t, err, egress.HeaderTooLarge, true)
	})
}

func TestTrailersArriveAnnouncedOrNot(t *testing.T) {
	s := serve(t, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum, X-Never, Content-Length, X-A;q=1\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\nX-Sum: 2\r\nX-Extra: 3\r\nContent-Length: 99\r\n\r\n"))
	tr := newTransport(t, egress.Settings{})
	for range 2 {
		resp, err := tr.RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := resp.Trailer["X-Sum"]; !ok || len(resp.Trailer) != 2 || len(resp.Trailer["X-Sum"]) != 0 {
			t.Errorf("announced: %v", resp.Trailer)
		}
		if _, ok := resp.Header["Trailer"]; ok {
			t.Error("Trailer is still in the header")
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := resp.Trailer; !slices.Equal(got["X-Sum"], []string{"1", "2"}) || got.Get("X-Extra") != "3" || len(got) != 3 {
			t.Errorf("trailers %v", got)
		}
	}
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestFaultyChunksEndTheBodyWithAnError(t *testing.T) {
	for name, c := range map[string]struct {
		chunks string
		kind   egress.Kind
	}{
		"no size":             {"\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"not hex":             {"g\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"0x":                  {"0x3\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"sign":                {"+3\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"leading space":       {" 3\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"trailing space":      {"3 \r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"text behind":         {"3 x\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"bare LF":             {"3\nabc\r\n0\r\n\r\n", egress.Malformed},
		"bare LF behind data": {"3\r\nabc\n0\r\n\r\n", egress.Malformed},
		"overflow":            {"10000000000000003\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"longer than size":    {"3\r\nabcd\r\n0\r\n\r\n", egress.Malformed},
		"CR in extension":     {"3;a\rb\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"NUL in extension":    {"3;a\x00\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"endless extension":   {"3;" + strings.Repeat("x", 5000) + "\r\nabc\r\n0\r\n\r\n", egress.Malformed},
		"overhead":            {strings.Repeat("1;"+strings.Repeat("x", 1000)+"\r\na\r\n", 20) + "0\r\n\r\n", egress.Malformed},
		"bad trailer":         {"3\r\nabc\r\n0\r\nX y\r\n\r\n", egress.Malformed},
		"folded trailer":      {"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", egress.Malformed},
		"cut in size":         {"3\r\nabc\r\n5", egress.Truncated},
		"cut in data":         {"3\r\nab", egress.Truncated},
		"cut behind data":     {"3\r\nabc\r", egress.Truncated},
		"no last chunk":       {"3\r\nabc\r\n", egress.Truncated},
		"cut in trailers":     {"3\r\nabc\r\n0\r\n", egress.Truncated},
		"nothing":             {"", egress.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(p *peer) {
				p.head()
				p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + c.chunks)
			})
			resp, err := newTransport(t, egress.Settings{}).RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			wantError(t, err, c.kind, true)
			if c.kind == egress.Truncated && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is not io.ErrUnexpectedEOF", err)
			}
			if !strings.HasPrefix("abcaaaaaaaaaaaaaaaaaaaa", string(b)) && !strings.HasPrefix(string(b), "aaa") {
				t.Errorf("data %q", b)
			}
			if _, again := resp.Body.Read(make([]byte, 1)); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

func TestTruncatedBodyIsNeverACleanEnd(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"FIN": func(p *peer) { p.Close() },
		"RST": func(p *peer) { p.br.ReadByte(); p.reset() },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(p *peer) {
				p.head()
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
				end(p)
			})
			body := &replayed{data: io.MultiReader(strings.NewReader("x"))}
			req := newRequest(t, "POST", "http://"+s.addr+"/", body)
			req.ContentLength = 1
			resp, err := newTransport(t, egress.Settings{}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			wantError(t, err, egress.Truncated, true)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is not io.ErrUnexpectedEOF", err)
			}
		})
	}
}

// Chunks are passed on as they come: the peer waits for each to be seen.
func TestEventStreamIsNotHeldBack(t *testing.T) {
	seen := make(chan bool)
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			p.say("6\r\ndata\n\n\r\n")
			<-seen
		}
		p.say("0\r\n\r\n")
	})
	resp, err := newTransport(t, egress.Settings{}).RoundTrip(newRequest(t, "GET", "http://"+s.addr+"/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 100)
	for range 3 {
		n, err := io.ReadFull(resp.Body, buf[:6])
		if err != nil || string(buf[:n]) != "data\n\n" {
			t.Fatalf("%q %v", buf[:n], err)
		}
		seen <- true
	}
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("%d %v", n, err)
	}
}

// Repeated fields keep their order, whatever stands between them, in any number.
func TestFieldsOfOneNameAreOneList(t *testing.T) {
	var head strings.Builder
	want := make(http.Header)
	for i := range 100 {
		name, value := fmt.Sprintf("X-Name-%d", i%37), strconv.Itoa(i)
		fmt.Fprintf(&head, "%s: %s\r\n", name, value)
		want[name] = append(want[name], value)
	}
	s := serve(t, answer("HTTP/1.1 204 No Content\r\n"+head.String()+"\r\n"))
	resp, _ := get(t, newTransport(t, egress.Settings{}), "http://"+s.addr+"/")
	if !maps.EqualFunc(resp.Header, want, slices.Equal[[]string]) {
		t.Errorf("got %v, want %v", resp.Header, want)
	}
}

// Much of an answer is the same as in those before it, and known: each is what the peer
// has said, however often, and whatever was done with the others.
func TestAnswersThatAreAlikeAreNotEachOthers(t *testing.T) {
	s := serve(t, func(p *peer) {
		for n := 1; p.head() != ""; n++ {
			p.say("HTTP/1.1 200 OK\r\nServer: test\r\nX-Count: " + strconv.Itoa(n/300) + "\r\nVary: a\r\nVary: b\r\nContent-Length: 0\r\n\r\n")
		}
	})
	tr := newTransport(t, egress.Settings{})
	var kept []http.Header
	for n := 1; n <= 900; n++ { // several precedents
		resp, _ := get(t, tr, "http://"+s.addr+"/")
		want := http.Header{"Server": {"test"}, "X-Count": {strconv.Itoa(n / 300)}, "Vary": {"a", "b"}, "Content-Length": {"0"}}
		if resp.Status != "200 OK" || !maps.EqualFunc(resp.Header, want, slices.Equal[[]string]) {
			t.Fatalf("answer %d: %s %q, want %q", n, resp.Status, resp.Header, want)
		}
		if n%2 == 0 { // its owner does as he likes
			for name, values := range resp.Header {
				values[0] = "changed"
				resp.Header[name] = append(values, "more")
			}
			resp.Header.Set("X-More", "more")
			delete(resp.Header, "Vary")
			kept = append(kept, resp.Header)
		}
	}
	for _, h := range kept {
		if len(h) != 4 || h["Server"][0] != "changed" || h["X-Count"][0] != "changed" {
			t.Fatalf("%q is not what its owner has made of it", h)
		}
	}
	if s.accepted.Load() != 1 {
		t.Errorf("%d connections", s.accepted.Load())
	}
}
