package config_test

import (
	"fmt"
	"strings"
	"testing"

	"outrider/policy/config"
)

// firstOf is what a Matcher does, rule by rule.
func firstOf(matches []config.Match, method, path string) int {
	for i, m := range matches {
		if m.Matches(method, path) {
			return i
		}
	}
	return -1
}

func matchesOf(rules ...string) []config.Match {
	matches := make([]config.Match, len(rules))
	for i, rule := range rules {
		methods, path, _ := strings.Cut(rule, " ")
		if matches[i].Path = path; methods != "" {
			matches[i].Methods = strings.Split(methods, ",")
		}
	}
	return matches
}

func TestMatcherFindsTheFirst(t *testing.T) {
	matches := matchesOf(
		"POST /v1/charges", " /v1/*", "GET,HEAD ", " /v1/%63ustomers/*/sources", " /v1/customers/**",
		" /a%2Fb", " /v*/x", " /**/z", "DELETE ", " /", " /v1/charges/", " /*/*/*/*",
	)
	m := config.NewMatcher(matches)
	for _, method := range []string{"GET", "POST", "DELETE", "PATCH"} {
		for _, path := range []string{
			"", "/", "*", "/v1", "/v1/", "/v1/charges", "/v1/charges/", "/v1/c%68arges", "/v1//", "/v1/customers/7/sources", "/v1/customers/7",
			"/v1/customers", "/a%2fb", "/a/b", "/v2/x", "/v/x", "/p/q/z", "/z", "/1/2/3/4", "/1//3/4", "/" + strings.Repeat("%61", 100),
		} {
			if got, want := m.First(method, path), firstOf(matches, method, path); got != want {
				t.Errorf("%s %s: %d, want %d", method, path, got, want)
			}
		}
	}
	if got := config.NewMatcher(nil).First("GET", "/"); got != -1 {
		t.Errorf("of no rules, %d matches", got)
	}
}

// FuzzMatcher compares with trying one rule after the other.
func FuzzMatcher(f *testing.F) {
	f.Add("/a/b\n/a/*\nGET /a/**\n/*/b", "GET", "/a/b")
	f.Add("/%61/*b\nGET \n/**/c\n/a//", "PUT", "/a/xb%2f")
	f.Fuzz(func(t *testing.T, rules, method, path string) {
		if len(rules) > 300 || len(path) > 200 {
			return
		}
		lines := strings.Split(rules, "\n")
		for i, line := range lines {
			if !strings.Contains(line, " ") {
				lines[i] = " " + line
			}
		}
		matches := matchesOf(lines...)
		if got, want := config.NewMatcher(matches).First(method, path), firstOf(matches, method, path); got != want {
			t.Errorf("%q, %s %s: %d, want %d", rules, method, path, got, want)
		}
	})
}

// manyRules are n rules as a large API has them, of which the last one matches a call.
func manyRules(n int) []config.Match {
	rules := make([]string, n)
	for i := range rules {
		rules[i] = fmt.Sprintf("GET /v1/objects%d/*/items/**", i)
	}
	return matchesOf(rules...)
}

func TestMatcherAllocatesNothing(t *testing.T) {
	m := config.NewMatcher(manyRules(100))
	if n := testing.AllocsPerRun(100, func() { m.First("GET", "/v1/objects%399/7/items/8") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMatcher shows that a call does not pay for the rules that others have.
func BenchmarkMatcher(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		matches := manyRules(n)
		path := fmt.Sprintf("/v1/objects%d/7/items/8", n-1)
		b.Run(fmt.Sprintf("rules=%d/tree", n), func(b *testing.B) {
			m := config.NewMatcher(matches)
			for b.Loop() {
				if m.First("GET", path) != n-1 {
					b.Fatal("another rule")
				}
			}
		})
		b.Run(fmt.Sprintf("rules=%d/one-by-one", n), func(b *testing.B) {
			for b.Loop() {
				if firstOf(matches, "GET", path) != n-1 {
					b.Fatal("another rule")
				}
			}
		})
	}
}
