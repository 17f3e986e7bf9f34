package config

import (
	"slices"
	"strings"
)

// A Match selects calls by method and path. It is written
// "[METHOD[,METHOD]] [/path]", at least one of the two:
//
//	POST /v1/charges      one method, one path
//	GET,HEAD /v1/**       two methods, everything below and including /v1
//	/v*/users/*           any method
//	DELETE                any path
//
// In a path, "*" stands for one segment that is not empty, or for any part of
// one ("v*", "*.json"); "**" as a whole segment stands for any number of
// segments, and for none. The rest is compared byte by byte once %XX is
// decoded on both sides, so an encoded slash is part of its segment, and
// "%2A" is an asterisk. Case matters in methods and in paths.
type Match struct {
	Methods []string // in upper case; empty: any
	Path    string   // the pattern; "": any
}

// Matches reports whether a call is meant. escapedPath is the path of the
// request as it is on the wire, without the query. It allocates nothing, and
// for a given pattern its time grows with the length of the path.
func (m Match) Matches(method, escapedPath string) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
		return false
	}
	return m.Path == "" || matchPath(m.Path, escapedPath)
}

// matchPath walks both paths at once. At a "**" it remembers the place and goes
// on as if it stood for nothing; where that fails, the "**" takes one segment
// more. Only the last "**" need be remembered: what an earlier one could take
// besides, the last one can take as well.
func matchPath(pattern, path string) bool {
	if path == "" {
		path = "/" // the same resource: RFC 9110 §4.2.3
	}
	want, okWant := segments(pattern)
	have, okHave := segments(path)
	if !okWant || !okHave {
		return false
	}

	var wild, taken segmentList
	backtrack := false
	for {
		segment, rest, more := want.next()
		if more && segment == "**" {
			want, wild, taken, backtrack = rest, rest, have, true
			continue
		}
		candidate, after, left := have.next()
		if !more && !left {
			return true
		}
		if more && left && matchSegment(segment, candidate) {
			want, have = rest, after
			continue
		}
		if _, longer, any := taken.next(); backtrack && any {
			want, have, taken = wild, longer, longer
			continue
		}
		return false
	}
}

// A segmentList is the part of a path that is still to be walked.
type segmentList struct {
	text string
	any  bool // there is a segment, perhaps an empty one
}

func segments(path string) (segmentList, bool) {
	text, ok := strings.CutPrefix(path, "/")
	return segmentList{text, true}, ok
}

func (l segmentList) next() (segment string, rest segmentList, ok bool) {
	segment, text, more := strings.Cut(l.text, "/")
	return segment, segmentList{text, more}, l.any
}

// matchSegment compares one segment, with the same walk over bytes as matchPath
// has over segments.
func matchSegment(pattern, segment string) bool {
	if pattern == "*" {
		return segment != ""
	}
	wild, taken := -1, 0 // places behind the last "*", and how far it reaches
	p, s := 0, 0
	for s < len(segment) || p < len(pattern) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			wild, taken = p, s
			continue
		}
		want, wantLen := decodeByte(pattern, p)
		have, haveLen := decodeByte(segment, s)
		if wantLen > 0 && haveLen > 0 && want == have {
			p, s = p+wantLen, s+haveLen
			continue
		}
		_, step := decodeByte(segment, taken)
		if wild < 0 || step == 0 {
			return false
		}
		taken += step
		p, s = wild, taken
	}
	return true
}

// decodeByte reads the byte at i, or the one that a %XX stands for, and says
// how long it is written: 0 at the end.
func decodeByte(text string, i int) (value byte, length int) {
	if i >= len(text) {
		return 0, 0
	}
	if text[i] == '%' && i+2 < len(text) {
		high, okHigh := unhex(text[i+1])
		low, okLow := unhex(text[i+2])
		if okHigh && okLow {
			return high<<4 | low, 3
		}
	}
	return text[i], 1
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// parseMatch reads the text of a rule; problem is "" when it is sound.
func parseMatch(text string) (m Match, problem string) {
	const form = `must be "METHOD /path", such as "POST /v1/charges/**"; several methods are joined by commas`
	methods, path, found := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, "/"):
		methods, path = "", text
	case found && !strings.HasPrefix(path, "/"), text == "":
		return Match{}, form
	}
	if strings.ContainsAny(path, " \t\r\n?#") {
		return Match{}, "the path must not hold spaces, a query or a fragment; " + form
	}
	if methods != "" {
		m.Methods = strings.Split(methods, ",")
	}
	for _, method := range m.Methods {
		if !isToken(method) {
			return Match{}, form
		}
		if method != strings.ToUpper(method) {
			return Match{}, "methods are written in upper case, as they are sent"
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "**" && strings.Contains(segment, "**") {
			return Match{}, `"**" must be a whole segment; "*" stands for a part of one`
		}
	}
	m.Path = path
	return m, ""
}
