package clients

import (
	"slices"
	"strings"
	"testing"
)

// What is quoted for Java and for Node is read back as it was, in a list of
// several.
func FuzzOptionsSurviveTheirQuotes(f *testing.F) {
	for _, s := range []string{"-Xmx1g", "a b", `"`, `'`, `"'"`, `a\b`, `C:\a b\`, "\t", "", `\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := []string{"-a", s, "-b"}
		if strings.ToValidUTF8(s, "") == s {
			if got := splitJava("-a " + quoteJava(s) + " -b"); !slices.Equal(got, want) {
				t.Errorf("Java: %q became %q", s, got)
			}
		}
		if strings.ContainsAny(s, "\t\r\n\v\f") {
			return // Node parts at blanks only
		}
		if got := splitNode("-a " + quoteNode(s) + " -b"); !slices.Equal(got, want) {
			t.Errorf("Node: %q became %q", s, got)
		}
	})
}
