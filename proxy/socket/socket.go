// Package socket reads from and writes to sockets of package net without telling the
// scheduler of each system call.
//
// Go announces a system call to its scheduler, since it may wait, and then something else has
// to run meanwhile. On a socket of package net none waits: it answers EAGAIN, and the poller
// waits. The announcement itself is cheap, but the first one after a pause wakes the thread
// that looks after those that wait, sysmon, which then looks every 20 µs until the process
// rests again (src/runtime/proc.go, entersyscall). A proxy that is called now and then
// rests before nearly every call: at a thousand calls a second that thread took a fifth of
// all processor time, on the way of the call that it was woken by. What runs for long
// without a pause is still found by it, as any timer and any other system call wakes it.
//
// It also decides in what order sockets are written to where many goroutines are ready to: see
// crowd.
package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// mostAtOnce is how many bytes may be written without telling the scheduler, as what takes
// long should be told. It is a record of TLS, and the usual answer.
const mostAtOnce = 17 << 10

// Raw is the socket under a connection, if it is nothing more than that; else nil.
func Raw(wire net.Conn) syscall.RawConn {
	socket, ok := wire.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// named is an error of an operation as the connection itself returns it.
func named(operation string, wire net.Conn, err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	local := wire.LocalAddr()
	return &net.OpError{Op: operation, Net: local.Network(), Source: local, Addr: wire.RemoteAddr(), Err: err}
}

// A Writer writes to a socket, for one goroutine at a time: what two write at once would
// be of no use to the other end, so that who writes has a lock of his own, or needs none.
type Writer struct {
	wire    net.Conn
	raw     syscall.RawConn
	writeFn func(fd uintptr) bool // write, made once
	rest    []byte                // of what is written
	err     error
}

// NewWriter returns what writes to wire, whose Raw is raw; nil: by wire itself.
func NewWriter(wire net.Conn, raw syscall.RawConn) *Writer {
	w := &Writer{wire: wire, raw: raw}
	w.writeFn = w.write
	return w
}

// Write implements io.Writer, with the deadline and the errors of the connection.
func (w *Writer) Write(p []byte) (int, error) {
	if !Quick || w.raw == nil || len(p) > mostAtOnce || len(p) == 0 {
		return w.wire.Write(p)
	}
	process.giveWay()
	w.rest, w.err = p, nil
	err := w.raw.Write(w.writeFn)
	n := len(p) - len(w.rest)
	w.rest = nil
	if err == nil {
		err = w.err
	}
	if err != nil {
		err = named("write", w.wire, err)
	}
	return n, err
}

// write writes what is left. It reports false to wait until there is room.
func (w *Writer) write(fd uintptr) bool {
	for len(w.rest) > 0 {
		n, errno := Write(fd, w.rest)
		switch {
		case n > 0:
			w.rest = w.rest[n:]
		case errno == syscall.EAGAIN:
			return false
		case errno != syscall.EINTR:
			w.err = unwritten(errno)
			return true
		}
	}
	return true
}

// unwritten is why a write took nothing.
func unwritten(errno syscall.Errno) error {
	if errno == 0 {
		return io.ErrUnexpectedEOF
	}
	return os.NewSyscallError("write", errno)
}
