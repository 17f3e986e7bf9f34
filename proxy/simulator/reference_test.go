package simulator_test

import (
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"outrider/proxy/simulator"
)

var update = flag.Bool("update", false, "write the endpoint reference into doc.go")

const heading = "// # Endpoints\n"

// The package documentation lists what is served, from the same table as the
// index page. go test -run TestDocumentation -update writes it.
func TestDocumentationListsEveryEndpoint(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	start := strings.Index(string(b), heading)
	if start < 0 {
		t.Fatalf("doc.go has no line %q", heading)
	}
	// The paragraph under the heading is written by hand; the list follows it.
	para := strings.Index(string(b)[start+len(heading)+3:], "\n//\n") + start + len(heading) + 3 + len("\n//\n")
	want := string(b)[:para] + commented(simulator.Reference("BASE")) + "package simulator\n"
	if *update {
		if err := os.WriteFile("doc.go", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Error("doc.go does not list the endpoints as they are: run go test ./proxy/simulator/ -run TestDocumentation -update")
	}
}

func commented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			b.WriteString("//\n")
			continue
		}
		b.WriteString("//\t" + line + "\n")
	}
	return b.String()
}

func TestIndexIsTextAndJSON(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{Seed: 7})
	r := httptest.NewRequest("GET", "http://sim.test/", nil)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	if got := w.Body.String(); !strings.Contains(got, "curl -s http://sim.test/_stats") {
		t.Errorf("the text index has no line to try:\n%s", got)
	}

	r.Header.Set("Accept", "application/json")
	w = httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	var list struct {
		Seed      uint64
		Dialects  []string
		Endpoints []struct{ Path, About, Curl string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if list.Seed != 7 || len(list.Dialects) != len(simulator.Dialects()) || len(list.Endpoints) < 40 {
		t.Errorf("seed %d, %d dialects, %d endpoints", list.Seed, len(list.Dialects), len(list.Endpoints))
	}
	for _, e := range list.Endpoints {
		if e.Path == "" || e.About == "" || !strings.HasPrefix(e.Curl, "curl ") || !strings.Contains(e.Curl, "http://sim.test") {
			t.Errorf("endpoint %+v: not described in full", e)
		}
	}
}
