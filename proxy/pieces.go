package proxy

// pieces are bytes of a body, one after the other, in buffers that other bodies have had
// before and have afterwards: a memory that grows by itself is copied each time, and
// leaves behind for the garbage collection what it has grown out of. The zero value has
// none.
type pieces struct {
	buffers []*[]byte // largeBuffers: each is full, but for the last
	length  int       // of all bytes
}

// room is where more of them can be put, behind those that there are.
func (p *pieces) room() []byte {
	if p.length == len(p.buffers)*largeBuffer {
		p.buffers = append(p.buffers, largeBuffers.Get().(*[]byte))
	}
	return (*p.buffers[len(p.buffers)-1])[p.length%largeBuffer:]
}

// read copies what is in one buffer from a position on.
func (p *pieces) read(to []byte, at int) int {
	begin := at / largeBuffer
	return copy(to, (*p.buffers[begin])[at%largeBuffer:min(largeBuffer, p.length-begin*largeBuffer)])
}

// empty forgets the bytes. The last buffer stays, with what somebody has in it, or is
// about to.
func (p *pieces) empty() {
	for len(p.buffers) > 1 {
		largeBuffers.Put(p.buffers[0])
		p.buffers = p.buffers[1:]
	}
	p.length = 0
}

// free gives the last buffer back as well.
func (p *pieces) free() {
	p.empty()
	for _, last := range p.buffers {
		largeBuffers.Put(last)
	}
	p.buffers = nil
}
