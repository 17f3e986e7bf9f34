package egress

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// maxInterim bounds the 1xx responses before the final one.
const maxInterim = 100

// receive reads up to the final response's head and returns the response,
// with this exchange as its body.
func (ex *exchange) receive() (*http.Response, error) {
	resp := ex.resp // found while waiting for 100 (Continue)
	for interim := 0; resp == nil; interim++ {
		r, err := ex.readHead() //nolint:bodyclose // the caller closes it
		if err != nil {
			return nil, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			resp = r
			break
		}
		if err := ex.interim(r, interim); err != nil {
			return nil, err
		}
	}
	if resp.StatusCode == http.StatusProxyAuthRequired && ex.key.forwarded() {
		// It is about our credentials, and not the caller's.
		return nil, &ProxyError{Proxy: ex.key.via.addr, Status: resp.StatusCode}
	}
	ex.resp = resp
	resp.Request = ex.req
	resp.TLS = ex.c.tls
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return ex.switchProtocols(resp)
	}
	f, keep, err := ex.answer.frame(ex.req.Method)
	if err != nil {
		return nil, err
	}
	ex.framing, ex.keep, ex.left = f, keep && !ex.last && !misdirected(resp), 0
	if f == fixed {
		ex.left = resp.ContentLength
	}
	ex.hint()
	if ex.sender != nil && resp.StatusCode > 299 {
		// The peer has decided without the rest of the body (RFC 9112 §9.5).
		ex.sender.interrupt()
	}
	if f == noBody {
		resp.Body = http.NoBody
		ex.finish(true)
		return resp, nil
	}
	if ex.listener != nil && ex.hasBody() {
		ex.listener.GotBody()
	}
	resp.Body = ex
	return resp, nil
}

// hasBody reports that the next Read of the body will not wait.
func (ex *exchange) hasBody() bool {
	buf, _ := ex.br.Peek(ex.br.Buffered())
	if ex.framing == chunked {
		line := bytes.IndexByte(buf, '\n')
		return line >= 0 && line+1 < len(buf) && ex.chunkHeadBuffered()
	}
	return len(buf) > 0
}

// misdirected reports an answer that says that the connection leads to the wrong server
// (RFC 9110 §15.5.20). It is not used again, so that another attempt has another one.
func misdirected(resp *http.Response) bool {
	return resp.StatusCode == http.StatusMisdirectedRequest
}

// awaitContinue reads responses up to 100 (Continue), or up to a final one,
// which it leaves in ex.resp. The deadline counts only between heads.
func (ex *exchange) awaitContinue() (final bool, err error) {
	until := time.Now().Add(ex.t.settings.ExpectContinueTimeout)
	for interim := 0; ; interim++ {
		ex.setReadDeadline(until)
		if _, err := ex.br.Peek(1); err != nil {
			return false, err
		}
		ex.setReadDeadline(time.Time{})
		r, err := ex.readHead() //nolint:bodyclose // the caller closes it
		if err != nil {
			return false, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			ex.resp = r
			return true, nil
		}
		if err := ex.interim(r, interim); err != nil {
			return false, err
		}
		if r.StatusCode == http.StatusContinue {
			return false, nil
		}
	}
}

// interim hands a 1xx response on.
func (ex *exchange) interim(r *http.Response, n int) error {
	if n >= maxInterim {
		return malformed("too many interim responses")
	}
	if tr := ex.trace; r.StatusCode == http.StatusContinue && tr != nil && tr.Got100Continue != nil {
		tr.Got100Continue()
	}
	if ex.listener != nil {
		return ex.listener.Got1xxResponse(r.StatusCode, textproto.MIMEHeader(r.Header))
	}
	return nil
}

// readHead reads and parses one head.
func (ex *exchange) readHead() (*http.Response, error) {
	if !ex.first {
		if _, err := ex.br.Peek(1); err != nil {
			return nil, err
		}
		ex.first = true
		if tr := ex.trace; tr != nil && tr.GotFirstResponseByte != nil {
			tr.GotFirstResponseByte()
		}
	}
	s, err := readSection(ex.br, ex.t.settings.MaxHeaderBytes)
	if err != nil {
		return nil, err
	}
	if err := ex.answer.parse(s, &ex.t.names); err != nil {
		return nil, err
	}
	return &ex.answer.Response, nil
}

// hint notes for how long the peer says that it keeps the connection
// (Keep-Alive: timeout=N), less a second for the way there.
func (ex *exchange) hint() {
	for _, list := range ex.answer.field("Keep-Alive") {
		for item := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(trimmed(item), "=")
			value = strings.Trim(value, ` "`)
			if !fold(name, "timeout") || !isDigits(value) || len(value) > 6 {
				continue
			}
			n, _ := strconv.Atoi(value)
			if n <= 1 {
				ex.keep = false
				continue
			}
			ex.c.keepFor = time.Duration(n-1) * time.Second
		}
	}
}
