package answer

import (
	"bytes"
	"strconv"
	"strings"
)

// A glance is a look for a place in a body without reading it as JSON, which spares good
// answers from that: 30 KB would be 6000 allocations. It may take what does not fit, and
// never leaves out what does.
type glance struct {
	place []byte                      // that is in each body that fits; nil: that cannot be told
	may   func(following []byte) bool // whether what follows the place may fit; nil: anything may
}

func newGlance(p *pattern) glance {
	if p.GraphQL {
		return glance{place: []byte("throttleStatus")} // without which nothing is told of points
	}
	if len(p.path) == 0 {
		return glance{}
	}
	name := p.path[len(p.path)-1]
	if name == "*" || strings.ContainsFunc(name, mayBeEscaped) {
		return glance{}
	}
	g := glance{place: []byte(`"` + name + `"`)}
	switch {
	case p.named():
		g.may = member(mayBeSomething)
	case p.AtLeast > 0:
		g.may = member(mayReach(p.AtLeast))
	case len(p.Values) > 0 && !strings.ContainsFunc(strings.Join(p.Values, ""), mayBeEscaped):
		g.may = member(mayBe(p.Values))
	}
	return g
}

// mayBeEscaped reports whether JSON may have a character in another form than as it is,
// other than as that of its number.
func mayBeEscaped(r rune) bool {
	return r < ' ' || r >= 0x7f || strings.ContainsRune(`"\/`, r)
}

// passes reports whether it is worth it to read a body.
func (g glance) passes(body []byte) bool {
	if g.place == nil || numbered(body) {
		return true
	}
	for {
		_, following, found := bytes.Cut(body, g.place)
		if !found {
			return false
		}
		if g.may == nil || g.may(following) {
			return true
		}
		body = following
	}
}

// blanks are what JSON may have between its parts (RFC 8259 section 2).
const blanks = " \t\r\n"

// member looks at the value that follows a name, if it is a name. A list may have anything
// in it.
func member(may func(value []byte) bool) func([]byte) bool {
	return func(following []byte) bool {
		value, ok := bytes.CutPrefix(bytes.TrimLeft(following, blanks), []byte(":"))
		if !ok {
			return false
		}
		value = bytes.TrimLeft(value, blanks)
		return may(value) || bytes.HasPrefix(value, []byte("[")) && !bytes.HasPrefix(value, []byte("[]"))
	}
}

// mayBe takes one of these, as a text or as it is.
func mayBe(values []string) func([]byte) bool {
	var forms [][]byte
	for _, v := range values {
		forms = append(forms, []byte(v), []byte(`"`+v+`"`))
	}
	return func(value []byte) bool { return beginsWithOneOf(value, forms) }
}

var nothings = [][]byte{[]byte("null"), []byte("false"), []byte(`""`), []byte("{}"), []byte("[]")}

// mayBeSomething takes what does not begin as nothing does.
func mayBeSomething(value []byte) bool {
	if zero, ok := bytes.CutPrefix(value, []byte("0")); ok {
		return bytes.HasPrefix(zero, []byte(".")) // or with an exponent, and still 0
	}
	return !beginsWithOneOf(value, nothings)
}

// mayReach takes numbers that are not plainly less than n.
func mayReach(n int) func([]byte) bool {
	return func(value []byte) bool {
		digits := value[:len(value)-len(bytes.TrimLeft(value, "0123456789"))]
		if len(digits) == 0 {
			return false
		}
		is, err := strconv.Atoi(string(digits))
		exact := len(value) == len(digits) || !bytes.ContainsAny(value[len(digits):len(digits)+1], ".eE")
		return err != nil || is >= n || !exact
	}
}

func beginsWithOneOf(value []byte, forms [][]byte) bool {
	for _, form := range forms {
		if bytes.HasPrefix(value, form) {
			return true
		}
	}
	return false
}

// numbered reports whether a body has a character of ASCII by its number: "\u0065" is an e
// (RFC 8259 section 7).
func numbered(body []byte) bool {
	for {
		_, rest, found := bytes.Cut(body, []byte(`\u00`))
		if !found {
			return false
		}
		if len(rest) > 0 && rest[0] >= '0' && rest[0] <= '7' {
			return true
		}
		body = rest
	}
}
