package egress

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An exchange is one request and its response over HTTP/1.1: it writes the
// one, parses the other, and then is the response's body. Everything that a
// call needs is in this one allocation, of 512 bytes: more would take 576, and a
// longer way through the allocator.
type exchange struct {
	t        *Transport
	req      *http.Request
	key      key
	listener Listener // nil: nobody listens

	// The request, as begin found it.
	host    string // Host, in ASCII
	path    string // target without the query
	length  int64  // of the body: 0 none, -1 unknown
	inline  bool   // the body is small and in memory: it goes out with the head
	upgrade bool
	expect  bool
	last    bool // it asks for the connection's end
	sized   bool // its header has a length, be it of no body

	// How far it has come.
	prepared atomic.Bool // the inline body is in out
	sent     bool        // a byte of the request was accepted by the socket
	answered bool        // the final response's head was read

	out     *[]byte // head, then the inline body; nil: it is sent
	headLen int     // of out

	c      *conn
	br     *bufio.Reader
	sender *sender // nil: the body is in out, or there is none

	// Guarded by Transport.mu, as are the deadlines of the connection: once the call is
	// canceled they stay in the past.
	unwatch  func() bool // nil: the context is not followed
	canceled atomic.Bool // changed with the lock held
	detached bool        // the call is over, or others follow its context

	// The response's body. reading is held by Read, and guards these and answer.
	framing  framing
	keep     bool // the connection may be used again
	midChunk bool // chunked: the CRLF after the current chunk is still to come
	reading  sync.Mutex
	left     int64 // bytes: of a fixed body, or of the current chunk
	excess   int64 // chunked: overhead that the data does not make up for
	ended    error // what Read returns from now on; nil: there is more

	answer head // the last one that was read
}

// ctx governs the call.
func (ex *exchange) ctx() context.Context { return ex.req.Context() }

// maxInline is the largest body that goes out with the head in one write. It
// fits into any socket buffer, so the write does not wait for the peer.
const maxInline = 16 << 10

// begin checks the request and finds out how it will be sent.
func (t *Transport) begin(req *http.Request) (*exchange, error) {
	ex := &exchange{t: t, req: req}
	if req.URL == nil {
		return nil, ex.refuse(invalid("no URL"))
	}
	if err := ex.locate(); err != nil {
		return nil, ex.refuse(err)
	}
	if err := ex.check(); err != nil {
		return nil, ex.refuse(err)
	}
	ex.listen()
	if req.Body != nil && req.Body != http.NoBody {
		ex.expectBody()
	}
	ex.upgrade = len(req.Header["Upgrade"]) > 0 && tokenIn(req.Header["Connection"], "upgrade")
	if t.settings.Proxy != nil {
		ex.route()
	}
	if err := ex.render(); err != nil {
		return nil, ex.refuse(err)
	}
	return ex, nil
}

// expectBody finds out how the body that the request has will be sent.
func (ex *exchange) expectBody() {
	req := ex.req
	ex.length = req.ContentLength
	if ex.length <= 0 {
		ex.length = -1
	}
	ex.expect = tokenIn(req.Header["Expect"], "100-continue")
	ex.inline = ex.length > 0 && ex.length <= maxInline && req.GetBody != nil && len(req.Trailer) == 0 && !ex.expect
}

// refuse is the error of a request that cannot be written.
func (ex *exchange) refuse(err error) error {
	ex.freeOut()
	return &Error{Kind: InvalidRequest, Addr: ex.key.addr(), Err: err}
}

// giveUp ends a call that has no connection.
func (ex *exchange) giveUp(err error) error {
	ex.detach()
	closeBody(ex.req)
	ex.freeOut()
	return err
}

// prepare begins a call over HTTP/1.1, which took a connection just now: it puts
// the inline body behind the head, for which once is enough.
func (ex *exchange) prepare(taken time.Duration) error {
	if ex.inline {
		ex.watchEarly(taken) // it may have to be waited for
		if ex.prepared.Load() {
			return nil
		}
		if err := ex.readInline(); err != nil {
			e := &Error{Kind: ClientBody, Addr: ex.key.addr(), Err: err}
			if ex.ctx().Err() != nil {
				e.Kind, e.Err = Canceled, causeOf(ex.ctx())
			}
			return e
		}
	}
	ex.prepared.Store(true)
	return nil
}

// errStale is run's error for a connection that was not used, because it has
// ended or its peer has said something that nobody asked for.
var errStale = errors.New("connection cannot take a request any more")

// run sends the request and reads the response's head.
func (ex *exchange) run() (*http.Response, error) {
	ex.br = readerPool.Get().(*bufio.Reader)
	ex.br.Reset(ex.c.nc)
	err := ex.sendFirst()
	if err == errStale {
		ex.freeReader()
		ex.c.close()
		return nil, err
	}
	if err != nil {
		return nil, ex.fail(err)
	}
	resp, err := ex.receive()
	if err != nil {
		return nil, ex.fail(err)
	}
	return resp, nil
}

// sendFirst sends the request, if the connection is fresh or as good as that.
// One from the pool is read from, and finds that there is nothing before it
// finds that there is something to send: then the answer is waited for already.
// Where the body depends on what the peer says, one comes after the other.
func (ex *exchange) sendFirst() error {
	switch wire := ex.c.wire; {
	case !ex.c.rested:
		return ex.send()
	case ex.expect:
		if !ex.c.alive() {
			return errStale
		}
		return ex.send()
	default:
		wire.asker = ex
		_, err := ex.br.Peek(1)
		if wire.asker != nil {
			wire.asker = nil
			return errStale
		}
		return err
	}
}

