package proxy

import (
	"regexp"
	"strings"
)

// links lets an answer to a call by base URL lead back through us: references of
// its Location (RFC 9110 section 10.2.2) and Link (RFC 8288 section 3) that point
// to the upstream become base URLs, in the way in which this caller addresses us.
// All other bytes stay as they are; nothing is decoded or encoded. The zero links
// change nothing.
//
// Content-Location stays: it names a resource and is followed by nobody. So do
// bodies, which pass byte for byte.
type links struct {
	scheme string // of the upstream; "": nothing is rewritten
	host   string // of the upstream, without the port that its scheme implies
	base   string // the path of the upstream's url, without a slash at its end
	self   string // the Host by which the caller knows us; "" in HTTP/1.0 without one
	prefix string // what stands before the provider's path in the caller's: "/github", or ""
	called string // the path of the call at the provider: "/v1/x"
}

// relinked has the values of a field of an answer lead back through us, to a call that has
// gone out.
func (x *exchange) relinked(name string, values []string) []string {
	to := &x.out.url
	return links{
		scheme: to.Scheme, host: withoutDefaultPort(to.Scheme, to.Host), base: x.linked.BasePath(),
		self: x.r.Host, prefix: x.prefix, called: strings.TrimPrefix(to.Opaque, "//"+to.Host), // see target.at
	}.field(name, values)
}

// linking reports whether a field of an answer may point to the upstream.
func linking(name string) bool {
	return name == "Location" || name == "Link" || name == "Set-Cookie"
}

// field rewrites the values of a field. Their list is replaced, never written to.
func (l links) field(name string, values []string) []string {
	rewrite := l.reference
	switch {
	case l.scheme == "":
		return values
	case name == "Link":
		rewrite = l.linkValues
	case name == "Set-Cookie":
		return l.cookies(values)
	case name != "Location":
		return values
	}
	rewritten := make([]string, len(values))
	for i, value := range values {
		rewritten[i] = rewrite(value)
	}
	return rewritten
}

// linkValues rewrites the targets of a list of link-values. Their parameters stay,
// "anchor" among them. In a value that is not in the form of RFC 8288 section 3, which
// somebody may read all the same, what is in angle brackets is taken for a target.
func (l links) linkValues(value string) string {
	if rewritten, ok := l.strictLinkValues(value); ok {
		return rewritten
	}
	return bracketed.ReplaceAllStringFunc(value, func(target string) string {
		return "<" + l.target(target[1:len(target)-1]) + ">"
	})
}

var bracketed = regexp.MustCompile(`<[^<>]*>`)

// target rewrites the target of a link-value. Clients take off what is around it.
func (l links) target(ref string) string {
	bare := strings.Trim(ref, ` '"<`)
	if rewritten := l.reference(bare); rewritten != bare {
		return rewritten
	}
	return ref
}

func (l links) strictLinkValues(value string) (rewritten string, ok bool) {
	var b strings.Builder
	done := 0 // bytes of value that are in b
	for i := skipBlank(value, 0); i < len(value); i = skipBlank(value, i) {
		if value[i] != '<' {
			return "", false
		}
		begin := i + 1
		length := strings.IndexByte(value[begin:], '>')
		if length < 0 {
			return "", false
		}
		end := begin + length
		ref := value[begin:end]
		if rewritten := l.target(ref); rewritten != ref {
			b.WriteString(value[done:begin])
			b.WriteString(rewritten)
			done = end
		}
		if i, ok = pastParameters(value, end+1); !ok {
			return "", false
		}
	}
	b.WriteString(value[done:])
	return b.String(), true
}

// skipBlank passes by what may stand between link-values: commas, for a list may
// have empty elements (RFC 9110 section 5.6.1.2), and white space.
func skipBlank(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == ',') {
		i++
	}
	return i
}

// pastParameters finds the end of a link-value from the end of its target: a
// comma outside of quotes, or the end of the value.
func pastParameters(s string, i int) (end int, ok bool) {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	if i < len(s) && s[i] != ';' && s[i] != ',' {
		return 0, false
	}
	quoted := false
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ',' && !quoted:
			return i, true
		}
	}
	return i, !quoted
}
