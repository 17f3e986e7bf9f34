package cli_test

import (
	"strings"
	"testing"
)

func TestCheckSaysWhatIsKept(t *testing.T) {
	t.Setenv("OUTRIDER_TEST_KEY", "canary-key")
	code, out, problems := check(t, `
state_dir = "`+t.TempDir()+`"

[outbox]
max_size     = "2GiB"
callbacks    = ["https://app.example.com/hooks/"]
callback_key = "env:OUTRIDER_TEST_KEY"

[upstream.crm]
url    = "https://crm.example"
auth   = { type = "bearer", token = "env:OUTRIDER_TEST_KEY" }
outbox = "on_failure"
retry  = { idempotency_header = "Idempotency-Key", mint_key = true }

[[upstream.crm.rule]]
match  = "POST /notes"
outbox = "always"
retry  = { mint_key = false }

[upstream.weather]
url    = "https://weather.example"
auth   = { type = "none" }
outbox = "allow"

[upstream.plain]
url = "https://plain.example"
`)
	if code != 0 || problems != "" {
		t.Fatalf("exit code %d, %s", code, problems)
	}
	for _, want := range []string{
		"\nletters are kept in ",
		"\nletters take at most 2GiB, each with a body of up to 64MiB; delivered ones can be read for 24h, dead ones for 720h; callbacks go to https://app.example.com/hooks/, signed\n",
		"  outbox      calls that come to nothing are kept, but GET, HEAD, OPTIONS, TRACE and QUERY, and any with Prefer: respond-async, and sent for up to 24h; POST and PATCH under one Idempotency-Key, which is good for 24h\n",
		"    outbox    all calls are kept but GET, HEAD, OPTIONS, TRACE and QUERY, and those too with Prefer: respond-async, and sent for up to 24h; POST and PATCH that carry Idempotency-Key, which is good for 24h; any other not again where nobody knows whether it was applied\n",
		"  outbox      calls with Prefer: respond-async are kept, and sent for up to 24h; a POST or PATCH not again where nobody knows whether it was applied\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Count(out, " outbox ") != 3 {
		t.Error("an upstream whose calls are not kept has an outbox")
	}
	if strings.Contains(out, "canary") {
		t.Error("a secret was printed")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// A key that nothing can be signed with was found out by the first callback, and by every one
// after it: none was sent.
func TestCheckLooksAtTheKeyOfCallbacks(t *testing.T) {
	t.Setenv("OUTRIDER_TEST_KEY", "whsec_canary!")
	code, out, problems := check(t, `
[outbox]
callbacks    = ["https://app.example.com/hooks/"]
callback_key = "env:OUTRIDER_TEST_KEY"
`)
	if code != 2 || !strings.Contains(problems, "outbox.callback_key: must be base64 after whsec_") || strings.Contains(out+problems, "canary") {
		t.Errorf("%d %s %s", code, out, problems)
	}
}
