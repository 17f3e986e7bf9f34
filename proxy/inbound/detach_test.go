package inbound_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/proxy/inbound"
)

// switchProtocols detaches the connection as proxies of Outrider do, and echoes
// every byte that follows the request until the client is done.
func switchProtocols(t *testing.T, w http.ResponseWriter, answer string) {
	early, conn, err := inbound.Detach(w)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		t.Errorf("Detach returns a %T", conn)
		return
	}
	_, _ = io.WriteString(conn, answer+"\r\n\r\n")
	_, _ = conn.Write(early)
	_, _ = io.Copy(conn, conn)
	_ = socket.CloseWrite()
}

func serveSwitching(t *testing.T) *server {
	return serve(t, func(s *inbound.Settings) {
		echo := s.Handler
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, refused := inbound.Violation(r)
			switch {
			case refused || r.Header.Get("Decline") != "":
				echo.ServeHTTP(w, r)
			case r.Method == http.MethodConnect:
				switchProtocols(t, w, "HTTP/1.1 200 OK")
			case r.Header.Get("Upgrade") != "":
				_, _ = io.Copy(io.Discard, r.Body)
				switchProtocols(t, w, "HTTP/1.1 101 Switching Protocols")
			default:
				echo.ServeHTTP(w, r)
			}
		})
	})
}

// Bytes that a client sends right behind its CONNECT or Upgrade head, in the same
// packet or in another, are no HTTP. Every one must come out, in order.
func TestEarlyBytesSurviveTheSwitch(t *testing.T) {
	requests := map[string]string{
		"connect":           head("CONNECT a.test:443 HTTP/1.1", "Host: a.test:443"),
		"upgrade":           head("GET /ws HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: upgrade"),
		"upgrade with body": head("POST /ws HTTP/1.1", "Host: a", "Upgrade: x", "Connection: upgrade", "Content-Length: 2") + "hi",
		"upgrade, chunked":  head("POST /ws HTTP/1.1", "Host: a", "Upgrade: x", "Connection: upgrade", "Transfer-Encoding: chunked") + "2\r\nhi\r\n0\r\n\r\n",
		"second request":    head("GET / HTTP/1.1", "Host: a") + head("CONNECT a.test:443 HTTP/1.1", "Host: a.test:443"),
	}
	early := map[string]string{
		"none":           "",
		"one byte":       "\x00",
		"ClientHello":    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"frames":         "\x81\x85\x00\x00\x00\x00hello",
		"looks like GET": head("GET /inner HTTP/1.1", "Host: b"),
		"bad HTTP":       "HEAD / HTTP/1.1\nX\n\n",
		"line ends":      "\r\n\r\n\r\n",
		"much":           strings.Repeat("\x17\x03\x03 and so on ", 20_000),
	}
	for rname, request := range requests {
		for ename, data := range early {
			for _, packets := range []int{1, 2} {
				t.Run(rname+"/"+ename, func(t *testing.T) {
					t.Parallel()
					s := serveSwitching(t)
					c := s.dial(t)
					go func() {
						if packets == 1 {
							_, _ = io.WriteString(c, request+data)
						} else {
							_, _ = io.WriteString(c, request)
							_, _ = io.WriteString(c, data)
						}
						_ = c.(*net.TCPConn).CloseWrite()
					}()
					br := bufio.NewReader(c)
					if rname == "second request" {
						resp, err := http.ReadResponse(br, nil)
						if err != nil {
							t.Fatal(err)
						}
						_, _ = io.Copy(io.Discard, resp.Body)
					}
					for line := "x"; line != "\r\n"; {
						var err error
						if line, err = br.ReadString('\n'); err != nil {
							t.Fatal(err)
						}
					}
					got, err := io.ReadAll(br)
					if string(got) != data || err != nil {
						t.Errorf("got %d bytes %.60q, want %d bytes %.60q: %v", len(got), got, len(data), data, err)
					}
				})
			}
		}
	}
}

// A declined CONNECT or Upgrade leaves an HTTP connection, which stays checked.
func TestDeclinedSwitchStaysChecked(t *testing.T) {
	s := serveSwitching(t)
	got := s.exchange(t, head("CONNECT a.test:443 HTTP/1.1", "Host: a.test:443", "Decline: 1")+
		head("GET /1 HTTP/1.1", "Host: a", "Upgrade: x", "Connection: upgrade", "Decline: 1")+
		head("GET /2 HTTP/1.1", "Host: a")+
		head("GET /3 HTTP/1.1", "Host: a", " folded"))
	if len(got) != 4 || got[2].body != "GET /2" || got[3].status != 400 {
		t.Errorf("answers: %v", got)
	}
}
