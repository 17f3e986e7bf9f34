package telemetry_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What spans say is found by its name: each one is in the documentation.
func TestNamesOfSpansAndClassesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	look := func(file, pattern, prefix string) (n int) {
		t.Helper()
		code, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(code), -1) {
			n++
			if name := prefix + found[1]; !strings.Contains(string(doc), "`"+name+"`") {
				t.Errorf("%s of %s is not in docs/telemetry.md", name, file)
			}
		}
		return n
	}
	keys := 0
	for _, file := range []string{"span.go", "letter.go", "tail.go", "observe.go", "transport.go", "wait.go"} {
		keys += look(file, `"(outrider\.[a-z.-]*[a-z])"`, "")
	}
	classes := look("../../policy/classify.go", `(?m)^\tClass\w+ +Class = "([a-z-]+)"`, "")
	forms := look("../inbound.go", `form = "([a-z-]+)"`, "")
	if keys < 20 || classes < 10 || forms < 4 {
		t.Errorf("found are %d attributes, %d classes, %d forms", keys, classes, forms)
	}
}
