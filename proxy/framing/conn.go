package framing

import (
	"errors"
	"net"
	"sync/atomic"
)

// netConn keeps the embedded connection unexported.
type netConn = net.Conn

// A Conn is a connection whose Read gives only well-formed HTTP/1 requests.
// Writes, deadlines and addresses are those of the connection inside. As with
// net/http's own use of connections, Read is for one goroutine at a time.
//
// No Read returns bytes of two requests: whoever has read one to its end holds
// nothing of the next, except the single byte that net/http's background read
// asks for, which [Conn.Detach] gives back.
type Conn struct {
	netConn
	buffers *buffers
	scanner scanner

	held    *[]byte // the borrowed buffer behind buf, nil while nothing is held
	buf     []byte  // held bytes, oldest first: handed on up to out, released up to ok
	out, ok int     // out is ahead of ok only by the first bytes of a head
	start   int     // where the latest request begins
	handed  int64   // bytes handed on since then
	later   error   // came with the last bytes that were read

	fault    *Error // what was refused; nothing is released after it
	standIn  []byte // rest of the request in place of a refused head
	drained  int    // bytes thrown away since
	detached bool

	refused  atomic.Bool // the server knows of fault
	answered atomic.Bool // and has written since
	lingers  atomic.Bool // see Linger
	closing  atomic.Bool
}

func newConn(inner net.Conn, b *buffers) *Conn {
	c := &Conn{netConn: inner, buffers: b}
	c.scanner.limits = b.limits
	c.scanner.next()
	return c
}

// NetConn returns the connection inside. Reading from it goes past the checks
// and past bytes that are held here; see [Conn.Detach].
func (c *Conn) NetConn() net.Conn { return c.netConn }

// CloseWrite shuts down the writing side, if the connection inside can.
func (c *Conn) CloseWrite() error {
	if cw, ok := c.netConn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Detach ends all checking and gives up the connection: it returns the bytes
// that came after the request at hand and were read already, and the connection
// for all that follow. It is for the handler of that request, after Hijack, and
// after its body (if any) was read to io.EOF. early repeats the byte that the
// bufio.Reader of Hijack may hold, so that reader is not to be used. After
// Detach, the methods of c are those of the connection inside.
func (c *Conn) Detach() (early []byte, inner net.Conn) {
	from := c.out
	if c.handed <= 1 {
		// A next request was begun, for the background read at most.
		from = c.start
	}
	early = c.buf[from:]
	c.held, c.buf, c.detached = nil, nil, true
	return early, c.netConn
}

// Read returns the next bytes that are good. Deadlines act on it as on the
// connection inside, and may be moved for another Read after they have passed.
// A violation inside a body is an [*Error], in this Read and all later ones.
func (c *Conn) Read(p []byte) (int, error) {
	if c.detached {
		return c.netConn.Read(p)
	}
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n := c.deliver(p); n > 0 {
			c.handed += int64(n)
			return n, nil
		}
		if c.fault != nil {
			return c.refuse()
		}
		if c.scanner.phase == atEnd {
			c.begin()
			continue
		}
		n, err := c.fetch(p)
		if n > 0 || err != nil {
			c.handed += int64(n)
			return n, err
		}
	}
}

// deliver hands on what is released and held.
func (c *Conn) deliver(p []byte) int {
	if len(c.standIn) > 0 {
		n := copy(p, c.standIn)
		if c.standIn = c.standIn[n:]; len(c.standIn) == 0 {
			c.refused.Store(true)
		}
		return n
	}
	end := max(c.ok, c.lead())
	if c.out >= end {
		return 0
	}
	n := copy(p, c.buf[c.out:end])
	c.out += n
	if c.out == len(c.buf) && c.ok == c.out && c.handed+int64(n) > 1 {
		c.release()
	}
	return n
}

// lead returns the end of what may be handed on of an incomplete head: up to
// four bytes of its method and the space behind it. They let net/http, which
// waits for four bytes, know that a head has begun. A stand-in can go on from
// any of them.
func (c *Conn) lead() int {
	if c.scanner.phase != inHead || c.fault != nil {
		return 0
	}
	begin := c.ok + c.scanner.skip
	i := begin
	for ; i < len(c.buf) && i < begin+4; i++ {
		if c.buf[i] == ' ' && i > begin {
			return i + 1
		}
		if classes[c.buf[i]]&token == 0 {
			break
		}
	}
	return i
}

// begin turns to the next request, of which some bytes may be held already.
func (c *Conn) begin() {
	c.scanner.next()
	c.start, c.handed = c.ok, 0
	c.scan()
}

// scan releases what is good of the held bytes.
func (c *Conn) scan() {
	n, fault := c.scanner.scan(c.buf[c.ok:])
	c.released(n, fault)
}

// released moves past n good bytes behind ok, without those to be dropped.
func (c *Conn) released(n int, fault *Error) {
	c.out = max(c.out, c.ok+c.scanner.skip)
	if n > 0 {
		c.ok += n
		c.scanner.skip = 0
	}
	if fault != nil {
		c.fail(fault)
	}
}

// fetch reads from the connection inside: into p itself while nothing is held,
// so that most bytes are never copied. It returns how many bytes of p are good.
func (c *Conn) fetch(p []byte) (int, error) {
	if err := c.later; err != nil {
		c.later = nil
		return 0, c.ended(err)
	}
	to := p
	if c.held != nil {
		to = c.room()
	}
	n, err := c.netConn.Read(to)
	if n <= 0 {
		return 0, c.ended(err)
	}
	c.later = err
	if c.held != nil {
		c.buf = c.buf[:len(c.buf)+n]
		c.scan()
		return 0, nil
	}
	return c.scanOutside(p[:n]), nil
}

// scanOutside scans p, which was read in place, and holds what it must not let
// go. It returns how many leading bytes of p are good.
func (c *Conn) scanOutside(p []byte) int {
	n, fault := c.scanner.scan(p)
	if n == len(p) && c.scanner.skip == 0 {
		return n
	}
	keep := n
	if c.scanner.skip > 0 {
		keep = 0 // the good bytes do not begin where p does
	}
	c.hold(p[keep:])
	c.released(n-keep, fault)
	return keep
}
