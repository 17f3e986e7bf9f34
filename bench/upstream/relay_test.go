package upstream

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelayDelaysEachChunk is exact, since time stands still where nobody waits.
func TestRelayDelaysEachChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, in := net.Pipe()
		out, to := net.Pipe()
		start := time.Now()
		go carry(out, in, 10*time.Millisecond, start.Add(30*time.Millisecond))
		go func() {
			from.Write([]byte("first"))
			time.Sleep(25 * time.Millisecond)
			from.Write([]byte("second"))
			time.Sleep(10 * time.Millisecond)
			from.Write([]byte("third"))
			from.Close()
		}()
		for _, want := range []struct {
			text string
			at   time.Duration
		}{{"first", 30 * time.Millisecond}, {"second", 35 * time.Millisecond}, {"third", 45 * time.Millisecond}} {
			got := make([]byte, len(want.text))
			if _, err := io.ReadFull(to, got); err != nil || string(got) != want.text || time.Since(start) != want.at {
				t.Errorf("%q, %v, came after %v; want %q after %v", got, err, time.Since(start), want.text, want.at)
			}
		}
		to.Close()
	})
}
