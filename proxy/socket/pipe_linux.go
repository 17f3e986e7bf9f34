package socket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize is how much a Pipe holds at most, in bytes: the packets of a network take a page of
// it each, however short they are.
const pipeSize = 256 << 10

// unannounced is how many bytes go by without a pause until the scheduler is told of a call.
// Where there is no pause, nobody looks what the network has for others before that.
const unannounced = 128 << 10

// A Pipe moves bytes from one socket to another, and nobody sees them pass: splice(2). The
// scheduler is told of few of the calls, where a Read or a Write tells of none: see unannounced.
// It is for one goroutine at a time.
type Pipe struct {
	to, from       net.Conn
	rawTo, rawFrom syscall.RawConn
	out, in        int // ends of the kernel's pipe, which is empty outside of Move unless that failed: see Holds

	fill, empty func(fd uintptr) bool // filled and emptied, made once
	most        int                   // that may be in it
	held        int                   // that is in it
	since       int                   // that went through it since it waited, or the scheduler was told
	err         error
}

// NewPipe returns a Pipe between two sockets. The error wraps errors.ErrUnsupported where one of
// them is none, or the process may have no pipe: then there is the way through a buffer.
func NewPipe(to, from net.Conn) (*Pipe, error) {
	p := &Pipe{to: to, from: from, rawTo: Raw(to), rawFrom: Raw(from)}
	if p.rawTo == nil || p.rawFrom == nil {
		return nil, errors.ErrUnsupported
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("%w: pipe2: %w", errors.ErrUnsupported, err)
	}
	p.out, p.in = ends[0], ends[1]
	// One user may not have many large ones. A smaller one moves as many bytes, in more turns.
	_, _ = unix.FcntlInt(uintptr(p.in), unix.F_SETPIPE_SZ, pipeSize)
	p.fill, p.empty = p.filled, p.emptied
	return p, nil
}

// Close gives the kernel's pipe back. The sockets stay as they are.
func (p *Pipe) Close() {
	_, _ = unix.Close(p.out), unix.Close(p.in)
}

// Move moves n bytes, and fewer if an error comes between: io.EOF at the end of the source,
// errors.ErrUnsupported where the kernel moves nothing between such sockets, and else that of
// a connection. Nothing is lost by one that Holds reports nothing after.
func (p *Pipe) Move(n int) (moved int, err error) {
	for moved < n {
		p.most, p.err = n-moved, nil
		if err := p.rawFrom.Read(p.fill); err != nil {
			return moved, named("splice", p.from, err)
		}
		switch {
		case p.err == io.EOF:
			return moved, io.EOF
		case errors.Is(p.err, syscall.EINVAL), errors.Is(p.err, syscall.EPERM), errors.Is(p.err, errors.ErrUnsupported):
			return moved, errors.ErrUnsupported
		case p.err != nil:
			return moved, named("splice", p.from, os.NewSyscallError("splice", p.err))
		}
		filled := p.held
		err := p.rawTo.Write(p.empty)
		moved += filled - p.held
		if err != nil {
			return moved, named("splice", p.to, err)
		}
		if p.err != nil {
			return moved, named("splice", p.to, os.NewSyscallError("splice", p.err))
		}
	}
	return moved, nil
}

// Holds is how many bytes were taken from the source and not written, by an error of that.
func (p *Pipe) Holds() int { return p.held }

// filled fills the pipe with what is there. It reports false to wait until something is.
func (p *Pipe) filled(fd uintptr) bool {
	for {
		n, errno := splice(int(fd), p.in, p.most, false)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			p.since = 0
			return false
		case errno != 0:
			p.err = errno
		case n == 0:
			p.err = io.EOF
		}
		p.held = n
		return true
	}
}

// emptied writes what the pipe holds. It reports false to wait until there is room.
func (p *Pipe) emptied(fd uintptr) bool {
	for p.held > 0 {
		announced := p.since >= unannounced
		n, errno := splice(p.out, int(fd), p.held, announced)
		if announced {
			p.since = 0
		}
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			p.since = 0
			return false
		case errno != 0:
			p.err = errno
			return true
		case n == 0:
			p.err = io.ErrUnexpectedEOF
			return true
		default:
			p.held -= n
			p.since += n
		}
	}
	return true
}
