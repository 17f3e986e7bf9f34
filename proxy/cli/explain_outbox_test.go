package cli

import (
	"strings"
	"testing"
)

func TestExplainSaysWhatIsKept(t *testing.T) {
	home(t, "")
	r := launch(t, `
[upstream.api]
url    = "https://api.test"
auth   = { type = "none" }
outbox = "always"
retry  = { idempotency_header = "Idempotency-Key", mint_key = true }
[upstream.plain]
url    = "https://plain.test"
`)
	for call, want := range map[string]string{
		"POST /api/x": "kept always then it is sent for up to 24h" +
			" under one Idempotency-Key, its caller's or its own, which is good for 24h from its first use" +
			" where nobody knows whether it was applied: it is sent again, as long as the key is good budget",
		"DELETE /api/x": "kept always then it is sent for up to 24h where nobody knows whether it was applied: it is sent again: applied twice",
		"GET /api/x":    "kept if its caller sends Prefer: respond-async then it is sent",
		"POST /plain/x": "kept never budget",
	} {
		code, out, errs := commandLine("", append(append([]string{"explain"}, strings.Fields(call)...), "--admin", r.adminAt)...)
		if plain := strings.Join(strings.Fields(out), " "); code != exitFine || !strings.Contains(plain, want) {
			t.Errorf("%s ended with %d, %s and does not say %q:\n%s", call, code, errs, want, plain)
		}
	}
}
