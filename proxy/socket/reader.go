package socket

import (
	"io"
	"net"
	"os"
	"syscall"
)

// A Reader reads from a socket. It is for one goroutine at a time.
type Reader struct {
	wire   net.Conn
	raw    syscall.RawConn
	readFn func(fd uintptr) bool // read, made once
	into   []byte
	n      int
	err    error
}

// NewReader returns what reads from wire, whose Raw is raw; nil: by wire itself.
func NewReader(wire net.Conn, raw syscall.RawConn) *Reader {
	r := &Reader{wire: wire, raw: raw}
	r.readFn = r.read
	return r
}

// Read implements io.Reader, with the deadline and the errors of the connection.
func (r *Reader) Read(p []byte) (int, error) {
	if !Quick || r.raw == nil || len(p) == 0 {
		return r.wire.Read(p)
	}
	r.into, r.n, r.err = p, 0, nil
	err := r.raw.Read(r.readFn)
	r.into = nil
	if err == nil {
		err = r.err
	}
	if err != nil && err != io.EOF {
		err = named("read", r.wire, err)
	}
	return r.n, err
}

// read reports false to wait until there is something.
func (r *Reader) read(fd uintptr) bool {
	for {
		n, errno := Read(fd, r.into)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			r.err = os.NewSyscallError("read", errno)
		case n == 0:
			r.err = io.EOF
		}
		r.n = n
		return true
	}
}
