package egress

import "bytes"

// A precedent is the head of an answer that an authority gave before. Much of the next
// one is the same, byte for byte: server, type, policies, limits. What was looked at in
// the precedent is not looked at again. It never changes.
type precedent struct {
	status status
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

// isDue reports that the head of the answer that came is to be learned.
func (c *conn) isDue() bool { return c.uses%renewal == 2 }

// learn makes s, the head of an answer, the precedent of the next ones.
func (c *conn) learn(s section, known *names) {
	if len(s.text) > maxPrecedent || s.lines > maxPrecedentFields {
		return
	}
	if p, err := newPrecedent(string(s.text), known); err == nil {
		c.home.precedent.Store(p)
	}
}

func newPrecedent(head string, known *names) (*precedent, error) {
	first, err := parseStatus(head)
	if err != nil {
		return nil, err
	}
	p := &precedent{status: first}
	for rest := head[len(first.line):]; rest != ""; {
		f, err := parseField(rest, known)
		if err != nil {
			return nil, err
		}
		p.fields, rest = append(p.fields, f), rest[len(f.line):]
	}
	return p, nil
}

// statusOf parses the line that s begins with, unless it is the precedent's.
func (p *precedent) statusOf(s []byte) (status, error) {
	if p != nil && hasPrefix(s, p.status.line) {
		return p.status, nil
	}
	return parseStatus(string(s[:bytes.IndexByte(s, '\n')+1]))
}

// A follower goes through a precedent beside a section that is read.
type follower struct {
	left  []field // of the precedent
	fresh field   // the last one that is none of these
}

// follow begins at the precedent's first field. nil has none.
func (p *precedent) follow() follower {
	if p == nil {
		return follower{}
	}
	return follower{left: p.fields}
}

// next is the precedent's next field, if that is the one in the line that s begins with; else
// nil. The value is the line's, which may be another, and the length that of the line.
func (w *follower) next(s []byte) (f *field, value string, length int, err error) {
	if len(w.left) == 0 {
		return nil, "", 0, nil
	}
	f = &w.left[0]
	switch {
	case hasPrefix(s, f.line):
		value, length = f.value, len(f.line)
	case hasPrefix(s, f.label):
		length = bytes.IndexByte(s, '\n') + 1 // readSection has seen to CRLF
		value = trimmed(string(s[len(f.label) : length-len("\r\n")]))
		if !isFieldValue(value) {
			return nil, "", 0, errControl
		}
	default:
		return nil, "", 0, nil
	}
	w.left = w.left[1:]
	return f, value, length, nil
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
