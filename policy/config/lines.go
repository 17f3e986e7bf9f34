package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A lineIndex says where the keys of a document stand: key path → line.
type lineIndex map[string]int

// of is the line of a key, or of the closest table around it that is written;
// 0 if there is none.
func (index lineIndex) of(path string) int {
	for path != "" {
		if line, ok := index[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// indexLines finds the lines of keys. The TOML library knows the keys in their
// order but not their places; a scanner knows the places but not the names.
// Where the two disagree about the number, there are no lines.
func indexLines(document string, keys []toml.Key) lineIndex {
	s := scanner{text: strings.TrimPrefix(document, "\xef\xbb\xbf"), line: 1}
	s.document()
	if len(s.found) != len(keys) {
		return nil
	}
	index := lineIndex{}
	count := map[string]int{} // path of a list of tables → how many there were so far
	for i, key := range keys {
		path := ""
		for j := range key {
			if path != "" {
				path += "."
			}
			path += key[j : j+1].String()
			if j == len(key)-1 && s.found[i].listed {
				index.note(path, s.found[i].line)
				count[path]++
			}
			if n := count[path]; n > 0 {
				path += "[" + strconv.Itoa(n-1) + "]"
			}
			index.note(path, s.found[i].line)
		}
	}
	return index
}

// note keeps the first line of a path: a table is where its first key is.
func (index lineIndex) note(path string, line int) {
	if _, ok := index[path]; !ok {
		index[path] = line
	}
}

// A scanner walks over a document that is known to be valid TOML and notes
// where each key and each table header begins.
type scanner struct {
	text  string
	at    int
	line  int
	found []place
}

type place struct {
	line   int
	listed bool // [[header]]
}

func (s *scanner) document() {
	for s.skip(" \t\r\n") {
		if !strings.HasPrefix(s.text[s.at:], "[") {
			s.pair()
			continue
		}
		s.found = append(s.found, place{s.line, strings.HasPrefix(s.text[s.at:], "[[")})
		s.until("\n")
	}
}

// pair is key = value.
func (s *scanner) pair() {
	s.found = append(s.found, place{line: s.line})
	s.until("=")
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
		s.at++
		for s.skip(" \t\r\n,") && s.text[s.at] != ']' {
			s.value()
		}
		s.at++
	case '{':
		s.at++
		for s.skip(" \t\r\n,") && s.text[s.at] != '}' {
			s.pair()
		}
		s.at++
	default: // numbers, truth values and dates: nothing in them is quoted
		if n := strings.IndexAny(s.text[s.at:], ",]}#\n"); n > 0 {
			s.at += n
		} else {
			s.at = len(s.text)
		}
	}
}

// skip passes blanks and comments, and reports whether something is left.
func (s *scanner) skip(blanks string) bool {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '#':
			s.until("\n")
		case strings.IndexByte(blanks, c) >= 0:
			s.step()
		default:
			return true
		}
	}
	return false
}

// until passes everything in front of the first of the stops that is not quoted.
// Behind a comment sign nothing is quoted.
func (s *scanner) until(stop string) {
	comment := false
	for s.at < len(s.text) && !strings.HasPrefix(s.text[s.at:], stop) {
		comment = comment || s.text[s.at] == '#'
		if c := s.text[s.at]; !comment && (c == '"' || c == '\'') {
			s.quoted()
			continue
		}
		s.step()
	}
}

// quoted passes a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.at : s.at+1]
	escapes := quote == `"`
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.at:], triple) {
		quote = triple
	}
	s.at += len(quote)
	for s.at < len(s.text) && !strings.HasPrefix(s.text[s.at:], quote) {
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
