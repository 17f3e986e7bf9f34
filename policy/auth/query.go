package auth

import (
	"net/url"
	"strings"
)

// setParameter gives the parameter name of a raw query one value: where it
// first stands, or else at the end. Other occurrences, however they are
// encoded, are removed; every other byte of the query stays, since a provider
// may sign or compare it. Values are encoded after RFC 3986 §2.3, so that a
// space is %20: "+" is a space in forms only.
func setParameter(rawQuery, name, value string) string {
	var b strings.Builder
	b.Grow(len(rawQuery) + len(name) + len(value) + 16)
	put, first := false, true
	write := func(parts ...string) {
		if !first {
			b.WriteByte('&')
		}
		first = false
		for _, p := range parts {
			b.WriteString(p)
		}
	}
	own := func() { write(escape(name), "=", escape(value)) }
	if rawQuery != "" {
		for pair := range strings.SplitSeq(rawQuery, "&") {
			if !hasName(pair, name) {
				write(pair)
			} else if !put {
				put = true
				own()
			}
		}
	}
	if !put {
		own()
	}
	return b.String()
}

// hasName reports whether a parameter, still encoded, is called name.
func hasName(pair, name string) bool {
	key, _, _ := strings.Cut(pair, "=")
	if key == name {
		return true
	}
	decoded, err := url.QueryUnescape(key)
	return err == nil && decoded == name
}
