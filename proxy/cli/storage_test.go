package cli

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
)

// muteDatabase lets everybody in, as a pooler that has lost its server does, and says
// nothing more.
func muteDatabase(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				// AuthenticationOk and ReadyForQuery, once the client has begun.
				if _, err := conn.Read(make([]byte, 1024)); err == nil {
					_, _ = conn.Write([]byte("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"))
				}
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// The start waited for such a database without end, and said nothing.
func TestStartDoesNotWaitForADatabaseThatIsMute(t *testing.T) {
	url := "postgres://outrider@" + muteDatabase(t) + "/tokens?sslmode=disable"
	file := &config.File{StateDir: t.TempDir(), Store: config.Store{URL: config.Reference(url)}}
	s := newStorage(file, newSecrets(), slog.New(slog.DiscardHandler))
	s.patience = 100 * time.Millisecond
	if _, err := s.keep("crm"); err != nil {
		t.Errorf("the sidecar does not start: %v", err)
	}
	if text := s.text(); !strings.Contains(text, "not open") || !strings.Contains(text, "cannot be reached") {
		t.Errorf("status says %q", text)
	}
}
