package upstream

import (
	"io"
	"net"
	"time"
)

// relay takes connections to target over a path of that round-trip time: what is read is
// delivered half of it later, in each direction, and what the client says first waits
// another one, as it would for the handshake of TCP. The kernel's own way to delay
// (netem) needs rights and a module that a machine need not have. It ends with listener.
func relay(listener net.Listener, target string, roundTrip time.Duration) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go join(client, target, roundTrip)
	}
}

func join(client net.Conn, target string, roundTrip time.Duration) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	connected := time.Now().Add(roundTrip)
	go carry(server, client, roundTrip/2, connected.Add(roundTrip/2))
	carry(client, server, roundTrip/2, time.Time{})
}

// A chunk is some bytes on their way, or the end of a direction if there are none.
type chunk struct {
	data []byte
	due  time.Time
}

// carry moves bytes from one connection to the other, each delay after it came and none
// before begin.
func carry(to, from net.Conn, delay time.Duration, begin time.Time) {
	way := make(chan chunk, 4096)
	go deliver(to, way)
	defer close(way)
	for {
		data := make([]byte, 16<<10)
		n, err := from.Read(data)
		due := time.Now().Add(delay)
		if due.Before(begin) {
			due = begin
		}
		if n > 0 {
			way <- chunk{data[:n], due}
		}
		if err != nil {
			way <- chunk{due: due}
			return
		}
	}
}

func deliver(to net.Conn, way <-chan chunk) {
	for c := range way {
		time.Sleep(time.Until(c.due))
		if c.data == nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			continue
		}
		if _, err := to.Write(c.data); err != nil {
			_, _ = io.Copy(io.Discard, to)
		}
	}
}
