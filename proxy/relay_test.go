package proxy

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// tunnelOf relays between two pipes and gives their far ends.
func tunnelOf(idle time.Duration) (application, provider net.Conn, ended <-chan struct{}) {
	client, application := net.Pipe()
	upstream, provider := net.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		relay(client, nil, upstream, idle)
	}()
	return application, provider, over
}

// A tunnel whose ends forgot it stayed until the process ended: neither of them
// had closed it, and nobody else could know.
func TestSilentTunnelEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		application, provider, ended := tunnelOf(time.Minute)
		<-ended
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the tunnel ended after %s", took)
		}
		for _, end := range []net.Conn{application, provider} {
			if _, err := end.Read(make([]byte, 1)); err == nil {
				t.Error("an end is still open")
			}
		}
	})
}

// Half of a tunnel that is closed says nothing about the other half, which may
// be silent as long as any.
func TestHalfOpenTunnelEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		application, provider, ended := tunnelOf(time.Minute)
		time.Sleep(10 * time.Second)
		go func() { _, _ = io.Copy(io.Discard, provider) }()
		if _, err := application.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		<-ended
		if took := time.Since(began); took != 70*time.Second {
			t.Errorf("the tunnel ended after %s", took)
		}
		_ = application.Close()
	})
}

// A deaf connection takes nothing, and says something until it is closed.
type deaf struct {
	net.Conn
	said *io.PipeReader
}

func (d *deaf) Read(p []byte) (int, error)  { return d.said.Read(p) }
func (d *deaf) Write(p []byte) (int, error) { return 0, syscall.EPIPE }
func (d *deaf) Close() error                { return d.said.Close() }

// A provider that has had enough of an upload answers, and closes on what comes still. The
// connection was closed when a write to it failed, with its answer unread.
func TestLastWordsOfAnEndThatBrokeArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, application := net.Pipe()
		words, say := io.Pipe()
		provider := &deaf{said: words}
		go func() {
			relay(client, nil, provider, time.Minute)
			_ = client.Close()
			_ = provider.Close()
		}()
		_, _ = application.Write([]byte("an upload"))
		synctest.Wait() // its write has failed
		go func() {
			_, _ = say.Write([]byte("413"))
			_ = say.Close()
		}()
		if all, _ := io.ReadAll(application); string(all) != "413" {
			t.Errorf("the application got %q", all)
		}
	})
}

// A byte in either direction is a sign of life for both.
func TestTunnelLivesAsLongAsBytesFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		application, provider, ended := tunnelOf(time.Minute)
		go func() { _, _ = io.Copy(io.Discard, application) }()
		for range 100 {
			time.Sleep(time.Minute - time.Nanosecond)
			if _, err := provider.Write([]byte("tick")); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-ended:
			t.Error("the tunnel ended although bytes came")
		default:
		}
		_ = provider.Close()
		_ = application.Close()
		<-ended
	})
}

// A side that reads slowly is not silent. While what it had not read yet stood in
// a write to it, nothing was noted, and the tunnel ended in the middle.
func TestSlowReaderIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		application, provider, ended := tunnelOf(time.Minute)
		go func() {
			_, _ = application.Write(make([]byte, plainBuffer))
			_ = application.Close()
		}()
		for range 8 {
			time.Sleep(30 * time.Second)
			if _, err := io.ReadFull(provider, make([]byte, plainBuffer/8)); err != nil {
				t.Fatal(err)
			}
		}
		_ = provider.Close()
		<-ended
	})
}

// One that reads nothing of what is there for it holds its tunnel for a while, and
// not for ever.
func TestReaderThatStallsEndsItsTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		application, provider, ended := tunnelOf(time.Minute)
		go func() { _, _ = application.Write(make([]byte, plainBuffer)) }()
		<-ended
		if took := time.Since(began); took != stalled {
			t.Errorf("the tunnel ended after %s", took)
		}
		_ = application.Close()
		_ = provider.Close()
	})
}

// Bytes pass untouched, whatever way the kernel moves them: in single ones, in
// whole buffers, and in more than is spliced at a time.
func TestTunnelPassesBytesUntouched(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, smallBuffer, smallBuffer + 1, spliceAfter, spliced + spliceAfter, 3*spliced + 7} {
		sent := make([]byte, size)
		_, _ = random.Read(sent)
		application, client := tcpPair(t)
		upstream, provider := tcpPair(t)
		var got, back []byte
		var work sync.WaitGroup
		work.Go(func() {
			relay(client, nil, upstream, time.Minute)
			_ = client.Close()
			_ = upstream.Close()
		})
		for _, way := range []struct {
			conn net.Conn
			into *[]byte
		}{{provider, &got}, {application, &back}} {
			work.Go(func() {
				_, _ = way.conn.Write(sent)
				_ = way.conn.(*net.TCPConn).CloseWrite()
			})
			work.Go(func() { *way.into, _ = io.ReadAll(way.conn) })
		}
		work.Wait()
		if !bytes.Equal(got, sent) || !bytes.Equal(back, sent) {
			t.Errorf("%d bytes were sent each way; %d and %d came", size, len(got), len(back))
		}
	}
}

// tcpPair is a connection over loopback.
func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if a, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a, b
}
