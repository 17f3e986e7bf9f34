package egress_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

func TestUpgradeGivesTheConnectionAway(t *testing.T) {
	handle := func(p *peer) {
		head := p.head()
		if !strings.Contains(head, "Connection: Upgrade\r\n") || !strings.Contains(head, "Upgrade: echo\r\n") {
			t.Errorf("head %q", head)
		}
		p.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
		io.Copy(p.Conn, p.br)
		p.say("bye")
	}
	for name, server := range map[string]func() string{
		"http": func() string { return "http://" + serve(t, handle).addr },
		// The server would take HTTP/2: an upgrade does not offer it.
		"https": func() string { return "https://" + serveTLS(t, serverTLS("h2", "http/1.1"), handle).addr },
	} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, "GET", server()+"/", nil)
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
			resp, err := newTransport(t, egress.Settings{CAFile: caFile(t)}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != 101 || resp.Proto != "HTTP/1.1" || resp.Header.Get("Upgrade") != "echo" {
				t.Errorf("%+v", resp)
			}
			rwc, ok := resp.Body.(io.ReadWriteCloser)
			if !ok {
				t.Fatalf("body is %T", resp.Body)
			}
			buf := make([]byte, 100)
			if n, err := io.ReadFull(rwc, buf[:5]); err != nil || string(buf[:n]) != "early" {
				t.Fatalf("%q %v", buf[:n], err)
			}
			for range 3 {
				io.WriteString(rwc, "ping")
				if n, err := io.ReadFull(rwc, buf[:4]); err != nil || string(buf[:n]) != "ping" {
					t.Fatalf("%q %v", buf[:n], err)
				}
			}
			if err := rwc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(rwc); err != nil || string(b) != "bye" {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

func TestUpgradeIsGovernedByTheContextAndByClose(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		p.br.ReadByte()
	})
	why := errors.New("why")
	for _, canceled := range []bool{true, false} {
		ctx, cancel := context.WithCancelCause(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+s.addr+"/", nil)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"x"}}
		resp, err := newTransport(t, egress.Settings{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error)
		go func() {
			_, err := resp.Body.Read(make([]byte, 1))
			read <- err
		}()
		if canceled {
			cancel(why)
			err := <-read
			wantError(t, err, egress.Canceled, true)
			if !errors.Is(err, why) {
				t.Error(err)
			}
			resp.Body.Close()
		} else {
			resp.Body.Close()
			if err := <-read; err == nil || err == io.EOF {
				t.Error(err)
			}
		}
		cancel(nil)
	}
}

func TestUpgradeThatIsDeclinedIsAnOrdinaryAnswer(t *testing.T) {
	s := serve(t, answer(hello))
	tr := newTransport(t, egress.Settings{})
	for range 2 {
		req := newRequest(t, "GET", "http://"+s.addr+"/", nil)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"x"}}
		if _, body := fetch(t, tr, req); body != "hello" {
			t.Errorf("%q", body)
		}
	}
	if n := s.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
