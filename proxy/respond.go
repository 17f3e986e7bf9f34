package proxy

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/proxy/inbound"
)

// Bodies pass through buffers: a small one where little comes at a time, as from
// a stream of events that is silent most of the time, and a large one where much
// does.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

func buffers(large bool) *sync.Pool {
	if large {
		return &largeBuffers
	}
	return &smallBuffers
}

// ownFields says what it took to get the answer, and why it is the last.
func ownFields(own []inbound.Field, call *policy.Call, traceID string) []inbound.Field {
	if call.Attempts() > 1 || call.Waited() > 0 || call.NotRetried() != "" || call.GaveUp() {
		own = effortFields(own, call)
	}
	if traceID != "" {
		own = append(own, inbound.Field{Name: "Outrider-Trace", Value: traceID})
	}
	return own
}

// effortFields are those of ownFields for a call that was no matter of a single attempt at once.
func effortFields(own []inbound.Field, call *policy.Call) []inbound.Field {
	if n := call.Attempts(); n > 1 {
		own = append(own, inbound.Field{Name: "Outrider-Attempts", Value: strconv.Itoa(n)})
	}
	if waited := call.Waited(); waited > 0 {
		own = append(own, inbound.Field{Name: "Outrider-Wait", Value: strconv.FormatFloat(waited.Seconds(), 'f', 3, 64)})
	}
	if why := call.NotRetried(); why != "" {
		own = append(own, inbound.Field{Name: "Outrider-Retry", Value: why})
	}
	if call.GaveUp() && call.Stale() == nil { // else the answer is one that nobody would retry
		own = append(own, inbound.Field{Name: "X-Should-Retry", Value: "false"})
	}
	return own
}

// ownResponseHeaders puts ownFields into a header.
func ownResponseHeaders(header http.Header, call *policy.Call, traceID string) {
	for _, field := range ownFields(nil, call, traceID) {
		header[field.Name] = []string{field.Value}
	}
}

// respond passes an upstream's answer on, byte for byte. An error means that
// the client did not get it whole.
func (x *exchange) respond(resp *http.Response) (written int64, err error) {
	defer resp.Body.Close()
	sized := resp.ContentLength >= 0
	bodyless := resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified || resp.Body == http.NoBody
	if len(resp.Trailer) > 0 && !bodyless && x.r.ProtoAtLeast(1, 1) {
		// HTTP/2 has trailers behind a body of known length, HTTP/1.1 only
		// behind a chunked one (RFC 9112 section 6.5).
		delete(resp.Header, "Content-Length")
		sized = false
	}
	x.passHead(resp)
	if bodyless {
		return 0, nil
	}
	w := x.w
	out := &download{w: w, conn: *http.NewResponseController(w), patience: x.patience, stream: x.r.ProtoMajor >= 2, upload: x.body}
	if sized && resp.ContentLength <= withHead && !out.stream {
		out.held = withHead
		x.span.Passed()
	}
	defer out.done()
	if (!sized || resp.ContentLength > headFirst) && !x.call.GotBody() {
		if err := out.flush(); err != nil {
			return 0, &clientError{err}
		}
	}
	written, err = copyBody(out, resp.Body, sized, resp.ContentLength)
	if err != nil {
		return written, err
	}
	if !sized && written == 0 { // else it is taken for one of length 0, which has no trailers
		if err := out.flush(); err != nil {
			return 0, &clientError{err}
		}
	}
	if len(resp.Trailer) > 0 {
		passTrailer(w.Header(), resp.Trailer)
	}
	return written, nil
}

