package egress

import (
	"net/http"
	"net/textproto"
	"strings"
)

// framing says how a response body ends.
type framing uint8

const (
	noBody     framing = iota
	fixed              // after Content-Length bytes
	chunked            // after the last chunk
	untilClose         // with the connection
)

// frame finds out how the body of a final response ends (RFC 9112 §6) and
// whether the connection may be used afterwards (§9.3). Whatever two parsers
// could read differently is refused. It takes Transfer-Encoding, and with
// chunked Trailer, out of the header, as net/http does.
func (h *head) frame(method string) (f framing, keep bool, err error) {
	connection := h.field(&connectionField)
	h.Close = tokenIn(connection, "close") || h.ProtoMinor == 0 && !tokenIn(connection, "keep-alive")
	keep = !h.Close

	length, err := h.contentLength()
	if err != nil {
		return 0, false, err
	}
	h.ContentLength = length
	codings := h.field(&transferEncodingField)
	isChunked := len(codings) > 0
	if isChunked {
		if err := h.unchunk(codings); err != nil {
			return 0, false, err
		}
	}
	switch {
	case bodyless(method, h.StatusCode):
		if length < 0 && method != http.MethodHead {
			h.ContentLength = 0
		}
		return noBody, keep, nil
	case isChunked:
		h.TransferEncoding = []string{"chunked"}
		return chunked, keep, nil
	case length == 0:
		return noBody, keep, nil
	case length > 0:
		return fixed, keep, nil
	}
	h.Close = true
	return untilClose, false, nil
}

// contentLength is the declared length, -1 without one. Repetitions that agree
// become one field (RFC 9110 §8.6).
func (h *head) contentLength() (int64, error) {
	values := h.field(&contentLengthField)
	if len(values) == 0 {
		return -1, nil
	}
	if len(values) > 1 {
		if err := h.uniteLengths(values); err != nil {
			return 0, err
		}
	}
	if n, ok := decimal(values[0]); ok {
		return n, nil
	}
	return 0, malformed("Content-Length")
}

// uniteLengths makes one field of several that agree.
func (h *head) uniteLengths(values []string) error {
	for _, v := range values[1:] {
		if v != values[0] {
			return malformed("Content-Length fields that differ")
		}
	}
	h.Header["Content-Length"] = values[:1]
	return nil
}

// unchunk accepts exactly chunked: other codings we never asked for, and could not
// take off (RFC 9112 §6.1, §7.4).
func (h *head) unchunk(codings []string) error {
	switch {
	case len(codings) > 1 || !fold(codings[0], "chunked"):
		return malformed("Transfer-Encoding other than chunked")
	case h.ContentLength >= 0:
		return malformed("both Transfer-Encoding and Content-Length")
	case h.ProtoMinor == 0:
		return malformed("Transfer-Encoding in HTTP/1.0")
	}
	delete(h.Header, "Transfer-Encoding")
	h.announceTrailers()
	return nil
}

// announceTrailers moves the names in the field Trailer to h.Trailer. It is no more than a
// hint (RFC 9110 §6.6.2): what cannot be a trailer is left out, as it is where it comes.
func (h *head) announceTrailers() {
	lists := h.field(&trailerField)
	if len(lists) == 0 {
		return
	}
	delete(h.Header, "Trailer")
	h.Trailer = make(http.Header)
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			if item = trimmed(item); isToken(item) && allowedTrailer(item) {
				h.Trailer[textproto.CanonicalMIMEHeaderKey(item)] = nil
			}
		}
	}
}
