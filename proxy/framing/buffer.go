package framing

import "sync"

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

// hold begins to hold bytes.
func (c *Conn) hold(p []byte) {
	c.held = c.buffers.get()
	if len(p) > len(*c.held) {
		b := make([]byte, len(p))
		c.held = &b
	}
	c.buf = (*c.held)[:copy(*c.held, p)]
}

// room returns space behind the held bytes, for at least one more.
func (c *Conn) room() []byte {
	if len(c.buf) == len(*c.held) {
		c.compact()
	}
	if len(c.buf) == len(*c.held) {
		// The limits keep what is held, hence this growth, bounded.
		b := make([]byte, 2*len(*c.held))
		c.buf = b[:copy(b, c.buf)]
		c.buffers.put(c.held)
		c.held = &b
	}
	return (*c.held)[len(c.buf):]
}

// compact drops bytes that nobody can ask for any more.
func (c *Conn) compact() {
	from := min(c.out, c.ok)
	if c.handed <= 1 {
		from = min(from, c.start)
	}
	c.buf = (*c.held)[:copy(*c.held, c.buf[from:])]
	c.out, c.ok, c.start = c.out-from, c.ok-from, max(c.start-from, 0)
}

// release gives the buffer back.
func (c *Conn) release() {
	c.buffers.put(c.held)
	c.held, c.buf = nil, nil
	c.out, c.ok, c.start = 0, 0, 0
}
