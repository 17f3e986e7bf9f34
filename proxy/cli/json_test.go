package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode"

	"outrider/proxy/telemetry"
)

// A caller chooses its path. U+009B begins an escape sequence in many a terminal, as ESC [
// does, and tail --json wrote it there.
func TestJSONSteersNoTerminal(t *testing.T) {
	path := "/a\u009b2J\x1b[31m\u007f\u202e\u2028\U000e0001é日"
	for name, print := range map[string]func(io.Writer) error{
		"a document": func(w io.Writer) error {
			return (&commands{Process: Process{Stdout: w}}).printJSON(map[string]string{"path": path})
		},
		"a call": func(w io.Writer) error {
			return (&tail{w: w, json: true}).print([]telemetry.Record{{Number: 1, Path: path}})
		},
	} {
		var out bytes.Buffer
		if err := print(&out); err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }); i >= 0 {
			t.Errorf("%s has %q", name, out.String()[i:])
		}
		if !strings.Contains(out.String(), `/a\u009b2J\u001b[31m\u007f\u202e\u2028\udb40\udc01é日`) {
			t.Errorf("%s is %s", name, out.String())
		}
		var read struct{ Path string }
		if err := json.Unmarshal(out.Bytes(), &read); err != nil || read.Path != path {
			t.Errorf("%s reads as %q: %v", name, read.Path, err)
		}
	}
}
