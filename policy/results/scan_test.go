package results_test

import (
	"encoding/json"
	"strings"
	"testing"

	"outrider/policy/results"
)

func TestListIsFoundAtItsPath(t *testing.T) {
	for _, test := range []struct {
		body, path string // path "": the body itself
		want       results.Finding
	}{
		{`{"data":[]}`, "data", results.Empty},
		{`{"data": [ ] }`, "data", results.Empty},
		{`{"data":[{}]}`, "data", results.Some},
		{`{"data":[{"a`, "data", results.Some},
		{`{"data":[`, "data", results.Unknown},
		{`{"data":null}`, "data", results.Unknown},
		{`{"data":{"data":[]}}`, "data", results.Unknown},
		{`{"other":[1,{"data":[]},"\"data\":["],"x":-1.5e3,"y":true,"data":[]}`, "data", results.Empty},
		{`{"response":{"n":0,"docs":[1]}}`, "response.docs", results.Some},
		{`{"text":"data","data":[]}`, "data", results.Empty},
		{`{"more":1}`, "data", results.Unknown},
		{`[]`, "", results.Empty},
		{"\n[\n 1]", "", results.Some},
		{`{}`, "", results.Unknown},
		{``, "", results.Unknown},
		{`{"a" "data":[]}`, "data", results.Unknown},
	} {
		var path []string
		if test.path != "" {
			path = strings.Split(test.path, ".")
		}
		if got := results.Look([]byte(test.body), path); got != test.want {
			t.Errorf("%s at %q: %v, want %v", test.body, test.path, got, test.want)
		}
	}
}

// FuzzLook compares with encoding/json where that can read the body, and asks what a part
// of it says: the same, or nothing.
func FuzzLook(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[]}}`, `{"x":"\\\"","a":{"b":[1]}}`, `{"a":{"b":[[]]}}`, `{"a":[]}`, `{"x":[{}],"a":{"y":1.5,"b": [ ]}}`, `[`, "{\"a\":{\"b\":[\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 2000 {
			return // Each of its beginnings is read.
		}
		got := results.Look([]byte(body), []string{"a", "b"})
		for end := range len(body) {
			if part := results.Look([]byte(body[:end]), []string{"a", "b"}); part != results.Unknown && part != got {
				t.Fatalf("%q says %v, and its first %d bytes %v", body, got, end, part)
			}
		}
		var document struct{ A struct{ B []any } }
		plain := strings.Count(body, `"a"`) == 1 && strings.Count(body, `"b"`) == 1 && !strings.ContainsAny(body, `\AB`)
		if !plain || json.Unmarshal([]byte(body), &document) != nil {
			return
		}
		if (got == results.Some) != (len(document.A.B) > 0) {
			t.Errorf("%q says %v, and has %v", body, got, document.A.B)
		}
	})
}
