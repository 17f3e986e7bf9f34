package egress

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
	"testing"
)

// A tape is a connection that keeps what is written to it.
type tape struct {
	net.Conn
	mu      sync.Mutex
	written []byte
}

func (t *tape) Write(p []byte) (int, error) {
	if len(p) > oneRecord {
		runtime.Gosched() // lets a small one pass, if it can
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written = append(t.written, p...)
	return len(p), nil
}

// The goroutine that reads has records of TLS to write, too, while another's are
// held or about to be: they reach the socket in the order in which TLS made them.
func TestRecordsOfTwoGoroutinesKeepTheirOrder(t *testing.T) {
	wire := new(tape)
	g := &gatherer{Conn: wire}
	var tls sync.Mutex // is held by crypto/tls while it makes and writes a record
	var made uint32
	record := func(n int) {
		p := make([]byte, n)
		for i := 0; i < n; i += 4 {
			binary.BigEndian.PutUint32(p[i:], made)
		}
		made++
		if _, err := g.Write(p); err != nil {
			t.Error(err)
		}
	}
	var reader sync.WaitGroup
	done := make(chan struct{})
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				tls.Lock()
				record(32)
				tls.Unlock()
			}
		}
	})
	for round := range 50 {
		g.hold()
		tls.Lock()
		for range 2 + round%2 { // the third is more than is held
			record(oneRecord)
		}
		tls.Unlock()
		if err := g.flush(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	reader.Wait()
	for i, last := 0, uint32(0); i < len(wire.written); i += 4 {
		n := binary.BigEndian.Uint32(wire.written[i:])
		if n != last && n != last+1 {
			t.Fatalf("record %d follows record %d", n, last)
		}
		last = n
	}
}
