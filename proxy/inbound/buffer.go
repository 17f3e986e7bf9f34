package inbound

import (
	"sync"

	"outrider/proxy/framing"
)

// bufferSize is what a buffer starts with, and the largest that is kept for
// other connections is four times that.
const bufferSize = 4 << 10

// manyFields is how many fields a head may have without one more allocation.
const manyFields = 32

// A buffer holds bytes that were read, and where the fields in them lie.
type buffer struct {
	bytes  []byte
	fields []framing.Field
}

// buffers are what the connections of a server share.
type buffers struct{ pool sync.Pool } // of *buffer

func (b *buffers) get() *buffer {
	if v, ok := b.pool.Get().(*buffer); ok {
		return v
	}
	return &buffer{bytes: make([]byte, bufferSize), fields: make([]framing.Field, 0, manyFields)}
}

func (b *buffers) put(v *buffer) {
	if len(v.bytes) <= 4*bufferSize && cap(v.fields) <= 4*manyFields {
		b.pool.Put(v)
	}
}

// An input is what a connection has read and not used yet. It borrows a buffer
// only while there is something in it.
type input struct {
	pool     *buffers
	held     *buffer
	from, to int
}

func (i *input) some() bool { return i.to > i.from }

// window is what was read and not used.
func (i *input) window() []byte {
	if i.held == nil {
		return nil
	}
	return i.held.bytes[i.from:i.to]
}

// room returns space for at least one more byte.
func (i *input) room(s *framing.Scanner) []byte {
	if i.held == nil {
		i.hold(i.pool.get(), s)
	}
	if i.to == len(i.held.bytes) && i.from > 0 {
		i.to = copy(i.held.bytes, i.held.bytes[i.from:i.to])
		i.from = 0
	}
	if i.to == len(i.held.bytes) {
		// The limits keep what is held, hence this growth, bounded.
		larger := make([]byte, 2*len(i.held.bytes))
		copy(larger, i.held.bytes)
		i.held.bytes = larger
	}
	return i.held.bytes[i.to:]
}

// hold takes a buffer in which to bytes are filled.
func (i *input) hold(b *buffer, s *framing.Scanner) {
	i.held, i.from, i.to = b, 0, 0
	s.Lend(b.fields)
}

// take puts a byte behind those that are there.
func (i *input) take(b byte, s *framing.Scanner) {
	i.room(s)[0] = b
	i.to++
}

// use drops n bytes from the window.
func (i *input) use(n int, s *framing.Scanner) {
	i.from += n
	if i.from == i.to {
		i.release(s)
	}
}

// release gives the buffer back, with what is in it.
func (i *input) release(s *framing.Scanner) {
	if i.held == nil {
		return
	}
	i.held.fields = s.Fields()[:0]
	s.Lend(nil)
	i.pool.put(i.held)
	i.held, i.from, i.to = nil, 0, 0
}
