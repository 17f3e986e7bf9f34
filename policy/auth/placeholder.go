package auth

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// fill returns the request with the token's value wherever it has its placeholder:
// in the value of any field, inside the credentials of Authorization: Basic, and
// in the values of the query. Without one it returns nil.
//
// Bodies are not looked at. They stream, and may be large; their length has been
// announced, and a digest or a signature of theirs with it.
func (t *Token) fill(req *http.Request) (*injected, error) {
	var in *injected
	for name, values := range req.Header {
		for i, value := range values {
			filled, hide := replaceNamed(value, t.Placeholder, t.Value.Reveal()), ""
			if filled == value && name == authorization && len(values) == 1 {
				var err error
				if filled, hide, err = t.fillBasic(value); err != nil {
					return nil, err
				}
			}
			if filled == value {
				continue
			}
			if in == nil {
				in = t.inject(req)
				in.Header = maps.Clone(req.Header)
			}
			if hide != "" {
				in.guard.hide(hide)
			}
			own := slices.Clone(in.Header[name])
			own[i] = filled
			in.Header[name] = own
		}
	}
	if query := t.fillQuery(req.URL.RawQuery); query != req.URL.RawQuery {
		if in == nil {
			in = t.inject(req)
		}
		in.URL = new(url.URL)
		*in.URL = *req.URL
		in.URL.RawQuery = query
	}
	return in, nil
}

// fillBasic fills in the user name or the password of RFC 7617, and gives the
// credentials that became of them, to be hidden. A value that has no placeholder
// in it, or no credentials, is returned as it is.
func (t *Token) fillBasic(value string) (filled, credentials string, err error) {
	scheme, encoded, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return value, "", nil
	}
	// Padding is left off by some clients, and a provider may accept it.
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(encoded), "="))
	if err != nil {
		return value, "", nil //nolint:nilerr // it is the provider's to refuse
	}
	username, password, colon := strings.Cut(string(plain), ":")
	both := replaceNamed(username, t.Placeholder, t.Value.Reveal())
	if both != username && strings.Contains(both, ":") {
		return "", "", errors.New(t.Kind + ": the value has a colon in it, and was asked for as a user name, which a colon ends (RFC 7617 §2)")
	}
	if colon {
		both += ":" + replaceNamed(password, t.Placeholder, t.Value.Reveal())
	}
	if both == string(plain) {
		return value, "", nil
	}
	credentials = base64.StdEncoding.EncodeToString([]byte(both))
	return scheme + " " + credentials, credentials, nil
}

// fillQuery fills in the values of a raw query. Every other byte of it stays.
func (t *Token) fillQuery(raw string) string {
	done := 0 // bytes of raw that are in b
	var b strings.Builder
	places := find(t.Placeholder, raw)
	for start, end := places.next(); start >= 0; start, end = places.next() {
		pair := raw[strings.LastIndexByte(raw[:start], '&')+1 : start]
		if next, n := decoded(raw[end:]); !strings.Contains(pair, "=") || n > 0 && ofName(next) {
			continue
		}
		b.WriteString(raw[done:start])
		b.WriteString(escape(t.Value.Reveal()))
		done = end
	}
	if done == 0 {
		return raw
	}
	b.WriteString(raw[done:])
	return b.String()
}

// replaceNamed puts value in place of every placeholder in s. One that goes on
// with more of a name is another one: that of crm2 is not that of crm.
func replaceNamed(s, placeholder, value string) string {
	if !strings.Contains(s, placeholder) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, placeholder)
		if i < 0 {
			break
		}
		end := i + len(placeholder)
		if end < len(s) && ofName(s[end]) {
			b.WriteString(s[:end])
		} else {
			b.WriteString(s[:i])
			b.WriteString(value)
		}
		s = s[end:]
	}
	b.WriteString(s)
	return b.String()
}

// ofName reports whether the name of an upstream may go on with c.
func ofName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
