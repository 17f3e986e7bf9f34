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
	for interim := 0; !ex.answered; interim++ { // it may have been, while 100 (Continue) was waited for
		if err := ex.readHead(interim); err != nil {
			return nil, err
		}
	}
	resp := &ex.answer.Response
	if resp.StatusCode == http.StatusProxyAuthRequired && ex.key.forwarded() {
		// It is about our credentials, and not the caller's.
		return nil, &ProxyError{Proxy: ex.key.via.addr, Status: resp.StatusCode}
	}
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
	if lists := ex.answer.field(&keepAliveField); lists != nil {
		ex.hint(lists)
	}
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
	if ex.framing == chunked {
		return ex.hasChunk()
	}
	return ex.br.Buffered() > 0
}

// hasChunk reports that a byte of a chunk, or all of the body's end, is there.
func (ex *exchange) hasChunk() bool {
	buf, _ := ex.br.Peek(ex.br.Buffered())
	line := bytes.IndexByte(buf, '\n')
	return line >= 0 && line+1 < len(buf) && ex.chunkHeadBuffered()
}

// misdirected reports an answer that says that the connection leads to the wrong server
// (RFC 9110 §15.5.20). It is not used again, so that another attempt has another one.
func misdirected(resp *http.Response) bool {
	return resp.StatusCode == http.StatusMisdirectedRequest
}

// awaitContinue reads responses up to 100 (Continue), or up to a final one,
// which is answered then. The deadline counts only between heads.
func (ex *exchange) awaitContinue(now time.Time) (final bool, err error) {
	until := now.Add(ex.continuePatience(now))
	for interim := 0; ; interim++ {
		ex.setReadDeadline(until)
		if _, err := ex.br.Peek(1); err != nil {
			return false, err
		}
		ex.setReadDeadline(time.Time{})
		if err := ex.readHead(interim); err != nil {
			return false, err
		}
		if ex.answered || ex.answer.StatusCode == http.StatusContinue {
			return ex.answered, nil
		}
	}
}

// interim hands a 1xx response on, the last one after n others.
func (ex *exchange) interim(n int) error {
	r := &ex.answer
	if n >= maxInterim {
		return malformed("too many interim responses")
	}
	if tr := ex.trace(); r.StatusCode == http.StatusContinue && tr != nil && tr.Got100Continue != nil {
		tr.Got100Continue()
	}
	if ex.listener != nil {
		return ex.listener.Got1xxResponse(r.StatusCode, textproto.MIMEHeader(r.Header))
	}
	return nil
}

// readHead reads and parses one head, which comes after so many interim ones. It
// hands another of these on, or else notes that this is the answer.
func (ex *exchange) readHead(interim int) error {
	isFirst := ex.answer.StatusCode == 0
	if tr := ex.trace(); isFirst && tr != nil && tr.GotFirstResponseByte != nil {
		if _, err := ex.br.Peek(1); err != nil {
			return err
		}
		tr.GotFirstResponseByte()
	}
	s, err := readSection(ex.br, ex.t.settings.MaxHeaderBytes)
	if err != nil {
		return err
	}
	if err := ex.answer.parse(s, &ex.t.names, ex.c.home.precedent.Load()); err != nil {
		return err
	}
	if code := ex.answer.StatusCode; code < 200 && code != http.StatusSwitchingProtocols {
		return ex.interim(interim)
	}
	ex.answered = true
	if ex.c.isDue() {
		ex.c.learn(s, &ex.t.names)
	}
	return nil
}

// hint notes for how long the peer says that it keeps the connection
// (Keep-Alive: timeout=N), less a second for the way there.
func (ex *exchange) hint(lists []string) {
	for _, list := range lists {
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
