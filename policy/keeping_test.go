package policy_test

import (
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
)

func TestExplanationSaysWhetherACallIsKept(t *testing.T) {
	const asked = "if its caller sends Prefer: respond-async"
	const minting = `retry = { idempotency_header = "Idempotency-Key", mint_key = true, key_age = "12h" }`
	const header = `retry = { idempotency_header = "Idempotency-Key" }`
	const dead = `it is dead, "unknown", for somebody to look at`
	for _, tt := range []struct {
		mode, settings, method string
		want                   policy.KeepForecast
	}{
		{"never", "", "POST", policy.KeepForecast{Mode: "never", When: "never"}},
		{"allow", "", "POST", policy.KeepForecast{Mode: "allow", When: asked, MaxAge: "24h0m0s", Again: dead + "; with Outrider-Idempotent: true it is sent again"}},
		{"allow", header, "POST", policy.KeepForecast{Mode: "allow", When: asked, MaxAge: "24h0m0s", Again: dead + "; under an Idempotency-Key of its caller, which is good for 24h, it is sent again"}},
		{"always", minting, "POST", policy.KeepForecast{Mode: "always", When: "always", MaxAge: "24h0m0s", Key: "Idempotency-Key", KeyAge: "12h0m0s", Again: "it is sent again, as long as the key is good"}},
		{"always", minting, "GET", policy.KeepForecast{Mode: "always", When: asked, MaxAge: "24h0m0s", Again: "it is sent again: applied twice is the same as applied once (RFC 9110 §9.2.2; QUERY: RFC 10008)"}},
		{"on_failure", minting, "PATCH", policy.KeepForecast{Mode: "on_failure", MaxAge: "24h0m0s", Key: "Idempotency-Key", KeyAge: "12h0m0s",
			When:  "if it comes to nothing (retries are spent, the circuit is open, the quota is gone), or " + asked,
			Again: "it is sent again, as long as the key is good"}},
		// It announced a letter, and there is none: the call was sent, and may have been applied.
		{"on_failure", header, "POST", policy.KeepForecast{Mode: "on_failure", MaxAge: "24h0m0s",
			When:  "if it comes to nothing (retries are spent, the circuit is open, the quota is gone), or " + asked,
			Again: "its caller gets the answer, and there is no letter; if it is one already, " + dead + "; under an Idempotency-Key of its caller, which is good for 24h, it is sent again"}},
		{"on_failure", header, "GET", policy.KeepForecast{Mode: "on_failure", When: asked, MaxAge: "24h0m0s", Again: "it is sent again: applied twice is the same as applied once (RFC 9110 §9.2.2; QUERY: RFC 10008)"}},
	} {
		set := newRig(t, nil).compile(plain+"auth = { type = \"none\" }\noutbox = \""+tt.mode+"\"\n"+tt.settings, nil)
		e, err := set.Explain(t.Context(), tt.method, "/api/x", "")
		if err != nil {
			t.Fatal(err)
		}
		if e.Outbox == nil || *e.Outbox != tt.want {
			t.Errorf("%s %s:\ngot  %+v\nwant %+v", tt.mode, tt.method, e.Outbox, tt.want)
		}
	}
}

// A key that cannot be read is found out before the first callback.
func TestCallbackKeyThatIsMissingIsAnError(t *testing.T) {
	file, err := config.Parse("test.toml", []byte(`outbox = { callbacks = ["https://app.example.com/"], callback_key = "file:/nowhere" }`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = policy.Compile(file, newRig(t, nil).env, nil); err == nil || !strings.HasPrefix(err.Error(), "outbox.callback_key: ") {
		t.Errorf("got %v", err)
	}
}
