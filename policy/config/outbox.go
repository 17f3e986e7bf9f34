package config

// Which calls become letters, by Policy.Outbox.
const (
	OutboxNever     = "never"      // none
	OutboxAllow     = "allow"      // those whose caller asks for it: Prefer: respond-async
	OutboxAlways    = "always"     // all, but those that only read
	OutboxOnFailure = "on_failure" // those that came to nothing, but those that only read
)

// AllowsCallback reports whether a callback may go to a URL: it is one that Callbacks
// names the beginning of.
func (o *Outbox) AllowsCallback(raw string) bool { return false }
