package egress

import (
	"io"
	"net/http"
	"sync"
)

// switchProtocols turns the connection over to the caller after 101.
func (ex *exchange) switchProtocols(resp *http.Response) (*http.Response, error) {
	if !ex.upgrade || len(resp.Header["Upgrade"]) == 0 {
		return nil, malformed("101 that was not asked for")
	}
	if ex.sender != nil {
		// The peer must have read the request before it switches (RFC 9110
		// §7.8), so the sender is at its end, or the peer does not behave.
		if _ = ex.sender.stop(); !ex.sender.complete {
			return nil, malformed("101 before the end of the request body")
		}
		ex.sender.finish()
	} else {
		closeBody(ex.req)
	}
	resp.ContentLength = -1
	resp.Body = &upgraded{ex: ex}
	return resp, nil
}

// upgraded is the body of a 101 response: the connection in both directions,
// beginning with what the peer sent right behind its head. One goroutine may
// read while another writes.
type upgraded struct {
	ex      *exchange
	reading sync.Mutex // held by Read; guards ex.br
	once    sync.Once
}

// Read implements io.Reader.
func (u *upgraded) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if br := u.ex.br; br != nil {
		if br.Buffered() > 0 {
			return br.Read(p)
		}
		u.ex.freeReader()
	}
	n, err := u.ex.c.nc.Read(p)
	if err == io.EOF && u.ex.c.cutOff() {
		err = io.ErrUnexpectedEOF
	}
	return n, u.fault(err)
}

// Write implements io.Writer.
func (u *upgraded) Write(p []byte) (int, error) {
	n, err := u.ex.c.nc.Write(p)
	return n, u.fault(err)
}

func (u *upgraded) fault(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	e := &Error{Kind: kindOf(err, Truncated), Addr: u.ex.key.addr(), Sent: true, Err: err}
	if u.ex.ctx().Err() != nil {
		e.Kind, e.Err = Canceled, causeOf(u.ex.ctx())
	}
	return e
}

// CloseWrite ends our direction: with a FIN, or in TLS with close_notify.
func (u *upgraded) CloseWrite() error {
	if cw, ok := u.ex.c.nc.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return http.ErrNotSupported
}

// Close closes the connection and wakes a Read and a Write in progress.
func (u *upgraded) Close() error {
	u.once.Do(func() {
		u.ex.detach()
		u.ex.c.close() // with a Write in progress crypto/tls leaves close_notify out
		u.reading.Lock()
		u.ex.freeReader()
		u.reading.Unlock()
	})
	return nil
}
