package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"
)

// accepted is a connection to a listener of ours, as a server sees it.
func accepted(t *testing.T, s *Server, network, address string) *peer {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial(network, listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return peerOf(httptest.NewRequestWithContext(s.connContext(t.Context(), conn), "GET", "/", nil))
}

func TestCallerIsTheProcessAtTheOtherEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	want := "process " + strconv.Itoa(os.Getpid())
	for _, at := range [][2]string{{"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"}, {"tcp", ":0"}, {"unix", filepath.Join(t.TempDir(), "s")}} {
		s := &Server{}
		p := accepted(t, s, at[0], at[1])
		var asking sync.WaitGroup
		for range 20 {
			asking.Go(func() {
				if got := p.caller(); got != want {
					t.Errorf("at %s it is %q, want %q", at[1], got, want)
				}
			})
		}
		asking.Wait()
	}
}

// A look at all processes is dear: with many short connections it must not become
// all that we do.
func TestProcessesAreLookedForATenthOfTheTimeAtMost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	s := &Server{}
	first := accepted(t, s, "tcp", "127.0.0.1:0")
	first.caller()
	s.processes.credit = -time.Hour
	second := accepted(t, s, "tcp", "127.0.0.1:0")
	if got := second.caller(); got != "127.0.0.1" {
		t.Errorf("without another look it is %q", got)
	}
	s.processes.credit = time.Second
	if got, want := second.caller(), first.caller(); got != want {
		t.Errorf("with another look it is %q, want %q", got, want)
	}
	s.processes.seen = nil
	if got, want := second.caller(), first.caller(); got != want {
		t.Errorf("what is known was forgotten: %q", got)
	}
}

// remote is a connection from somewhere.
type remote struct {
	net.Conn
	from net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.from }

func TestCallerFromElsewhereIsItsAddress(t *testing.T) {
	s := &Server{}
	for address, want := range map[string]string{
		"192.0.2.7:1234":         "192.0.2.7",
		"[::ffff:192.0.2.7]:999": "192.0.2.7",
		"[2001:db8::1]:1":        "2001:db8::1",
	} {
		from, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(s.connContext(context.Background(), remote{from: from}), "GET", "/", nil)
		if got := peerOf(req).caller(); got != want {
			t.Errorf("from %s it is %q, want %q", address, got, want)
		}
	}
	if connOf(httptest.NewRequest(http.MethodGet, "/", nil)) != nil {
		t.Error("a request without a connection has one")
	}
}
