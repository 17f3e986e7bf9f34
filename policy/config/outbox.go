package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Which calls become letters, by Policy.Outbox.
const (
	OutboxNever     = "never"      // none
	OutboxAllow     = "allow"      // those whose caller asks for it: Prefer: respond-async
	OutboxAlways    = "always"     // those too, and all that do not only read
	OutboxOnFailure = "on_failure" // as OutboxAlways, but of those not asked for the ones alone that came to nothing
)

// outboxAgrees keeps max_body within max_size. One that is only the default gives way; one
// that is written does not.
func outboxAgrees(n node, o *Outbox) {
	if len(o.Callbacks) > 0 && o.CallbackKey == "" && n.sound("callback_key") {
		n.child("callbacks").warn("are not signed, so that whoever finds out the URL can send one: set callback_key")
	}
	if !n.writes("max_body") {
		o.MaxBody = min(o.MaxBody, o.MaxSize)
		return
	}
	if o.MaxBody > o.MaxSize && n.sound("max_body", "max_size") {
		n.child("max_body").failf("must not be larger than max_size, which is %s", Size(o.MaxSize))
	}
}

// fitOutbox reports an outbox whose letters would be sent without a credential: those of
// callers are not kept. A rule that has both from its upstream has its error, too.
func fitOutbox(n node, p *Policy) {
	if p.Outbox == OutboxNever || p.Auth.Type != "passthrough" || !n.sound("outbox") || !n.child("auth").soundBelow() {
		return
	}
	const remedy = `: a letter holds no credential of a caller, and would go out without one; give auth the credential, or type = "none" where the API needs none`
	switch {
	case n.has("outbox"):
		n.child("outbox").fail("does not go with " + n.path + `.auth.type, which is "passthrough"` + remedy)
	case n.has("auth"):
		n.child("auth").child("type").fail(`does not go with outbox, which is "` + p.Outbox + `" here` + remedy)
	}
}

// upToAYear bounds what the store has to reckon with.
func upToAYear(d time.Duration) string {
	if d <= 0 || d > 365*24*time.Hour {
		return "must be longer than 0 and at most 8760h"
	}
	return ""
}

func someBytes(size int64) string {
	if size <= 0 {
		return "must be more than 0"
	}
	return ""
}

// readCallback reads what the URL of a callback may begin with. It ends with a slash, since
// "https://app.example.com/hooks" would be the beginning of "…/hooks-of-somebody-else", and
// a host without one that of another host.
func readCallback(n node) (string, bool) {
	const form = `must be the beginning of URLs, with a slash at its end: "https://app.example.com/hooks/"`
	text, ok := readText(n)
	if !ok {
		return "", false
	}
	u, problem := parseURL(text)
	switch {
	case problem != "":
		n.fail(problem)
		return "", false
	case u.RawQuery != "" || u.ForceQuery:
		n.fail("must not have a query: " + form)
		return "", false
	}
	at, plain := callbackURL(u)
	if !plain || !strings.HasSuffix(at, "/") {
		n.fail(form)
		return "", false
	}
	return at, true
}

// callbackURL is a URL without its query in the one spelling in which callbacks are compared.
// It is not plain if its path leads elsewhere than it looks.
func callbackURL(u *url.URL) (at string, plain bool) {
	for segment := range strings.SplitSeq(u.Path, "/") {
		name, _, _ := strings.Cut(segment, ";") // servers that take parameters in a segment take "..;" for ".."
		if name == "." || name == ".." {
			return "", false
		}
	}
	if strings.Contains(u.Path, `\`) || !strings.HasPrefix(u.EscapedPath(), "/") {
		return "", false
	}
	host := strings.ToLower(u.Host)
	return u.Scheme + "://" + strings.TrimSuffix(host, ":"+defaultPorts[u.Scheme]) + u.EscapedPath(), true
}

// AllowsCallback reports whether a callback may go to a URL: one of Callbacks is its
// beginning, and it is one of http or https without a user name, a password or a fragment.
func (o *Outbox) AllowsCallback(raw string) bool {
	u, problem := parseURL(raw)
	if problem != "" {
		return false
	}
	at, plain := callbackURL(u)
	return plain && slices.ContainsFunc(o.Callbacks, func(prefix string) bool { return strings.HasPrefix(at, prefix) })
}
