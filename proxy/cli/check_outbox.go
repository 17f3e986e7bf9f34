package cli

import (
	"fmt"
	"slices"
	"strings"

	"outrider/policy"
	"outrider/policy/config"
)

// keeps reports whether calls may become letters.
func keeps(set *policy.Set) bool {
	return slices.ContainsFunc(set.Upstreams(), func(u *policy.Upstream) bool {
		return slices.ContainsFunc(u.Plans(), func(p *policy.Plan) bool { return p.Policy.Outbox != config.OutboxNever })
	})
}

// outboxText says which calls become letters, and what may be sent twice of them; "": none
// does.
func outboxText(p *config.Policy, file *config.File) string {
	text := ""
	switch p.Outbox {
	case config.OutboxNever:
		return ""
	case config.OutboxAllow:
		text = "calls with Prefer: respond-async are kept"
	case config.OutboxAlways:
		text = "all calls are kept but GET, HEAD, OPTIONS, TRACE and QUERY, and those too with Prefer: respond-async"
	case config.OutboxOnFailure:
		text = "calls that come to nothing are kept, but GET, HEAD, OPTIONS, TRACE and QUERY, and any with Prefer: respond-async"
	}
	text += fmt.Sprintf(", and sent for up to %s; ", config.Duration(file.Outbox.MaxAge))
	header, age := p.Retry.IdempotencyHeader, config.Duration(p.Retry.KeyAge)
	switch {
	case p.Retry.MintKey:
		return text + fmt.Sprintf("POST and PATCH under one %s, which is good for %s", header, age)
	case header != "":
		return text + fmt.Sprintf("POST and PATCH that carry %s, which is good for %s; any other %s", header, age, unrepeated)
	}
	return text + "a POST or PATCH " + unrepeated
}

// unrepeated is what holds without a key.
const unrepeated = "not again where nobody knows whether it was applied"

// lettersText says how letters are kept.
func lettersText(o config.Outbox) string {
	text := fmt.Sprintf("letters take at most %s, each with a body of up to %s; delivered ones can be read for %s, dead ones for %s",
		config.Size(o.MaxSize), config.Size(o.MaxBody), config.Duration(o.KeepResults), config.Duration(o.KeepDead))
	if len(o.Callbacks) == 0 {
		return text
	}
	text += "; callbacks go to " + strings.Join(o.Callbacks, ", ")
	if o.CallbackKey == "" {
		return text + ", not signed"
	}
	return text + ", signed"
}
