package config_test

import (
	"fmt"
	"strings"
	"testing"

	"outrider/policy/config"
)

// FuzzParse puts a secret where secrets stand, between bytes of any kind. Parse
// must not panic, and no message may repeat the secret: not where the document
// is broken before it, after it, or around it.
func FuzzParse(f *testing.F) {
	const head = "[upstream.x]\nurl = \"https://x.example\"\n[upstream.x.auth]\ntype = \"bearer\"\n"
	f.Add([]byte(head), []byte(""))
	f.Add([]byte(head), []byte("oops"))
	f.Add([]byte("listen = 1\n"), []byte("\nadmin = 2"))
	f.Add([]byte("listen = '''"), []byte("'''"))
	f.Add([]byte(`upstream.x = { auth = { type = "bearer", `), []byte("}}"))
	f.Add([]byte("[[upstream.x.rule]]\nauth."), []byte("\n[[upstream.x.rule]]"))
	f.Add([]byte("[upstream.x]\npreset = \"salesforce\"\n[[upstream.x.rule]]\nauth."), []byte("\n[upstream.x.auth]"))
	f.Add([]byte(`upstream.x = { preset = "stripe", rule = [3, { `), []byte("}] }"))
	f.Add([]byte(`"`), []byte("\n= 1"))
	f.Add([]byte("[telemetry]\n"), []byte(`""`))
	f.Add([]byte("upstream."), []byte("")) // a table is missing
	f.Add([]byte("[alerts.rule]\n"), []byte(""))
	f.Add([]byte("[upstream.x]\nurl = \"https://x.example\"\nconnection."), []byte(""))
	f.Add([]byte("'"), []byte("'=911")) // the secret becomes part of a key
	f.Add([]byte(switchedOn(reference(f))), []byte("\n"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		document := fmt.Sprintf("%stoken = %q%s", before, "canary7f3a", after)
		file, err := config.Parse("fuzz.toml", []byte(document))
		if (file == nil) == (err == nil) {
			t.Fatalf("Parse gave %v and %v", file, err)
		}
		if err != nil && strings.Contains(err.Error(), "7f3a") && !strings.Contains(string(before)+string(after), "7f3a") {
			t.Errorf("the error repeats the secret:\n%v", err)
		}
		if err != nil && err.Error() == "" {
			t.Error("the error says nothing")
		}
		if file != nil && strings.Contains(fmt.Sprintf("%+v", file.Warnings), "canary7f3a") {
			t.Errorf("a warning repeats the secret: %v", file.Warnings)
		}
	})
}
