package config

import (
	"os"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLinesOfKeys(t *testing.T) {
	document := strings.TrimPrefix(`
a = "it's # no comment" # it's one
b.c = [ # "
  1, { d = 1 },
  "]",
]
long = """ "" \"""
e = 1
"""""
when = 1979-05-27 07:32:00
[t."x.y"] # 'comment
f = { g = '}', h = [ { i = 1 } ] }
[[t.list]]
j = 1
[[t.list]]
[[t.list.inner]]
k = '''
l = 1'''
m = 1
`, "\n")
	var raw map[string]any
	meta, err := toml.Decode(document, &raw)
	if err != nil {
		t.Fatal(err)
	}
	index := indexLines(scan(document), meta.Keys())
	for path, want := range map[string]int{
		"a": 1, "b": 2, "b.c": 2, "b.c[1].d": 2, "long": 6, "when": 9, "t": 10, `t."x.y"`: 10, `t."x.y".f.h`: 11,
		"t.list": 12, "t.list[0].j": 13, "t.list[1]": 14, "t.list[1].inner[0]": 15, "t.list[1].inner[0].k": 16, "t.list[1].inner[0].m": 18,
		"t.list[1].missing": 14, "nowhere": 0,
	} {
		if got := index.of(path); got != want {
			t.Errorf("%s: line %d, want %d", path, got, want)
		}
	}
}

// FuzzScanner holds the scanner against the parser: for a valid document both
// find the same number of keys.
func FuzzScanner(f *testing.F) {
	reference, err := os.ReadFile("../../config.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add([]byte("a = [1, {b = '''x''''', c = \"\\\"\"}] # '\n[[d.'e']]\n\"f\" = 07:32:00"))
	f.Add([]byte("a = {\n b = 1, # c = 2\n}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.HasPrefix(string(data), "\xff\xfe") || strings.HasPrefix(string(data), "\xfe\xff") {
			return // the parser's own mark of UTF-16, which it then cannot read
		}
		s := scan(string(data))
		var raw map[string]any
		meta, err := toml.Decode(string(data), &raw)
		if err == nil && s.tooDeep == 0 && len(s.found) != len(meta.Keys()) {
			t.Errorf("%q: found %d keys, the parser has %q", data, len(s.found), meta.Keys())
		}
	})
}
