package egress

import (
	"bytes"
	"strings"
)

// A precedent is the head of an answer that an authority gave before. Much of the next
// one is the same, byte for byte: server, type, policies, limits. What was looked at in
// the precedent is not looked at again. It never changes.
type precedent struct {
	status string // the line, without its CRLF
	fields []field
}

// A field is one line of a section.
type field struct {
	line  string // as it came, with its CRLF
	label string // of that, the name and the colon
	name  string // in canonical form
	value string // without the space around it
	sign  signs  // of name
}

// Bounds of a precedent: peers choose what is in it.
const (
	maxPrecedent       = 4 << 10 // bytes
	maxPrecedentFields = 64
)

// renewal is after how many calls over a connection an answer is the next precedent, so
// that its date is seldom an old one. The first is the second answer: there may be no more
// than one.
const renewal = 256

// learn makes s, the head of an answer, the precedent of the next ones, if it is time.
func (c *conn) learn(s []byte, known *names) {
	if c.uses%renewal != 2 || len(s) > maxPrecedent || bytes.Count(s, []byte("\n")) > maxPrecedentFields {
		return
	}
	if p, err := newPrecedent(string(s), known); err == nil {
		c.home.precedent.Store(p)
	}
}

func newPrecedent(head string, known *names) (*precedent, error) {
	status, rest, _ := strings.Cut(head, "\r\n")
	p := &precedent{status: status}
	for rest != "" {
		f, err := parseField(rest, known)
		if err != nil {
			return nil, err
		}
		p.fields, rest = append(p.fields, f), rest[len(f.line):]
	}
	return p, nil
}

// statusLine is line, without a copy if it is the precedent's.
func (p *precedent) statusLine(line []byte) string {
	if p != nil && string(line) == p.status {
		return p.status
	}
	return string(line)
}

// A follower goes through a precedent beside a section that is read.
type follower struct {
	left  []field // of the precedent
	fresh field   // the last one that was found, if it is none of these
}

// follow begins at the precedent's first field. nil has none.
func (p *precedent) follow() follower {
	if p == nil {
		return follower{}
	}
	return follower{left: p.fields}
}

// next is the field in the line that s begins with, and the length of that, if it is the
// precedent's next one, be it with another value; else nil.
func (w *follower) next(s []byte) (*field, int, error) {
	if len(w.left) == 0 {
		return nil, 0, nil
	}
	f := &w.left[0]
	if hasPrefix(s, f.line) {
		w.left = w.left[1:]
		return f, len(f.line), nil
	}
	if !hasPrefix(s, f.label) {
		return nil, 0, nil
	}
	n := bytes.IndexByte(s, '\n') + 1 // readSection has seen to CRLF
	value := trimmed(string(s[len(f.label) : n-len("\r\n")]))
	if !isFieldValue(value) {
		return nil, 0, errControl
	}
	w.left, w.fresh = w.left[1:], field{name: f.name, value: value, sign: f.sign}
	return &w.fresh, n, nil
}

func hasPrefix(s []byte, prefix string) bool {
	return len(s) >= len(prefix) && string(s[:len(prefix)]) == prefix
}

// other is the field in the line that s begins with, and the length of that. The next
// one to come is behind that of the same name, if there is one: those before it are missing.
func (w *follower) other(s string, known *names) (*field, int, error) {
	f, err := parseField(s, known)
	for i := range w.left {
		if w.left[i].name == f.name {
			w.left = w.left[i+1:]
			break
		}
	}
	w.fresh = f
	return &w.fresh, len(f.line), err
}