// ask implements asker. A call that was canceled meanwhile sends nothing.
func (ex *exchange) ask() error {
	if ex.canceled.Load() {
		return os.ErrDeadlineExceeded
	}
	return ex.send()
}

// announce tells who listens where the request was sent.
func (ex *exchange) announce() {
	c := ex.c
	if ex.listener != nil {
		info := httptrace.GotConnInfo{Conn: c.nc, Reused: c.uses > 0, WasIdle: c.rested}
		if info.WasIdle {
			info.IdleTime = max(0, c.taken-c.idleSince)
		}
		ex.listener.GotConn(info)
	}
	c.uses++
}

// send writes what can be written without waiting for the peer, and starts the
// sender for the rest.
func (ex *exchange) send() error {
	before := ex.c.wire.written.Load()
	_, err := ex.c.nc.Write(*ex.out)
	ex.sent = ex.c.wire.written.Load() > before // before anybody is told, who may panic
	// The peer has it: what can wait for that is done while the answer is waited for.
	ex.announce()
	if ex.sent && ex.listener != nil {
		ex.listener.WroteHeaders()
	}
	if err != nil {
		return err
	}
	if !ex.inline {
		ex.watchEarly(ex.c.taken)
	}
	ex.freeOut() // who waits for an answer holds none
	switch {
	case ex.expect:
		return ex.sendExpected()
	case !ex.inline && ex.length != 0:
		ex.startSender()
	}
	return nil
}

// sendExpected waits for 100 (Continue), or for so long that the peer probably
// does not know it, and sends the body then. A final response meanwhile leaves
// the body unsent: receive finds it in the buffer.
func (ex *exchange) sendExpected() error {
	began := time.Now()
	final, err := ex.awaitContinue(began)
	if end, ends := ex.nextEnd(began); ends && ex.isSilence(err) && !time.Now().Before(end) {
		// The wait took so long that there is no time left to send in. The context's end, which
		// comes now if it is not put off, ends this one.
		final, err = ex.awaitContinue(time.Now())
	}
	ex.setReadDeadline(time.Time{})
	switch {
	case ex.isSilence(err):
	case err != nil:
		return err
	case final:
		// The body was announced and is not coming.
		ex.sender = stoppedSender(ex)
		return nil
	}
	ex.startSender()
	return nil
}

// isSilence reports that 100 (Continue) was waited for in vain, by a call that goes on. The
// connection hears of the context's end a little later.
func (ex *exchange) isSilence(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && !ex.canceled.Load() && ex.ctx().Err() == nil
}

// continuePatience is how long 100 (Continue) is waited for: what the settings say, and no
// more than a quarter of what the call, or this attempt, has left, since a peer that does not
// know it needs the rest.
func (ex *exchange) continuePatience(now time.Time) time.Duration {
	patience := ex.t.settings.ExpectContinueTimeout
	if end, ends := ex.nextEnd(now); ends {
		patience = min(patience, end.Sub(now)/4)
	}
	return patience
}

// nextEnd is when the call, or this attempt, ends next. A time that is over is none: either the
// context ends just now, which the connection hears of, or it does not end then.
func (ex *exchange) nextEnd(now time.Time) (end time.Time, ends bool) {
	end, ends = ex.ctx().Deadline()
	ends = ends && end.After(now)
	if own, may := ex.ctx().(interface{ Earliest() time.Time }); may {
		if at := own.Earliest(); at.After(now) && (!ends || at.Before(end)) {
			return at, true
		}
	}
	return end, ends
}

// fail ends the call without a response.
func (ex *exchange) fail(err error) error {
	e := &Error{Kind: kindOf(err, Reset), Addr: ex.key.addr(), Sent: ex.sent, Err: unexpected(err)}
	ex.c.abort()
	var bodyErr error
	if ex.sender != nil {
		bodyErr = ex.sender.stop()
	} else {
		closeBody(ex.req)
	}
	ex.detach()
	ex.freeReader()
	ex.freeOut()
	switch {
	case ex.ctx().Err() != nil:
		e.Kind, e.Err = Canceled, causeOf(ex.ctx())
	case bodyErr != nil:
		e.Kind, e.Err = ClientBody, bodyErr
	}
	return e
}

// bodyless reports that a response has no body whatever its header says
// (RFC 9112 §6.3).
func bodyless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// Buffers live only as long as bytes flow: an idle connection holds none.
var (
	readerPool = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}
	outPool    = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}
)

func (ex *exchange) freeReader() {
	if ex.br != nil {
		ex.br.Reset(nil)
		readerPool.Put(ex.br)
		ex.br = nil
	}
}

func (ex *exchange) freeOut() {
	if ex.out != nil {
		if cap(*ex.out) <= 2*maxInline {
			outPool.Put(ex.out)
		}
		ex.out = nil
	}
}

// http2Body is the request body for HTTP/2, nil if there is none. If it was
// prepared for HTTP/1.1 already, it is taken from there.
func (ex *exchange) http2Body() *guardedBody {
	defer ex.detach() // the library watches the context itself
	defer ex.freeOut()
	if ex.length == 0 {
		closeBody(ex.req)
		return nil
	}
	if ex.inline && ex.prepared.Load() {
		return newGuardedBody(copied(strings.NewReader(string((*ex.out)[ex.headLen:]))), ex.length, nil)
	}
	return newGuardedBody(ex.req.Body, ex.length, ex.req.Trailer)
}
