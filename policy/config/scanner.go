package config

import "strings"

// The parser's work grows with the square of how deep values nest and of how
// many parts a key has. No configuration comes near these bounds.
const (
	maxNesting = 32
	maxKey     = 256 // bytes; of a header: up to the end of its line
)

// A scanner walks over a document in front of the parser, and notes where each
// key and each table header begins. What it notes is right for valid TOML. For
// other bytes it only has to end, and to see all that the parser will get to.
type scanner struct {
	text    string
	at      int
	line    int
	depth   int
	found   []place
	tooDeep int // line of what passes the bounds; 0: nothing does
}

type place struct {
	line   int
	listed bool // [[header]]
}

func scan(document string) *scanner {
	s := &scanner{text: strings.TrimPrefix(document, "\xef\xbb\xbf"), line: 1}
	s.document()
	return s
}

func (s *scanner) document() {
	for s.skip(" \t\r\n") {
		if !strings.HasPrefix(s.text[s.at:], "[") {
			s.pair()
			continue
		}
		s.found = append(s.found, place{s.line, strings.HasPrefix(s.text[s.at:], "[[")})
		s.key("\n")
	}
}

// pair is key = value.
func (s *scanner) pair() {
	s.found = append(s.found, place{line: s.line})
	s.key("=")
	s.at++
	if s.skip(" \t") {
		s.value()
	}
}

func (s *scanner) value() {
	switch s.text[s.at] {
	case '"', '\'':
		s.quoted()
	case '[':
		s.nest(']', s.value)
	case '{':
		s.nest('}', s.pair)
	default: // numbers, truth values and dates: nothing in them is quoted
		s.at++
		if n := strings.IndexAny(s.text[s.at:], ",]}#\n"); n >= 0 {
			s.at += n
		} else {
			s.at = len(s.text)
		}
	}
}

// nest passes the elements of a list or of an inline table.
func (s *scanner) nest(end byte, element func()) {
	s.at++
	s.depth++
	s.bound(s.depth <= maxNesting)
	for s.skip(" \t\r\n,") && s.text[s.at] != end {
		element()
	}
	s.depth--
	s.at++
}

// key passes a key or a header.
func (s *scanner) key(end string) {
	from := s.at
	s.until(end)
	s.bound(s.at-from <= maxKey)
}

// bound ends the walk unless it is within.
func (s *scanner) bound(within bool) {
	if !within {
		s.tooDeep = s.line
		s.at = len(s.text)
	}
}

// skip passes blanks and comments, and reports whether something is left.
func (s *scanner) skip(blanks string) bool {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '#':
			s.comment()
		case strings.IndexByte(blanks, c) >= 0:
			s.step()
		default:
			return true
		}
	}
	return false
}

// until passes everything in front of the first stop that is not quoted, but
// not the end of the line.
func (s *scanner) until(stop string) {
	for s.at < len(s.text) && s.text[s.at] != '\n' && !strings.HasPrefix(s.text[s.at:], stop) {
		switch s.text[s.at] {
		case '#':
			return
		case '"', '\'':
			s.quoted()
		default:
			s.step()
		}
	}
}

func (s *scanner) comment() {
	if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
		s.at += n
	} else {
		s.at = len(s.text)
	}
}

// quoted passes a string of any of the four kinds. A short one ends with its
// line at the latest.
func (s *scanner) quoted() {
	quote := s.text[s.at : s.at+1]
	escapes := quote == `"`
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		quote = triple
	}
	s.at += len(quote)
	for s.at < len(s.text) && !strings.HasPrefix(s.text[s.at:], quote) {
		if s.text[s.at] == '\n' && len(quote) == 1 {
			return
		}
		if escapes && s.text[s.at] == '\\' {
			s.at++
		}
		s.step()
	}
	s.at += len(quote)
	// A long string may end in up to two quotes of its own.
	for len(quote) == 3 && strings.HasPrefix(s.text[min(s.at, len(s.text)):], quote[:1]) {
		s.at++
	}
}

func (s *scanner) step() {
	if s.at < len(s.text) && s.text[s.at] == '\n' {
		s.line++
	}
	s.at++
}
