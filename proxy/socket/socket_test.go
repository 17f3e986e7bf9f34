package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"outrider/proxy/socket"
)

// pair is a connection over loopback, and its other end.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func writer(c net.Conn) *socket.Writer { return socket.NewWriter(c, socket.Raw(c)) }

func TestAllIsWrittenThoughTheOtherEndReadsLate(t *testing.T) {
	near, far := pair(t)
	w := writer(near)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<10) // as much as goes at once
	const pieces = 1000                                      // which no buffer of a socket has room for
	done := make(chan error, 1)
	go func() {
		for range pieces {
			if n, err := w.Write(piece); n != len(piece) || err != nil {
				done <- err
				return
			}
		}
		done <- near.Close()
	}()
	got, err := io.ReadAll(far)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Repeat(piece, pieces)) {
		t.Errorf("%d bytes arrived that are not those that were written", len(got))
	}
}

// What is more than goes at once goes through the connection, and stays in order.
func TestLargeAndSmallWritesStayInOrder(t *testing.T) {
	near, far := pair(t)
	w := writer(near)
	var want []byte
	for _, n := range []int{1, 100_000, 0, 5, 17 << 10, 17<<10 + 1, 3} {
		want = append(want, bytes.Repeat([]byte{byte(n)}, n)...)
	}
	go func() {
		for _, n := range []int{1, 100_000, 0, 5, 17 << 10, 17<<10 + 1, 3} {
			_, _ = w.Write(bytes.Repeat([]byte{byte(n)}, n))
		}
		near.Close()
	}()
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The errors are those of the connection, whose words and kinds others go by.
func TestErrorsAreThoseOfTheConnection(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(near, far net.Conn)
		is   error
	}{
		{"closed", func(near, _ net.Conn) { near.Close() }, net.ErrClosed},
		{"shut down", func(near, _ net.Conn) { _ = near.(*net.TCPConn).CloseWrite() }, syscall.EPIPE},
		{"deadline", func(near, _ net.Conn) { _ = near.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"deadline while it waits", func(near, _ net.Conn) { _ = near.SetWriteDeadline(time.Now().Add(time.Second / 10)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := pair(t)
			test.harm(near, far)
			var err error
			for w := writer(near); err == nil; { // nobody reads: the buffers fill up
				var n int
				if n, err = w.Write(make([]byte, 16<<10)); n == 16<<10 && err != nil {
					t.Errorf("all is written, and %v", err)
				}
			}
			if !errors.Is(err, test.is) {
				t.Fatalf("%v, want %v", err, test.is)
			}
			_, want := near.Write(make([]byte, 16<<10))
			if err.Error() != want.Error() {
				t.Errorf("%q, the connection says %q", err, want)
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() != (test.is == os.ErrDeadlineExceeded) {
				t.Errorf("Timeout() is %v", timeout.Timeout())
			}
		})
	}
}

func TestConnectionThatIsNoSocketIsWrittenToAsItIs(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = writer(near).Write([]byte("hello"))
		near.Close()
	}()
	if got, err := io.ReadAll(far); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A call waits in none of them, and each of its writes costs no allocation.
func TestWriteAllocatesNothing(t *testing.T) {
	near, far := pair(t)
	w, p := writer(near), []byte("0123456789")
	go func() { _, _ = io.Copy(io.Discard, far) }()
	if n := testing.AllocsPerRun(100, func() { _, _ = w.Write(p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func reader(c net.Conn) *socket.Reader { return socket.NewReader(c, socket.Raw(c)) }

func TestAllIsReadThoughItComesLate(t *testing.T) {
	near, far := pair(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go func() {
		for rest := want; len(rest) > 0; rest = rest[1<<12:] {
			_, _ = far.Write(rest[:1<<12])
		}
		far.Close()
	}()
	r := reader(near)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
}

func TestErrorsOfReadsAreThoseOfTheConnection(t *testing.T) {
	for _, test := range []struct {
		name string
		harm func(near, far net.Conn)
		is   error
	}{
		{"closed", func(near, _ net.Conn) { near.Close() }, net.ErrClosed},
		{"closed while it waits", func(near, _ net.Conn) { time.AfterFunc(time.Second/10, func() { near.Close() }) }, net.ErrClosed},
		{"deadline", func(near, _ net.Conn) { _ = near.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"deadline while it waits", func(near, _ net.Conn) { _ = near.SetReadDeadline(time.Now().Add(time.Second / 10)) }, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			near, far := pair(t)
			test.harm(near, far)
			n, err := reader(near).Read(make([]byte, 1))
			if n != 0 || !errors.Is(err, test.is) {
				t.Fatalf("%d bytes, %v, want %v", n, err, test.is)
			}
			if _, want := near.Read(make([]byte, 1)); err.Error() != want.Error() {
				t.Errorf("%q, the connection says %q", err, want)
			}
		})
	}
}

// The other end leaves with something unread, which is a reset, and told once.
func TestResetIsReadAsTheConnectionTellsIt(t *testing.T) {
	told := func(of func(net.Conn) io.Reader) error {
		near, far := pair(t)
		if _, err := near.Write([]byte("never read")); err != nil {
			t.Fatal(err)
		}
		if err := far.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		far.Close()
		_, err := of(near).Read(make([]byte, 1))
		var op *net.OpError
		if !errors.As(err, &op) || !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("%v is no reset", err)
		}
		op.Source, op.Addr = nil, nil // the ports differ
		return op
	}
	got := told(func(c net.Conn) io.Reader { return reader(c) })
	if want := told(func(c net.Conn) io.Reader { return c }); got.Error() != want.Error() {
		t.Errorf("%q, the connection says %q", got, want)
	}
}

func TestConnectionThatIsNoSocketIsReadFromAsItIs(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = far.Write([]byte("hello"))
		far.Close()
	}()
	if got, err := io.ReadAll(reader(near)); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A tunnel waits in it, and each of its reads costs no allocation.
func TestReadAllocatesNothing(t *testing.T) {
	near, far := pair(t)
	r, p := reader(near), make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = far.Write(p)
		_, _ = r.Read(p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Beside the connection's own: what the announcement of a system call costs. What the waking
// of sysmon costs shows only in a process that rests in between.
func BenchmarkWrite(b *testing.B) {
	for _, way := range []struct {
		name string
		of   func(net.Conn) io.Writer
	}{
		{"socket", func(c net.Conn) io.Writer { return writer(c) }},
		{"net", func(c net.Conn) io.Writer { return c }},
	} {
		b.Run(way.name, func(b *testing.B) {
			near, far := pair(b)
			go func() { _, _ = io.Copy(io.Discard, far) }()
			w, p := way.of(near), make([]byte, 1024)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = w.Write(p)
			}
		})
	}
}
