package framing

import "net"

// NewListener returns a listener whose connections are the ones that inner
// accepts, each as a [*Conn]. Hand it to http.Server.Serve; the server must not
// offer HTTP/2 without TLS (http.Server.Protocols), which this package refuses.
func NewListener(inner net.Listener, limits Limits) net.Listener {
	return &listener{inner, newBuffers(limits)}
}

type listener struct {
	net.Listener
	buffers *buffers
}

func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(inner, l.buffers), nil
}

// NewConn returns a checked view of one connection, for servers that do not
// accept it from a listener: the inside of an intercepted tunnel, say.
func NewConn(inner net.Conn, limits Limits) *Conn {
	return newConn(inner, newBuffers(limits))
}

// From finds the [*Conn] in conn, which may be wrapped in types that have a
// NetConn method.
func From(conn net.Conn) (*Conn, bool) {
	for {
		switch c := conn.(type) {
		case *Conn:
			return c, true
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, false
		}
	}
}
