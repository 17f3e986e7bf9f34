package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stream is one request over HTTP/2 and then its response's body.
type stream struct {
	ex      *exchange
	h       *h2conn
	body    *guardedBody // nil: the request has none
	hooks   httptrace.ClientTrace
	wrote   atomic.Bool // the library has handed the header frame to the socket
	told    atomic.Bool // the caller's WroteHeaders was called
	over    atomic.Bool // RoundTrip has failed: the caller's hooks are not called any more
	interim int
	once    sync.Once // guards the release of the connection
}

func newStream(ex *exchange, h *h2conn, body *guardedBody) *stream {
	return &stream{ex: ex, h: h, body: body}
}

// request is req as the library wants it.
func (s *stream) request() *http.Request {
	ex := s.ex
	s.announce()
	s.hooks = httptrace.ClientTrace{
		WroteHeaders:         s.wroteHeaders,
		GotFirstResponseByte: s.firstByte,
		Got1xxResponse:       s.got1xx,
		Got100Continue:       s.got100,
	}

	// Shallow: trailers are filled in while the body is read.
	r := ex.req.WithContext(httptrace.WithClientTrace(untraced{ex.ctx()}, &s.hooks))
	u := *ex.req.URL
	// The library takes scheme and host off an Opaque that has both.
	u.Scheme, u.Host = "https", ex.host
	u.Opaque, u.RawQuery, u.ForceQuery = ex.path, ex.req.URL.RawQuery, ex.req.URL.ForceQuery
	if strings.HasPrefix(u.Opaque, "/") {
		u.Opaque = "//" + ex.host + u.Opaque
	}
	r.URL, r.Host = &u, ex.host
	r.Header = http2Header(ex.req.Header)
	r.Close, r.Cancel, r.GetBody = false, nil, nil //nolint:staticcheck // cleared, so that nothing can use it
	r.Body, r.ContentLength = nil, 0
	if s.body != nil {
		r.Body, r.ContentLength = s.body, ex.length
		if len(ex.req.Trailer) == 0 {
			r.Trailer = nil
		}
		if ex.expect && ex.continuePatience(time.Now()) < ex.t.settings.ExpectContinueTimeout {
			// The library waits as long as the settings say, for which there is no time.
			r.Header.Del("Expect")
		}
	} else {
		r.Trailer = nil
	}
	return r
}

// announce calls the caller's GotConn.
func (s *stream) announce() {
	s.ex.t.mu.Lock()
	reused := s.h.used
	s.h.used = true
	s.ex.t.mu.Unlock()
	if s.ex.listener != nil {
		s.ex.listener.GotConn(httptrace.GotConnInfo{Conn: s.h.conn.nc, Reused: reused})
	}
}

// http2Header copies h without what HTTP/2 forbids (RFC 9113 §8.2.2). The
// explicit nil keeps the library from adding a User-Agent of its own.
func http2Header(h http.Header) http.Header {
	out := make(http.Header, len(h)+1)
	agent := false
	for name, values := range h {
		switch {
		case isFraming(name), fold(name, "Connection"), fold(name, "Proxy-Connection"),
			fold(name, "Keep-Alive"), fold(name, "Upgrade"):
			continue
		case fold(name, "Te"):
			if !tokenIn(values, "trailers") {
				continue
			}
			values = []string{"trailers"}
		case fold(name, "User-Agent"):
			agent = true
		}
		out[name] = values
	}
	if !agent {
		out["User-Agent"] = nil
	}
	return out
}

func (s *stream) wroteHeaders() {
	s.wrote.Store(true)
	s.tell()
}

// tell calls the caller's WroteHeaders, once.
func (s *stream) tell() {
	if s.ex.listener != nil && !s.told.Swap(true) {
		s.ex.listener.WroteHeaders()
	}
}

func (s *stream) firstByte() {
	if tr := s.ex.trace(); tr != nil && tr.GotFirstResponseByte != nil && !s.over.Load() {
		tr.GotFirstResponseByte()
	}
}

