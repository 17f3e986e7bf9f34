package egress

import (
	"net/http"
	"strings"
)

// A head is a response without its body, and what makes it quick to read.
type head struct {
	http.Response
	seen   signs     // of its fields' names
	values [9]string // of its fields, if there are so few
}

// A status is the first line of a head.
type status struct {
	line  string // as it came, with its CRLF
	minor int    // of the version, HTTP/1.
	code  int
}

// text is what http.Response.Status has of the line.
func (s status) text() string { return s.line[len("HTTP/1.1 ") : len(s.line)-len("\r\n")] }

// parseStatus parses the line that s begins with, as RFC 9112 §4 has it. The reason
// phrase, and the space before it, may be missing.
func parseStatus(s string) (status, error) {
	line, _, ok := strings.Cut(s, "\r\n")
	if !ok || len(line) < len("HTTP/1.1 200") || line[:7] != "HTTP/1." || line[8] != ' ' {
		return status{}, malformed("status line")
	}
	minor := line[7] - '0'
	if minor > 1 {
		return status{}, malformed("HTTP version")
	}
	code, rest := line[9:12], line[12:]
	if code[0] < '1' || !isDigits(code) || rest != "" && rest[0] != ' ' || !isFieldValue(rest) {
		return status{}, malformed("status line")
	}
	number := int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	return status{s[:len(line)+len("\r\n")], int(minor), number}, nil
}

// parse parses a head as RFC 9112 §4 and §5 have it.
func (h *head) parse(s section, known *names, p *precedent) error {
	first, err := p.statusOf(s.text)
	if err != nil {
		return err
	}
	room := h.values[:]
	if h.Header != nil {
		room = nil // somebody may have kept the header of an interim response
	}
	if h.Header, h.seen, err = parseFields(s.behind(len(first.line)), known, p, room); err != nil {
		return err
	}
	// No interim head has more than this, so nothing is left of one.
	h.Status, h.StatusCode = first.text(), first.code
	h.Proto, h.ProtoMajor, h.ProtoMinor = "HTTP/1.1", 1, first.minor
	if first.minor == 0 {
		h.Proto = "HTTP/1.0"
	}
	h.ContentLength = -1
	return nil
}

// An asked is a name that is looked for in each answer, with its sign.
type asked struct {
	name string
	sign signs
}

func ask(name string) asked { return asked{name, signOf(name)} }

var (
	connectionField       = ask("Connection")
	contentLengthField    = ask("Content-Length")
	transferEncodingField = ask("Transfer-Encoding")
	trailerField          = ask("Trailer")
	keepAliveField        = ask("Keep-Alive")
)

// field is the values of one field, nil for none.
func (h *head) field(a *asked) []string {
	if h.seen&a.sign == 0 {
		return nil
	}
	return h.Header[a.name]
}
