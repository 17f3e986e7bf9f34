package inbound

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// unknown is the length of a body that no header tells.
const unknown = -1

// An answer is the http.ResponseWriter of a call. Other than net/http's, it
//
//   - adds no header of its own, save for those that frame the message and, where the
//     handler says nothing of it, Date;
//   - writes the head when WriteHeader is called into the buffer from which it goes out;
//   - lets the body be read while it is written, always.
type answer struct {
	call   *call
	out    *output     // what is to go out; nil: nothing is
	header http.Header // nil: nobody asked for it
	over   atomic.Bool // header is nobody's

	expected bool       // the client waits for 100, which nobody has sent; guarded by mu until there is a status
	mu       sync.Mutex // held while a status is set, and an informational one written, which may come from another goroutine
	status   int        // 0: none was written; the handler alone changes it

	bodyless bool     // there is no body, whatever the handler writes
	framed   bool     // the head is complete
	chunked  bool     // the body is
	closes   bool     // the connection ends with the answer
	ended    bool     // nothing more is written
	length   int64    // of the body, as Content-Length says it, or unknown
	written  int64    // of the body
	said     []string // Connection, as the handler has it
	until    time.Time
	err      error // of the connection
}

// Header is the header of the answer, and of trailers: see http.TrailerPrefix.
func (a *answer) Header() http.Header {
	if a.over.Load() {
		return make(http.Header)
	}
	if a.header == nil {
		a.header = a.call.conn.server.outputs.header()
	}
	return a.header
}

// begun is for the handler, which changes the status, and so needs no lock to see it.
func (a *answer) begun() bool { return a.status != 0 }

// WriteHeader begins the answer. An informational status (RFC 9110 §15.2) goes out
// at once, with the header as it is.
func (a *answer) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("a status of %d", status))
	}
	header := a.Header()
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.status != 0 || a.over.Load():
	case status < 200 && status != http.StatusSwitchingProtocols:
		if status == http.StatusContinue {
			a.expected = false
		}
		a.inform(status, header)
	default:
		a.status = status
		a.head(header)
	}
}

// inform sends an informational answer.
func (a *answer) inform(status int, header http.Header) {
	out := a.buffer()
	out.statusLine(a.call.request.ProtoMinor, status, "")
	for name, values := range header {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			out.take(name, values)
		}
	}
	out.fields()
	out.add("\r\n")
	_ = a.send(nil)
}

// proceed tells a client that waits for it to send its body.
func (a *answer) proceed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.expected || a.status != 0 || a.over.Load() {
		return nil
	}
	a.expected = false
	a.buffer().add("HTTP/1.1 100 Continue\r\n\r\n")
	return a.send(nil)
}

// Write writes to the body of the answer.
func (a *answer) Write(p []byte) (int, error) {
	if !a.begun() {
		a.WriteHeader(http.StatusOK)
	}
	n := int64(len(p))
	switch {
	case a.err != nil:
		return 0, a.err
	case n == 0:
		return 0, nil
	case a.ended:
		return 0, errEnded
	case a.bodyless && a.call.request.Method == http.MethodHead:
		return len(p), nil
	case a.bodyless:
		return 0, http.ErrBodyNotAllowed
	case a.length != unknown && n > a.length-a.written:
		return 0, http.ErrContentLength
	}
	a.written += n
	a.frame()
	out := a.buffer()
	if a.chunked {
		out.chunk(len(p))
	}
	if out.fits(len(p)) {
		out.bytes = append(out.bytes, p...)
		if a.chunked {
			out.add("\r\n")
		}
		return len(p), nil
	}
	if err := a.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush is FlushError for those who do not ask for its error.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError sends what was written.
func (a *answer) FlushError() error {
	if !a.begun() {
		a.WriteHeader(http.StatusOK)
	}
	a.frame()
	return a.send(nil)
}

// SetWriteDeadline bounds the writes that follow. It may be early by a hundredth.
func (a *answer) SetWriteDeadline(t time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = t
	return nil
}

// SetReadDeadline bounds reads of the body, also one that is under way.
func (a *answer) SetReadDeadline(t time.Time) error { return a.call.conn.setReadDeadline(t) }

// EnableFullDuplex has nothing to enable.
func (a *answer) EnableFullDuplex() error { return nil }

// End sends what is left of the answer that w writes, as the return of its handler would, and
// tells what became of that. Nothing can be written behind it. An answer that has not begun
// stays as it is, as does one of another server.
func End(w http.ResponseWriter) error {
	a, ok := w.(*answer)
	if !ok || !a.begun() {
		return nil
	}
	a.complete()
	return a.err
}

var errEnded = errors.New("the answer has ended")

// finish ends the answer. It reports that the client has got it whole; else the
// connection is of no more use. whole says that the handler thought so.
func (a *answer) finish(whole bool) bool {
	if !whole { // somebody may be at it still
		a.mu.Lock()
		defer a.mu.Unlock()
		a.over.Store(true)
		return false
	}
	if !a.begun() {
		a.WriteHeader(http.StatusOK)
	}
	a.complete()
	a.over.Store(true)
	a.recycle()
	short := a.length != unknown && a.written < a.length && !a.bodyless
	return a.err == nil && !short
}

// recycle gives back what the answer is left with.
func (a *answer) recycle() {
	outputs := &a.call.conn.server.outputs
	if a.out != nil {
		outputs.put(a.out)
	}
	outputs.putHeader(a.header)
}

// complete sends what is left to send, once.
func (a *answer) complete() {
	if a.ended || a.err != nil {
		return
	}
	a.ended = true
	if !a.framed && !a.bodyless && a.length == unknown {
		a.length = 0
		a.buffer().add("Content-Length: 0\r\n")
	}
	a.frame()
	if a.chunked {
		out := a.buffer()
		out.add("0\r\n")
		out.trailers(a.header)
		out.add("\r\n")
	}
	_ = a.send(nil)
}

// buffer is where what goes out is put together.
func (a *answer) buffer() *output {
	if a.out == nil {
		a.out = a.call.conn.server.outputs.get()
	}
	return a.out
}

// send writes what was put together, and p behind it, and gives the buffer back.
func (a *answer) send(p []byte) error {
	if a.out == nil || a.err != nil {
		return a.err
	}
	k := a.call
	k.conn.writeUntil(a.until)
	out := a.out
	if a.err = out.write(k.conn, p, a.chunked); a.err != nil {
		k.end()
	}
	a.out = nil
	k.conn.server.outputs.put(out)
	return a.err
}