func (s *stream) got100() {
	if tr := s.ex.trace(); tr != nil && tr.Got100Continue != nil && !s.over.Load() {
		tr.Got100Continue()
	}
}

func (s *stream) got1xx(code int, h textproto.MIMEHeader) error {
	if code == http.StatusSwitchingProtocols {
		return malformed("101 over HTTP/2") // RFC 9113 §8.6
	}
	if s.interim++; s.interim > maxInterim {
		return malformed("too many interim responses")
	}
	if s.ex.listener != nil && !s.over.Load() {
		return s.ex.listener.Got1xxResponse(code, h)
	}
	return nil
}

// untraced hides the caller's httptrace hooks, so that those of a stream take
// their place. WithClientTrace by itself would call both, through reflection,
// and return the caller's verdict on a 1xx response instead of ours.
type untraced struct{ context.Context }

func (u untraced) Value(name any) any {
	v := u.Context.Value(name)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}

// judge refuses a status that is none (RFC 9110 §15): the library takes any number for one.
func (s *stream) judge(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode <= 999 {
		return nil
	}
	s.wroteHeaders() // see deliver
	resp.Body.Close()
	return malformed("status")
}

// deliver dresses the library's response.
func (s *stream) deliver(resp *http.Response) *http.Response {
	s.wroteHeaders() // who has an answer has sent; the library may be about to say so
	resp.Request = s.ex.req
	resp.TLS = s.h.conn.tls
	if misdirected(resp) {
		s.ex.t.retire(s.h)
	}
	if bodyless(s.ex.req.Method, resp.StatusCode) {
		// To the library a 304 with a Content-Length lacks its body.
		resp.Body.Close()
		s.finish()
		resp.Body = http.NoBody
		return resp
	}
	resp.Body = &streamBody{stream: s, rc: resp.Body}
	return resp
}

// finish lets go of the request body and of the connection, once.
func (s *stream) finish() {
	s.once.Do(func() {
		s.body.stop()
		s.ex.t.release(s.h)
	})
}

// fail is RoundTrip's error. The library has ended the stream, except after a
// cancellation: then it may be about to write, and Sent and WroteHeaders err on
// the safe side.
func (s *stream) fail(err error) error {
	e := &Error{Kind: Reset, Addr: s.ex.key.addr(), Sent: s.wrote.Load()}
	s.body.stop()
	s.over.Store(true)
	switch bodyErr := s.body.failure(); {
	case s.ex.ctx().Err() != nil:
		e.Kind, e.Sent, e.Err = Canceled, true, causeOf(s.ex.ctx())
		s.tell()
	case bodyErr != nil:
		e.Kind, e.Err = ClientBody, bodyErr
	default:
		e.Kind, e.Err = explain(err)
		if wasRefused(err) {
			e.Sent = false
		}
	}
	return e
}

// streamBody is the body of a response over HTTP/2.
type streamBody struct {
	*stream
	rc io.ReadCloser
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.rc.Read(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		b.finish()
		return n, io.EOF
	}
	return n, b.fault(err)
}

func (b *streamBody) fault(err error) error {
	if err == http.ErrBodyReadAfterClose || err.Error() == "http2: response body closed" {
		return http.ErrBodyReadAfterClose
	}
	e := &Error{Kind: Truncated, Addr: b.ex.key.addr(), Sent: true}
	bodyErr := b.body.failure()
	switch {
	case b.ex.ctx().Err() != nil:
		e.Kind, e.Err = Canceled, causeOf(b.ex.ctx())
	case bodyErr != nil:
		e.Kind, e.Err = ClientBody, bodyErr
	case err.Error() == textTooMuchData:
		e.Kind, e.Err = Malformed, malformed("more data than its Content-Length")
	default:
		_, why := explain(err)
		if !errors.Is(why, io.ErrUnexpectedEOF) {
			why = &faultError{Truncated, why.Error(), io.ErrUnexpectedEOF}
		}
		e.Err = why
	}
	b.finish()
	return e
}

func (b *streamBody) Close() error {
	err := b.rc.Close()
	b.finish()
	return err
}
