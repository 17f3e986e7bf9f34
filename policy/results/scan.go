package results

import "bytes"

// A Finding is what a body says of its list.
type Finding int

// The findings.
const (
	Unknown Finding = iota // it has no list there, or is not read that far
	Empty                  // there is nothing in it
	Some                   // there is something in it
)

// Look looks into the beginning of a body of JSON for the list at path. A path without names
// is the body itself. Of two members of one name the first counts, and a name that is
// written with escapes is not found.
func Look(body []byte, path []string) Finding {
	s := scanner{body}
	for _, name := range path {
		if !s.enter(name) {
			return Unknown
		}
	}
	if !s.next('[') {
		return Unknown
	}
	s.blank()
	switch {
	case len(s.rest) == 0:
		return Unknown
	case s.rest[0] == ']':
		return Empty
	}
	return Some
}

// A scanner walks over JSON without reading it: what comes after a fault is not found, and
// nothing is made of what is passed over.
type scanner struct{ rest []byte }

// enter goes to the value of a member of the object that begins here.
func (s *scanner) enter(name string) bool {
	if !s.next('{') {
		return false
	}
	for s.blank(); len(s.rest) > 0 && s.rest[0] == '"'; s.blank() {
		before := s.rest
		if !s.text() {
			return false
		}
		key := before[1 : len(before)-len(s.rest)-1]
		if !s.next(':') {
			return false
		}
		if string(key) == name {
			return true
		}
		if !s.value() || !s.next(',') {
			return false
		}
	}
	return false
}

// value passes over a value.
func (s *scanner) value() bool {
	s.blank()
	if len(s.rest) == 0 {
		return false
	}
	switch s.rest[0] {
	case '"':
		return s.text()
	case '{', '[':
		return s.nested()
	}
	end := bytes.IndexAny(s.rest, ",]} \t\r\n")
	if end <= 0 {
		return false
	}
	s.rest = s.rest[end:]
	return true
}

// nested passes over an object or a list, with all that is in it.
func (s *scanner) nested() bool {
	depth := 0
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case '"':
			if !s.text() {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if s.rest = s.rest[1:]; depth == 0 {
			return true
		}
	}
	return false
}

// text passes over a text.
func (s *scanner) text() bool {
	for i := 1; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			s.rest = s.rest[i+1:]
			return true
		}
	}
	return false
}

// next passes over a character, if it is the next one behind blanks.
func (s *scanner) next(c byte) bool {
	s.blank()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// blank passes over what JSON may have between its parts (RFC 8259 section 2).
func (s *scanner) blank() { s.rest = bytes.TrimLeft(s.rest, " \t\r\n") }
