package inbound

import (
	"net"
	"net/http"
	"strconv"
	"sync"
)

// An output is what is about to be written to a connection.
type output struct {
	bytes  []byte
	lines  []Field     // that are to be written
	vector [3][]byte   // of one write: bytes, a part of a body, its end
	queue  net.Buffers // over vector
}

// outputs are what the answers of a server share.
type outputs struct {
	pool    sync.Pool // of *output
	headers sync.Pool // of http.Header, empty
}

func (o *outputs) get() *output {
	if v, ok := o.pool.Get().(*output); ok {
		return v
	}
	return &output{bytes: make([]byte, 0, bufferSize)}
}

func (o *outputs) put(v *output) {
	if cap(v.bytes) <= 4*bufferSize && cap(v.lines) <= 4*manyFields {
		v.bytes = v.bytes[:0]
		o.pool.Put(v)
	}
}

func (o *outputs) header() http.Header {
	if v, ok := o.headers.Get().(http.Header); ok {
		return v
	}
	return make(http.Header)
}

func (o *outputs) putHeader(header http.Header) {
	if header != nil && len(header) <= 4*manyFields {
		clear(header)
		o.headers.Put(header)
	}
}

func (o *output) add(s string) { o.bytes = append(o.bytes, s...) }

// chunk begins a chunk of n bytes (RFC 9112 §7.1).
func (o *output) chunk(n int) {
	o.bytes = strconv.AppendUint(o.bytes, uint64(n), 16)
	o.add("\r\n")
}

// fits reports whether n bytes of a body are so few that they are copied, to go out
// in one write with what is here already.
func (o *output) fits(n int) bool { return len(o.bytes)+n+len("\r\n") <= bufferSize }

// write writes what is here, and p behind it, with the end of its chunk where it is
// one.
func (o *output) write(c *conn, p []byte, chunked bool) error {
	if len(p) == 0 {
		if len(o.bytes) == 0 {
			return nil
		}
		_, err := c.small.Write(o.bytes)
		return err
	}
	o.queue = append(o.vector[:0], o.bytes, p)
	if chunked {
		o.queue = append(o.queue, chunkEnd)
	}
	defer clear(o.vector[:])
	if gathers(c.wire) {
		_, err := o.queue.WriteTo(c.wire)
		return err
	}
	return o.gather(c.wire, p, chunked)
}

var chunkEnd = []byte("\r\n")

// gathers reports whether one system call takes more than one buffer of a
// connection: elsewhere, net.Buffers writes one after the other.
func gathers(wire net.Conn) bool {
	switch wire.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// gather writes in pieces of a buffer's size to a connection to which every write
// is a record, or a packet.
func (o *output) gather(wire net.Conn, p []byte, chunked bool) error {
	n := min(len(p), max(0, bufferSize-len(o.bytes)))
	if _, err := wire.Write(append(o.bytes, p[:n]...)); err != nil {
		return err
	}
	if p = p[n:]; len(p) > 0 {
		if _, err := wire.Write(p); err != nil {
			return err
		}
	}
	if !chunked {
		return nil
	}
	_, err := wire.Write(chunkEnd)
	return err
}
