//go:build linux

package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"outrider/proxy/socket"
)

// piped is a Pipe between two connections, with the other ends of these.
func piped(t *testing.T) (p *socket.Pipe, source, from, to, sink net.Conn) {
	t.Helper()
	from, source = pair(t)
	to, sink = pair(t)
	p, err := socket.NewPipe(to, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, source, from, to, sink
}

func TestPipeMovesAllThatComesToTheEnd(t *testing.T) {
	p, source, _, to, sink := piped(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)/3) // large ones, and small ones at the end
			_, _ = source.Write(rest[:n])
			rest = rest[n:]
		}
		source.Close()
	}()
	got := make(chan []byte, 1)
	go func() {
		var all bytes.Buffer
		_, _ = io.CopyBuffer(struct{ io.Writer }{&all}, struct{ io.Reader }{sink}, make([]byte, 100)) // slower than we are
		got <- all.Bytes()
	}()
	moved := 0
	for {
		n, err := p.Move(300_000)
		if moved += n; err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		if n != 300_000 {
			t.Errorf("%d bytes at once", n)
		}
	}
	if n, err := p.Move(1); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	to.Close()
	if moved != len(want) || !bytes.Equal(<-got, want) {
		t.Errorf("%d bytes moved, of %d", moved, len(want))
	}
}

// The end of time to read loses nothing of what has come.
func TestPipeGoesOnAfterADeadline(t *testing.T) {
	p, source, from, _, sink := piped(t)
	_, _ = source.Write([]byte("first"))
	_ = from.SetReadDeadline(time.Now().Add(time.Second))
	n, err := p.Move(10)
	if timeout := net.Error(nil); n != 5 || !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	_ = from.SetReadDeadline(time.Time{})
	_, _ = source.Write([]byte("later"))
	if n, err := p.Move(5); n != 5 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	got := make([]byte, 10)
	if _, err := io.ReadFull(sink, got); err != nil || string(got) != "firstlater" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPipeIntoAConnectionThatIsClosed(t *testing.T) {
	p, source, _, to, _ := piped(t)
	_, _ = source.Write([]byte("lost"))
	to.Close()
	if n, err := p.Move(4); n != 0 || !errors.Is(err, net.ErrClosed) || p.Holds() != 4 {
		t.Errorf("%d bytes, %v, and %d are lost", n, err, p.Holds())
	}
}

func TestPipeNeedsSockets(t *testing.T) {
	near, _ := pair(t)
	other, _ := net.Pipe()
	if _, err := socket.NewPipe(near, other); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := socket.NewPipe(other, near); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestMoveAllocatesNothing(t *testing.T) {
	p, source, _, _, sink := piped(t)
	go func() { _, _ = io.Copy(io.Discard, sink) }()
	b := []byte("0123456789")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = source.Write(b)
		_, _ = p.Move(len(b))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
