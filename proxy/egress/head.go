package egress

import (
	"bytes"
	"net/http"
)

// A head is a response without its body, and what makes it quick to read.
type head struct {
	http.Response
	seen   signs     // of its fields' names
	values [9]string // of its fields, if there are so few
}

// parse parses a head, without its empty line, as RFC 9112 §4 and §5 have it. The
// reason phrase, and the space before it, may be missing.
func (h *head) parse(s []byte, known *names, p *precedent) error {
	first, fields, ok := bytes.Cut(s, []byte("\r\n"))
	line := p.statusLine(first)
	if !ok || len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[8] != ' ' {
		return malformed("status line")
	}
	minor := line[7] - '0'
	if minor > 1 {
		return malformed("HTTP version")
	}
	code, rest := line[9:12], line[12:]
	if code[0] < '1' || !isDigits(code) || rest != "" && rest[0] != ' ' || !isFieldValue(rest) {
		return malformed("status line")
	}
	room := h.values[:]
	if h.Header != nil {
		room = nil // somebody may have kept the header of an interim response
	}
	var err error
	if h.Header, h.seen, err = parseFields(fields, known, p, room); err != nil {
		return err
	}
	// No interim head has more than this, so nothing is left of one.
	h.Status = line[9:]
	h.StatusCode = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	h.Proto, h.ProtoMajor, h.ProtoMinor = "HTTP/1.1", 1, int(minor)
	if minor == 0 {
		h.Proto = "HTTP/1.0"
	}
	h.ContentLength = -1
	return nil
}

// field is the values of one field, nil for none.
func (h *head) field(name string) []string {
	if h.seen&signOf(name) == 0 {
		return nil
	}
	return h.Header[name]
}
