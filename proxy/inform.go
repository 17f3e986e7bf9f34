package proxy

import (
	"net/http"
	"net/textproto"
)

// Inform passes an informational response on while the final one is awaited. Over HTTP/2
// they come on a goroutine of the transport's, which may be late.
func (x *exchange) Inform(code int, informational textproto.MIMEHeader) error {
	x.informing.Lock()
	defer x.informing.Unlock()
	waits := x.r.Header.Get("Expect") != ""
	switch {
	case x.final || !x.r.ProtoAtLeast(1, 1): // RFC 9110 section 15.2: not to a 1.0 client
		return nil
	case code == http.StatusContinue && !waits: // nor a 100 that was not asked for
		return nil
	case code != http.StatusContinue && waits && !x.continued:
		// The server may be writing its own 100 on the goroutine that reads the
		// body; a hint is not worth a garbled answer.
		return nil
	}
	x.continued = x.continued || code == http.StatusContinue
	header := x.w.Header()
	x.passOn(header, http.Header(informational))
	x.w.WriteHeader(code)
	clear(header)
	return nil
}

// finish makes the answer the final one: an informational one that comes later is dropped.
// It is for the goroutine of the call, which so needs no lock to see that it was here.
func (x *exchange) finish() {
	if x.final {
		return
	}
	x.informing.Lock()
	x.final = true
	x.informing.Unlock()
}
