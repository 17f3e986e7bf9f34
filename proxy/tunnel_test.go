package proxy

import (
	"context"
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
