package config_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"outrider/policy/config"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		methods, pattern, method, path string
		want                           bool
	}{
		{"", "", "GET", "/a", true},
		{"GET", "", "GET", "/a", true},
		{"GET", "", "POST", "/a", false},
		{"GET,HEAD", "", "HEAD", "/a", true},
		{"GET", "", "get", "/a", false},
		{"POST", "/a", "POST", "/a", true},
		{"POST", "/a", "GET", "/a", false},

		{"", "/a", "GET", "/a", true},
		{"", "/a", "GET", "/a/", false},
		{"", "/a", "GET", "/A", false},
		{"", "/a/", "GET", "/a/", true},
		{"", "/a/", "GET", "/a", false},
		{"", "/", "GET", "/", true},
		{"", "/", "GET", "", true},
		{"", "/", "GET", "/a", false},
		{"", "/a", "OPTIONS", "*", false},
		{"", "/**", "OPTIONS", "*", false},
		{"", "", "OPTIONS", "*", true},

		{"", "/*", "GET", "/a", true},
		{"", "/*", "GET", "/", false},
		{"", "/*", "GET", "/a/b", false},
		{"", "/a/*/c", "GET", "/a/b/c", true},
		{"", "/a/*/c", "GET", "/a//c", false},
		{"", "/v*", "GET", "/v", true},
		{"", "/v*", "GET", "/v12", true},
		{"", "/v*", "GET", "/w1", false},
		{"", "/*.json", "GET", "/a.b.json", true},
		{"", "/*.json", "GET", "/a.jsonx", false},
		{"", "/a*b*c", "GET", "/aXbXbc", true},
		{"", "/a*b*c", "GET", "/aXcXb", false},
		{"", "/*a*", "GET", "/bcd", false},

		{"", "/**", "GET", "/", true},
		{"", "/**", "GET", "", true},
		{"", "/**", "GET", "/a/b/", true},
		{"", "/a/**", "GET", "/a", true},
		{"", "/a/**", "GET", "/a/", true},
		{"", "/a/**", "GET", "/a/b/c", true},
		{"", "/a/**", "GET", "/ab", false},
		{"", "/**/c", "GET", "/c", true},
		{"", "/**/c", "GET", "/a/b/c", true},
		{"", "/**/c", "GET", "/c/d", false},
		{"", "/a/**/c", "GET", "/a/c", true},
		{"", "/a/**/c", "GET", "/a/c/b/c", true},
		{"", "/a/**/b/**/c", "GET", "/a/b/x/b/c", true},
		{"", "/a/**/b/**/c", "GET", "/a/x/c", false},
		{"", "/**/*/**", "GET", "/a", true},
		{"", "/**/**", "GET", "/a/b", true},
		{"", "/services/data/*/sobjects/**", "GET", "/services/data/v60.0/sobjects/Contact/1", true},

		// Encoding: the same bytes match however they are written, and an
		// encoded slash does not begin a segment.
		{"", "/a", "GET", "/%61", true},
		{"", "/%61", "GET", "/a", true},
		{"", "/a/b", "GET", "/a%2Fb", false},
		{"", "/a%2fb", "GET", "/a%2Fb", true},
		{"", "/*", "GET", "/a%2Fb", true},
		{"", "/a%2A", "GET", "/a*", true},
		{"", "/a%2A", "GET", "/ab", false},
		{"", "/*é", "GET", "/caf%C3%A9", true},
		{"", "/100%", "GET", "/100%25", true},
		{"", "/a%zz", "GET", "/a%zz", true},
		{"", "/*1", "GET", "/%31", true},
		{"", "/*1", "GET", "/%3", false},
	} {
		m := config.Match{Path: tt.pattern}
		if tt.methods != "" {
			m.Methods = strings.Split(tt.methods, ",")
		}
		if got := m.Matches(tt.method, tt.path); got != tt.want {
			t.Errorf("%s %s: %s %s: got %v", tt.methods, tt.pattern, tt.method, tt.path, got)
		}
	}
}

// FuzzMatch compares with an oracle of another kind: a regular expression.
func FuzzMatch(f *testing.F) {
	f.Add("/a/**/b*/c", "/a/x/y/bz/c")
	f.Add("/**/a/*/**/a", "/a/a/a/a")
	f.Add("/*a*b*a*", "/ababa%61")
	f.Add("/a%2A/%", "/a%2a/%25")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 100 || len(path) > 200 || !strings.HasPrefix(pattern, "/") || !strings.HasPrefix(path, "/") {
			return
		}
		m := config.Match{Path: pattern}
		if got, want := m.Matches("GET", path), matchByRegexp(pattern, path); got != want {
			t.Errorf("%q on %q: got %v, the oracle says %v", pattern, path, got, want)
		}
	})
}

// matchByRegexp turns both sides into a form in which each byte of a segment is
// two hexadecimal digits, and a segment ends in a slash.
func matchByRegexp(pattern, path string) bool {
	var expr strings.Builder
	expr.WriteString("^")
	for segment := range strings.SplitSeq(pattern[1:], "/") {
		switch segment {
		case "**":
			expr.WriteString("(?:[^/]*/)*")
			continue
		case "*":
			expr.WriteString("[^/]+/")
			continue
		}
		for i, part := range strings.Split(segment, "*") {
			if i > 0 {
				expr.WriteString("(?:[0-9a-f]{2})*")
			}
			expr.WriteString(hexOf(part))
		}
		expr.WriteString("/")
	}
	var subject strings.Builder
	for segment := range strings.SplitSeq(path[1:], "/") {
		subject.WriteString(hexOf(segment) + "/")
	}
	return regexp.MustCompile(expr.String() + "$").MatchString(subject.String())
}

func hexOf(text string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if i+2 < len(text) {
			if decoded, err := url.PathUnescape(text[i : i+3]); err == nil && len(decoded) == 1 {
				c = decoded[0]
				i += 2
			}
		}
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func BenchmarkMatch(b *testing.B) {
	m := config.Match{Methods: []string{"GET", "POST"}, Path: "/services/data/*/sobjects/**"}
	b.ReportAllocs()
	for b.Loop() {
		m.Matches("POST", "/services/data/v60.0/sobjects/Contact/0035g00000ABCDE")
	}
}

// A path of nothing but near misses costs its length, not its square.
func BenchmarkMatchNearMisses(b *testing.B) {
	m := config.Match{Path: "/**/a/a/a/b"}
	path := strings.Repeat("/a", 4000)
	b.ReportAllocs()
	for b.Loop() {
		m.Matches("GET", path)
	}
}
