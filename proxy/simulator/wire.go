package simulator

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// An ending is how a connection goes down after raw bytes were written.
type ending int

const (
	byClose ending = iota // FIN: an orderly end
	byReset               // RST
)

// The raw answers. Each is a complete or broken HTTP/1.1 message.
const (
	head      = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	firstByte = head + "Content-Length: 100\r\n\r\nx"
	halfHead  = "HTTP/1.1 200 OK\r\nContent-Type: text/"
	truncated = head + "Content-Length: 100\r\n\r\nonly half of the body comes, and then the end...."
	tooMuch   = head + "Content-Length: 5\r\n\r\nfive bytes were promised, here are more"
	badChunk  = head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot-a-size\r\nworld\r\n0\r\n\r\n"
	noEnd     = head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	garbage   = "\x16\x03\x01\x00\xff this has never been HTTP\r\n\r\n"
	twoLength = head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
	bothWays  = head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	smuggled  = head + "Content-Length: 5\r\n\r\nfirst" +
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 28\r\nX-Smuggled: yes\r\n\r\nthis was never asked of us.\n"
)

// raw is the fault that writes bytes and ends the connection.
func raw(bytes string, end ending) handler {
	return fault(func(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
		s.cut(w, bytes, end)
	})
}

// cut writes bytes on the bare connection and ends it. A reset would overtake
// the bytes, so that it waits a moment for the client to have read them.
func (s *Simulator) cut(w http.ResponseWriter, bytes string, end ending) {
	conn, rw, stop := s.seize(w)
	defer stop()
	defer conn.Close()
	if bytes != "" {
		rw.WriteString(bytes)
		rw.Flush()
		if end == byReset {
			pause(s.ctx, 50*time.Millisecond)
		}
	}
	if end == byReset {
		reset(conn)
	}
}

// lingering writes two answers at once and keeps the connection open, so that
// whoever reuses it without looking hands the second one to someone else.
func lingering(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	d := p.duration("for", 5*time.Second)
	if p.refused(w) {
		return
	}
	conn, rw, stop := s.seize(w)
	defer stop()
	defer conn.Close()
	rw.WriteString(smuggled)
	rw.Flush()
	conn.SetReadDeadline(time.Now().Add(d))
	rw.Reader.WriteTo(nowhere{}) // until the client or the deadline ends it
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }

// hugeHead sends response headers of size bytes in all.
func hugeHead(s *Simulator, w http.ResponseWriter, r *http.Request, p *params) {
	size := p.count("size", 2<<20, 0, 1<<30)
	if p.refused(w) {
		return
	}
	conn, rw, stop := s.seize(w)
	defer stop()
	defer conn.Close()
	rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n")
	writePadding(rw.Writer, size)
	rw.WriteString("\r\n")
	rw.Flush()
}

func writePadding(w *bufio.Writer, size int) {
	value := strings.Repeat("x", 1000)
	for i := 0; size > 0; i++ {
		n, err := fmt.Fprintf(w, "X-Padding-%d: %s\r\n", i, value)
		if size -= n; err != nil {
			return
		}
	}
}
