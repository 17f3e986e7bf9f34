package simulator

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
)

// A tap follows the bytes that a client sends on an HTTP/1 connection and
// keeps the head of each request, because net/http forgets in which order and
// spelling the headers came. It only listens: where it cannot follow, it turns
// itself off, and the server decides alone what to do with the bytes.
type tap struct {
	mu    sync.Mutex
	state tapState
	line  []byte   // the head or line being read
	left  int64    // of a body or chunk
	heads [][]byte // complete, and not yet asked for
	now   []byte   // of the request being served
	off   bool
}

type tapState int

const (
	inHead tapState = iota
	inBody
	inChunkSize
	inChunk
	inTrailer
)

const (
	maxHead  = 1 << 20 // bytes of one head: the server's own bound
	maxHeads = 256     // heads that pipelining may have piled up
)

// feed takes bytes as they are read from the connection.
func (t *tap) feed(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(b) > 0 && !t.off {
		switch t.state {
		case inBody, inChunk:
			n := min(t.left, int64(len(b)))
			t.left -= n
			b = b[n:]
			if t.left == 0 && t.state == inBody {
				t.state = inHead
			} else if t.left == 0 {
				t.state = inChunkSize
			}
		default:
			end := bytes.IndexByte(b, '\n') + 1
			if end == 0 {
				end = len(b)
			}
			t.line = append(t.line, b[:end]...)
			b = b[end:]
			if t.line[len(t.line)-1] == '\n' {
				t.endLine()
			} else if len(t.line) > maxHead {
				t.off = true
			}
		}
	}
	if t.off {
		t.line, t.heads = nil, nil
	}
}

// endLine looks at what has come so far, at the end of a line.
func (t *tap) endLine() {
	switch t.state {
	case inHead:
		if !bytes.HasSuffix(t.line, []byte("\n\r\n")) && !bytes.HasSuffix(t.line, []byte("\n\n")) {
			t.off = len(t.line) > maxHead
			return
		}
		t.endHead()
	case inChunkSize:
		size, _, _ := strings.Cut(string(t.line), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 62) // no sign, and room for two more
		t.off = err != nil
		if t.state, t.left = inChunk, int64(n)+2; n == 0 { // the line end after the data
			t.state = inTrailer
		}
	case inTrailer:
		if len(bytes.TrimRight(t.line, "\r\n")) == 0 {
			t.state = inHead
		}
	}
	t.line = nil
}

// endHead keeps the head and learns from it how long its body is.
func (t *tap) endHead() {
	if bytes.HasPrefix(t.line, []byte("PRI * HTTP/2")) || len(t.heads) == maxHeads {
		t.off = true
		return
	}
	t.heads = append(t.heads, t.line)
	for _, h := range fields(t.line) {
		switch {
		case strings.EqualFold(h[0], "Transfer-Encoding"):
			t.state = inChunkSize
			return // it overrules a length, RFC 9112 section 6.3
		case strings.EqualFold(h[0], "Content-Length"):
			n, err := strconv.ParseUint(h[1], 10, 63)
			t.off = t.off || err != nil
			if n > 0 {
				t.state, t.left = inBody, int64(n)
			}
		}
	}
}

// next moves on to the head of the request that the server begins to serve.
func (t *tap) next() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now = nil; len(t.heads) > 0 {
		t.now, t.heads = t.heads[0], t.heads[1:]
	}
}

// last returns the headers of the request being served.
func (t *tap) last() ([][2]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil {
		return nil, false
	}
	return fields(t.now), true
}

// stop ends the listening: what follows on the connection is not HTTP.
func (t *tap) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.off, t.line, t.heads = true, nil, nil
}

// fields are the header lines of a head, in order.
func fields(head []byte) [][2]string {
	lines := strings.Split(string(head), "\n")[1:]
	pairs := make([][2]string, 0, len(lines))
	for _, line := range lines {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
		if ok {
			pairs = append(pairs, [2]string{name, strings.Trim(value, " \t")})
		}
	}
	return pairs
}
