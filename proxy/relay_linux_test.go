package proxy

import (
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// A process that may open nothing more has no pipe to splice through. A tunnel that is under
// way goes on by a buffer: it once ended in the middle, and looked whole.
func TestTunnelGoesOnWithoutAPipe(t *testing.T) {
	application, client := tcpPair(t)
	upstream, provider := tcpPair(t)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var open []*os.File
	least := limit
	least.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &least); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
		for _, f := range open {
			f.Close()
		}
	}()
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		open = append(open, f)
	}
	go func() {
		relay(client, nil, upstream, time.Minute)
		client.Close()
		upstream.Close()
	}()
	go func() {
		_, _ = provider.Write(make([]byte, 1<<20))
		_ = provider.(*net.TCPConn).CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, application); n != 1<<20 || err != nil {
		t.Errorf("%d of %d bytes came, %v", n, 1<<20, err)
	}
}
