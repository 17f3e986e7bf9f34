package answer

import (
	"bytes"
	"strings"
)

// A glance is a look for words in a body without reading it as JSON, which spares good
// answers from that: 30 KB would be 6000 allocations.
type glance struct {
	words [][]byte // one of them is in each body that fits; nil: that cannot be told
}

func newGlance(r *Rule) glance {
	words := r.Values
	if r.GraphQL {
		words = []string{"throttleStatus"} // without which nothing is told of points
	}
	var g glance
	for _, word := range words {
		if strings.ContainsFunc(word, mayBeEscaped) {
			return glance{}
		}
		g.words = append(g.words, []byte(word))
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
	if g.words == nil || numbered(body) {
		return true
	}
	for _, word := range g.words {
		if bytes.Contains(body, word) {
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
