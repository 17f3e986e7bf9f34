// Package notice reads what providers say in the headers of good answers about a future in
// which there will be none: deprecations, sunsets and warnings.
//
//	Deprecation: @1688169599                       RFC 9745; before it was one, true or an HTTP date
//	Sunset: Wed, 31 Dec 2026 23:59:59 GMT          RFC 8594
//	Link: <https://…>; rel="deprecation"           RFC 9745 §3, and rel="sunset", RFC 8594 §6
//	Warning: 299 - "the text"                      RFC 7234 §5.5.7, which RFC 9111 has not any more; Salesforce
//	X-Shopify-API-Deprecated-Reason: https://…     Shopify
//	X-Zendesk-API-Warn: the text                   Zendesk
//	X-Ad-Api-Version-Warning: the text             Meta
//
// Nothing is believed that cannot be read: a notice is for people, and no call depends on it.
package notice

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A Notice is what one answer says.
type Notice struct {
	Deprecated bool      // it is to be used no more
	Since      time.Time // when that is so, which may be to come; zero: it is not said
	Sunset     time.Time // when there will be no answer any more; zero: it is not said
	Link       string    // where more stands, an http or https URL; "": nowhere
	Text       string    // in the words of the provider; "": none
}

// fields are the headers without which Read finds nothing.
var fields = [...]string{"Deprecation", "Sunset", "Warning", inWords[0], inWords[1], inWords[2]}

// In reports whether there is something in a header for Read, as there is in few.
func In(header http.Header) bool {
	for i := range fields {
		if len(header[fields[i]]) > 0 {
			return true
		}
	}
	return false
}

// inWords are the headers whose value is for people.
var inWords = [...]string{"X-Shopify-Api-Deprecated-Reason", "X-Zendesk-Api-Warn", "X-Ad-Api-Version-Warning"}

// longest bounds what is taken over of a header, in bytes.
const longest = 300

// Read gives what the header of an answer says. ok is false where that is nothing, as it is
// of one with nothing [In] it.
func Read(header http.Header) (n Notice, ok bool) {
	n.Deprecated, n.Since = deprecation(first(header, "Deprecation"))
	n.Sunset = date(first(header, "Sunset"))
	for _, value := range header["Warning"] {
		if n.Text = persistent(value); n.Text != "" {
			break
		}
	}
	for _, name := range inWords {
		said := first(header, name)
		switch {
		case said == "":
			continue
		case link(said) != "":
			n.Link = link(said)
		case n.Text == "":
			n.Text = printable(said)
		}
		n.Deprecated = n.Deprecated || strings.Contains(name, "Deprecated")
	}
	if n == (Notice{}) {
		return n, false
	}
	if n.Link == "" {
		n.Link = related(header["Link"])
	}
	return n, true
}

func first(header http.Header, name string) string {
	if values := header[name]; len(values) > 0 {
		return strings.TrimSpace(values[0])
	}
	return ""
}

// deprecation reads a Date of structured fields (RFC 9651 §3.3.7), and what stood there in
// drafts of RFC 9745.
func deprecation(value string) (is bool, since time.Time) {
	seconds, isDate := strings.CutPrefix(value, "@")
	switch {
	case value == "" || value == "false" || value == "?0":
		return false, time.Time{}
	case value == "true" || value == "?1":
		return true, time.Time{}
	case isDate:
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil || n < 0 || n > lastSecond {
			return false, time.Time{}
		}
		return true, time.Unix(n, 0).UTC()
	}
	since = date(value)
	return !since.IsZero(), since
}

// lastSecond is of the year 9999, the last that can be written.
const lastSecond = 253402300799

// date reads an HTTP date, and the day alone, as some write it; zero if it is neither.
func date(value string) time.Time {
	if value == "" { // mostly
		return time.Time{}
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.UTC()
	}
	at, _ := time.Parse(time.DateOnly, value)
	return at
}

// persistent is the text of a Warning with code 299, "Miscellaneous Persistent Warning".
// The other codes are about caches.
func persistent(value string) string {
	rest, ok := strings.CutPrefix(strings.TrimSpace(value), "299 ")
	if !ok {
		return ""
	}
	_, text, ok := strings.Cut(rest, `"`) // after the agent
	if !ok {
		return printable(rest)
	}
	var b strings.Builder
	for i := 0; i < len(text) && text[i] != '"'; i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return printable(b.String())
}

// related finds the link whose relation is deprecation or sunset (RFC 8288 §3).
func related(values []string) string {
	for _, value := range values {
		for rest := value; ; {
			_, after, ok := strings.Cut(rest, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(after, ">")
			if !ok {
				break
			}
			own, _, _ := strings.Cut(params, "<")
			if relates(own) && link(target) != "" {
				return link(target)
			}
			rest = params
		}
	}
	return ""
}

// relates reports whether the parameters of a link have one of the relations.
func relates(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for relation := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(strings.TrimRight(strings.TrimSpace(value), ",")), `"`)) {
			if strings.EqualFold(relation, "deprecation") || strings.EqualFold(relation, "sunset") {
				return true
			}
		}
	}
	return false
}

// link is a URL that people may follow, "" if it is none.
func link(text string) string {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "https://") && !strings.HasPrefix(text, "http://") || len(text) > longest {
		return ""
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return text
}

// printable is a text of a provider as people may be shown it: on one line, and not long.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "�")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= longest {
		return text
	}
	cut := longest
	for cut > 0 && text[cut]&0xC0 == 0x80 { // inside a character
		cut--
	}
	return text[:cut] + "…"
}
