package egress

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

// lastMinute is a proxy whose answer comes together with the context's end.
type lastMinute struct {
	bytesConn
	end func()
}

func (c lastMinute) Read(p []byte) (int, error) {
	defer c.end()
	return c.bytesConn.Read(p)
}

// The connection's deadline is in the past then, or will be at any moment: it is
// no tunnel that could be used.
func TestTunnelThatOpensAsTheContextEnds(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(context.Background())
	nc := lastMinute{bytesConn{bytes.NewReader([]byte("HTTP/1.1 200 OK\r\n\r\n"))}, func() { cancel(why) }}
	p, err := ParseProxy("proxy.test:3128")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := p.tunnel(ctx, nc, "api.test:443", time.Minute); c != nil || !errors.Is(err, why) {
		t.Errorf("%v, %v", c, err)
	}
}
