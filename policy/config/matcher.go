package config

import "strings"

// A Matcher finds the first of many rules that matches a call. It looks at those alone
// whose paths begin as the call's does, so that its time grows with the length of that
// path and not with the number of rules: rules share a tree of their segments, up to the
// first that is no word and no "*". Rules that begin with "**" are tried one by one.
type Matcher struct {
	matches []Match
	any     []int // rules without a path
	root    matchNode
}

// A matchNode are the rules whose patterns begin with the same segments. Rules are told by
// their places, in ascending order.
type matchNode struct {
	words map[string]*matchNode // what comes next, decoded
	one   *matchNode            // "*" comes next
	end   []int                 // nothing comes next
	rest  []int                 // anything else does
}

// NewMatcher makes a Matcher of rules, in the order in which they are tried.
func NewMatcher(matches []Match) *Matcher {
	m := &Matcher{matches: matches}
	for i, match := range matches {
		if match.Path == "" {
			m.any = append(m.any, i)
			continue
		}
		m.root.add(i, match.Path)
	}
	return m
}

func (n *matchNode) add(rule int, pattern string) {
	list, _ := segments(pattern)
	for {
		segment, rest, more := list.next()
		switch {
		case !more:
			n.end = append(n.end, rule)
			return
		case segment == "*":
			if n.one == nil {
				n.one = &matchNode{}
			}
			n = n.one
		case strings.Contains(segment, "*"):
			n.rest = append(n.rest, rule)
			return
		default:
			n = n.word(segment)
		}
		list = rest
	}
}

// word is the node behind a segment that stands for itself; it is made where there is none.
func (n *matchNode) word(segment string) *matchNode {
	word := string(unescape(nil, segment))
	next := n.words[word]
	if next == nil {
		if n.words == nil {
			n.words = make(map[string]*matchNode)
		}
		next = &matchNode{}
		n.words[word] = next
	}
	return next
}

// First is the place of the first rule that matches, or -1; see [Match.Matches]. It
// allocates nothing.
func (m *Matcher) First(method, escapedPath string) int {
	if len(m.matches) == 0 {
		return -1
	}
	search := matchSearch{matches: m.matches, method: method, path: escapedPath, found: len(m.matches)}
	search.try(m.any)
	if search.path == "" {
		search.path = "/"
	}
	if list, ok := segments(search.path); ok {
		search.walk(&m.root, list)
	}
	if search.found == len(m.matches) {
		return -1
	}
	return search.found
}

// matchSearch looks for the first rule.
type matchSearch struct {
	matches      []Match
	method, path string
	found        int
}

func (s *matchSearch) walk(n *matchNode, left segmentList) {
	s.try(n.rest)
	segment, rest, more := left.next()
	if !more {
		s.try(n.end)
		return
	}
	if len(n.words) > 0 {
		if next := n.next(segment); next != nil {
			s.walk(next, rest)
		}
	}
	if n.one != nil && segment != "" {
		s.walk(n.one, rest)
	}
}

// next is the node behind a segment of a path as it is on the wire, or nil.
func (n *matchNode) next(segment string) *matchNode {
	if strings.IndexByte(segment, '%') < 0 {
		return n.words[segment]
	}
	var room [64]byte
	return n.words[string(unescape(room[:0], segment))]
}

// try tests rules that may come before the one that was found.
func (s *matchSearch) try(rules []int) {
	for _, i := range rules {
		if i >= s.found {
			return
		}
		if s.matches[i].Matches(s.method, s.path) {
			s.found = i
			return
		}
	}
}

// unescape appends a segment, each %XX of it as the byte that it stands for.
func unescape(to []byte, segment string) []byte {
	for i := 0; ; {
		value, length := decodeByte(segment, i)
		if length == 0 {
			return to
		}
		to = append(to, value)
		i += length
	}
}
