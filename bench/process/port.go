package process

import (
	"errors"
	"net"
	"strconv"
	"sync/atomic"
)

// Ports gives ports of 127.0.0.1, each one once. They are below those that the kernel
// gives to outgoing connections, of which thousands are made here, so that one stays free
// until it is used. The zero value is ready.
type Ports struct{ given atomic.Int32 }

// The ports that Next chooses from.
const firstPort, lastPort = 18000, 30000

// Next is a free port.
func (p *Ports) Next() (int, error) {
	for {
		port := firstPort + int(p.given.Add(1))
		if port > lastPort {
			return 0, errors.New("there is no free port from 18000 to 30000")
		}
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
}