// passHead passes the head of an upstream's answer on, and says in it what is ours to say.
func (x *exchange) passHead(resp *http.Response) {
	var room [8]inbound.Field
	own := ownFields(room[:0], &x.call, x.span.TraceID())
	if len(resp.Trailer) > 0 {
		own = trailerFields(own, resp.Trailer)
	}
	stripNamed(resp.Header, resp.Header["Connection"])
	last := x.last || x.body.open()
	if last {
		inbound.Linger(x.r)
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	head := inbound.Head{Status: resp.StatusCode, Reason: reason, Header: resp.Header, Pick: x.pick, Own: own, Last: last}
	if !inbound.Pass(x.w, &head) {
		x.writeHead(resp, own, last)
	}
}

// trailerFields say which trailers will follow the body.
func trailerFields(own []inbound.Field, trailer http.Header) []inbound.Field {
	for name := range trailer {
		own = append(own, inbound.Field{Name: "Trailer", Value: name})
	}
	return own
}

// writeHead is passHead where the server is net/http's.
func (x *exchange) writeHead(resp *http.Response, own []inbound.Field, last bool) {
	header := x.w.Header()
	x.passOn(header, resp.Header)
	// What the upstream does not say is not ours to say: nil keeps the server from
	// adding a date, and from guessing a type.
	for _, name := range [...]string{"Date", "Content-Type"} {
		if _, ok := header[name]; !ok {
			header[name] = nil
		}
	}
	for _, field := range own {
		delete(header, field.Name)
	}
	for _, field := range own {
		header[field.Name] = append(header[field.Name], field.Value)
	}
	if last {
		header["Connection"] = []string{"close"}
	}
	if resp.StatusCode == http.StatusNotModified {
		keepLength(header)
	}
	x.w.WriteHeader(resp.StatusCode)
}

// passTrailer has the trailer of an upstream's answer follow the body that was written.
func passTrailer(header, trailer http.Header) {
	for name, values := range trailer {
		delete(header, name) // a header of the same name went out with the head
		header[http.TrailerPrefix+name] = values
	}
}

// endWith makes an answer the last one of its connection. What its client still
// sends is read for a moment: to close on unread bytes resets the connection,
// and that can overtake the answer.
func endWith(header http.Header, r *http.Request) {
	header["Connection"] = []string{"close"}
	inbound.Linger(r)
}

// keepLength keeps the length and the type of a 304, which HTTP/2 of net/http would drop
// although RFC 9110 section 15.4.5 lets a 304 say them. It drops them by their
// canonical names; field names mean the same in any case.
func keepLength(header http.Header) {
	for name, verbatim := range map[string]string{"Content-Length": "content-length", "Content-Type": "content-type"} {
		if values := header[name]; len(values) > 0 {
			header[verbatim] = values
			delete(header, name)
		}
	}
}

// withHead is the length of a body, in bytes, that the server holds together with
// its head until the answer ends: it is not written before. Behind a head that
// leaves it no room it is, in the server's own time for a write.
const withHead = 2 << 10

// headFirst is the length of a body from which its head goes out on its own, unless
// the body has begun to come, and then one write is enough for both. A smaller one has
// nearly always come together with its head.
const headFirst = 32 << 10

// copyBody passes bytes on as they come: what the upstream sent is not held
// back for more to follow.
func copyBody(w *download, body io.Reader, sized bool, length int64) (written int64, err error) {
	w.room(sized && length > smallBuffer)
	for {
		w.await()
		n, readErr := body.Read(*w.buffer)
		if n > 0 {
			m, err := w.Write((*w.buffer)[:n])
			written += int64(m)
			if err != nil {
				return written, &clientError{err}
			}
		}
		if readErr == io.EOF {
			return written, nil
		}
		if readErr != nil {
			// What there is of the answer goes out, its head above all: who gets nothing takes
			// the connection for one that had died before, and sends the request again.
			_ = w.flush()
			return written, readErr
		}
		if n > 0 && (!sized || written < length) {
			if err := w.flush(); err != nil {
				return written, &clientError{err}
			}
		}
		if much := n >= smallBuffer/2; much != w.large {
			buffers(w.large).Put(w.buffer)
			w.room(much)
		}
	}
}

// A download is the way of a body to the client, who may not keep what it does
// not read for longer than patience: the upstream's connection waits with it.
type download struct {
	w        http.ResponseWriter
	conn     http.ResponseController
	patience time.Duration
	held     int     // bytes that are not written to the connection yet when Write returns
	timed    bool    // there is a deadline
	stream   bool    // of HTTP/2
	upload   *upload // the other direction; nil: there is none

	buffer *[]byte // see copyBody; nil: there is none so far
	large  bool
}

// room takes a buffer for what comes.
func (d *download) room(large bool) {
	d.large, d.buffer = large, buffers(large).Get().(*[]byte)
}

func (d *download) Write(p []byte) (int, error) {
	if d.held -= len(p); d.held < 0 {
		d.limit()
	}
	n, err := d.w.Write(p)
	if err == nil && d.upload != nil {
		d.upload.spare()
	}
	return n, err
}

func (d *download) flush() error {
	d.limit()
	return d.conn.Flush()
}

func (d *download) limit() {
	_ = d.conn.SetWriteDeadline(time.Now().Add(d.patience))
	d.timed = true
}

// await lifts the deadline of a stream while the upstream is waited for. One that
// passes resets the stream although nothing is being written, and what would come
// of that is a client that left.
func (d *download) await() {
	if d.stream {
		_ = d.conn.SetWriteDeadline(time.Time{})
	}
}

// done gives the buffer back, and lifts the deadline: the connection's next answer is another
// matter. That of a stream is for the rest of it, which net/http writes by itself.
func (d *download) done() {
	if d.buffer != nil {
		buffers(d.large).Put(d.buffer)
	}
	if d.timed && !d.stream {
		_ = d.conn.SetWriteDeadline(time.Time{})
	}
}

// clientError says that it was the client's side that broke.
type clientError struct{ error }

func (e *clientError) Unwrap() error { return e.error }
