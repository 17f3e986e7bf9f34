package framing

import (
	"net"
	"sync"
)

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

// bufferSize is what a buffer starts with, and the largest that is kept for
// other connections is four times that.
const bufferSize = 4 << 10

// buffers are what the connections of one listener share. A connection borrows
// one only while it holds bytes that the server has not taken yet.
type buffers struct {
	limits Limits
	pool   sync.Pool // of *[]byte
}

func newBuffers(limits Limits) *buffers {
	return &buffers{limits: limits.withDefaults()}
}

func (b *buffers) get() *[]byte {
	if v, ok := b.pool.Get().(*[]byte); ok {
		return v
	}
	v := make([]byte, bufferSize)
	return &v
}

func (b *buffers) put(v *[]byte) {
	if len(*v) <= 4*bufferSize {
		b.pool.Put(v)
	}
}
