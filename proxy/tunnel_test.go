package proxy

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// A tunnel whose far end reads nothing stood in a write to it. Closing the
// client's end did not wake that, and the process did not end.
func TestDrainEndsATunnelThatNobodyReads(t *testing.T) {
	client, application := net.Pipe()
	upstream, deaf := net.Pipe()
	defer func() { _ = application.Close() }()
	defer func() { _ = deaf.Close() }()

	var open tunnels
	forget := open.add(client, upstream)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer forget()
		relay(client, []byte("never read"), upstream, time.Hour)
	}()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	open.drain(over)
	<-ended
}

// A CONNECT that had dialled when the tunnels were drained began its own right
// after that: nobody closed it any more, and the end was reported as one that did
// not come.
func TestTunnelThatBeginsAfterTheDrainEnds(t *testing.T) {
	var open tunnels
	open.drain(t.Context())
	client, application := net.Pipe()
	upstream, provider := net.Pipe()
	defer open.add(client, upstream)()
	for _, end := range []net.Conn{application, provider} {
		_ = end.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := end.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("an end got %v", err)
		}
	}
}
