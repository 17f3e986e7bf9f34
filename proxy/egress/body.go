package egress

import (
	"io"
	"net/http"
)

// Read reads the response's body. At its end the connection goes back to the
// pool at once, without waiting for Close.
func (ex *exchange) Read(p []byte) (int, error) {
	ex.reading.Lock()
	defer ex.reading.Unlock()
	if ex.ended != nil {
		return 0, ex.ended
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch ex.framing {
	case fixed:
		n, err = ex.readFixed(p)
	case chunked:
		n, err = ex.readChunked(p)
	default:
		n, err = ex.readUntilClose(p)
	}
	switch {
	case err == io.EOF:
		ex.ended = err
		ex.finish(true)
	case err != nil:
		err = ex.breakOff(err)
	}
	return n, err
}

// breakOff ends the body before its end, and returns the error that is Read's from now on.
func (ex *exchange) breakOff(err error) error {
	ex.ended = ex.bodyError(err)
	ex.finish(false)
	return ex.ended
}

// readFixed gives io.EOF together with the last byte.
func (ex *exchange) readFixed(p []byte) (int, error) {
	if int64(len(p)) > ex.left {
		p = p[:ex.left]
	}
	n, err := ex.br.Read(p)
	ex.left -= int64(n)
	if ex.left == 0 {
		return n, io.EOF
	}
	return n, unexpected(err)
}

// readUntilClose: only a deliberate end of the connection is the body's end.
// In TLS that is close_notify, for anybody can forge a FIN (RFC 9112 §9.8).
func (ex *exchange) readUntilClose(p []byte) (int, error) {
	n, err := ex.br.Read(p)
	if err == io.EOF && ex.c.cutOff() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// bodyError says why the body broke off.
func (ex *exchange) bodyError(err error) error {
	e := &Error{Kind: kindOf(err, Truncated), Addr: ex.key.addr(), Sent: true, Err: err}
	var bodyErr error
	if ex.sender != nil {
		select {
		case <-ex.sender.done:
			bodyErr = ex.sender.bodyErr
		default:
		}
	}
	switch {
	case ex.ctx().Err() != nil:
		e.Kind, e.Err = Canceled, causeOf(ex.ctx())
	case bodyErr != nil:
		e.Kind, e.Err = ClientBody, bodyErr
	case e.Kind == Truncated && err != io.ErrUnexpectedEOF:
		// A reset is as good as an early end.
		e.Err = &faultError{Truncated, err.Error(), io.ErrUnexpectedEOF}
	}
	return e
}

// Close ends the body. What has not been read is lost, and so is the
// connection. A Read in progress on another goroutine is woken.
func (ex *exchange) Close() error {
	if !ex.reading.TryLock() {
		ex.interrupt()
		ex.reading.Lock()
	}
	defer ex.reading.Unlock() // the request body's Close, which finish may call, is foreign code
	open := ex.ended == nil
	ex.ended = http.ErrBodyReadAfterClose
	if open {
		ex.finish(false)
	}
	return nil
}

// finish lets go of everything that the call holds. clean: the response was
// complete. The connection goes back to the pool if it is at the boundary of
// two messages and nothing is in the way.
func (ex *exchange) finish(clean bool) {
	reuse := clean && ex.keep
	if ex.sender != nil {
		if !clean {
			ex.c.abort() // wakes the sender's write, too
		}
		reuse = ex.sender.finish() && reuse
	}
	// Bytes behind the response belong to nobody.
	reuse = reuse && ex.br.Buffered() == 0
	ex.freeReader()
	if reuse {
		ex.t.put(ex)
		return
	}
	ex.hangUp(clean && ex.sender == nil)
}

// hangUp ends the call, and with it its connection, politely or at once.
func (ex *exchange) hangUp(politely bool) {
	ex.detach()
	if politely {
		ex.c.close()
	} else {
		ex.c.abort()
	}
}
