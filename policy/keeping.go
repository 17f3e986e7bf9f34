package policy

import (
	"net/http"

	"outrider/policy/config"
	"outrider/policy/retry"
)

// KeepForecast says whether a call would become a letter, and how that would be sent.
type KeepForecast struct {
	Mode   string `json:"mode"`              // the setting outbox
	When   string `json:"when"`              // when such a call is kept, in words
	MaxAge string `json:"max_age,omitempty"` // for how long it is tried to send it; "": it is not kept
	Key    string `json:"key,omitempty"`     // the header with the idempotency key of all its sends; "": it has none
	KeyAge string `json:"key_age,omitempty"` // how long after its first use the key is good
	Again  string `json:"again,omitempty"`   // what becomes of it where nobody knows whether it was applied, in words
}

// forecastKeeping says of a call like req what the outbox would do with it.
func forecastKeeping(req *http.Request, plan *Plan, file *config.File) *KeepForecast {
	k := &KeepForecast{Mode: plan.Policy.Outbox, When: keepText(plan.Policy.Outbox, req.Method)}
	if k.Mode == config.OutboxNever {
		return k
	}
	k.MaxAge = file.Outbox.MaxAge.String()
	cfg, class := plan.Policy.Retry, plan.retry.KeptClass(req)
	header, _ := plan.LetterKey(req)
	dead := `it is dead, "unknown", for somebody to look at`
	if k.Mode == config.OutboxOnFailure && !ReadsOnly(req.Method) {
		dead = "its caller gets the answer, and there is no letter; if it is one already, " + dead
	}
	switch {
	case header != "":
		k.Key, k.KeyAge = header, cfg.KeyAge.String()
		k.Again = "it is sent again, as long as the key is good"
	case class == retry.Idempotent:
		k.Again = "it is sent again: " + retry.Lookup(class, retry.NoAnswer, "").Why
	case cfg.IdempotencyHeader != "":
		k.Again = dead + "; under an " + cfg.IdempotencyHeader + " of its caller, which is good for " + config.Duration(cfg.KeyAge).String() + ", it is sent again"
	default:
		k.Again = dead + "; with Outrider-Idempotent: true it is sent again"
	}
	return k
}

// keepText says when calls of a method become letters.
func keepText(mode, method string) string {
	const asked = "if its caller sends Prefer: respond-async"
	switch {
	case mode == config.OutboxNever || method == http.MethodTrace:
		return "never"
	case mode == config.OutboxAllow || ReadsOnly(method):
		return asked
	case mode == config.OutboxOnFailure:
		return "if it comes to nothing (retries are spent, the circuit is open, the quota is gone), or " + asked
	}
	return "always"
}

// ReadsOnly reports the methods of calls whose answer is what they are made for (RFC 9110
// §9.2.1, RFC 10008): unasked they are not kept.
func ReadsOnly(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

// Idempotent reports the methods of requests that may be sent twice (RFC 9110 §9.2.2, RFC 10008
// §2 for QUERY).
func Idempotent(method string) bool { return retry.IdempotentMethod(method) }
