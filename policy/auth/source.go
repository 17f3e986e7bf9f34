package auth

import (
	"context"
	"time"
)

// A Token is what a Source has injected into a request: a header field, a query
// parameter, what stands for a placeholder, or a signature. The zero Token changes nothing.
// Tokens can be compared.
type Token struct {
	Kind   string // of the credential, for people: "bearer"
	Header string // the field to set, replacing every value that the caller gave it
	Query  string // the parameter to set, likewise
	Value  Secret // what to set, whole: with a scheme or prefix before it
	Origin string // "https://acme.example.com", the only place that it is sent to; "": wherever the request goes
	Remove bool   // take the Header away, and put nothing in its place; Value is empty

	// Placeholder stands for the secret on the caller's side: it takes the place
	// of what is Hidden. Without a Header and a Query, Value takes its place in
	// the request. "" is REDACTED, and takes no value.
	Placeholder string
	// Hidden are the texts that a response must not show in its header or its
	// trailers. Those of fewer than 8 bytes are not looked for.
	Hidden [maxHidden]Secret

	// Owner tells the accounts apart whose token it may be, in one place one after the
	// other: it stays when a grant is refreshed, and is another one after another login, or
	// for another key. "": the token has no secret.
	Owner Secret

	checked bool     // it was found to be sendable as it was made
	signing *signing // signs the request when it leaves; nil: what is above is put in
}

// empty reports that there is nothing secret in it that could be replaced.
func (t Token) empty() bool { return t.Value == (Secret{}) && t.signing == nil }

// maxHidden is enough for a credential that is sent whole and in one part.
const maxHidden = 2

// A Source gives tokens. It may be used concurrently.
//
// stale, if not zero, was just refused by the upstream: it is not handed out
// again, and only a caller whose stale is still the current token causes a
// refresh. A Source whose tokens come from configuration has nothing to
// refresh, and gives what is configured now. An error, or a token that equals
// stale, says that there is nothing new.
type Source interface {
	Token(ctx context.Context, stale Token) (Token, error)
}

// An UnavailableError ends a call for which there is no credential. Nothing
// was sent.
type UnavailableError struct {
	Err        error         // why; it names no value
	RetryAfter time.Duration // when there may be one again; 0: that is not known
}

func (e *UnavailableError) Error() string { return "credential unavailable: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Refusal names the error for the stages above and for the answer to the
// caller.
func (e *UnavailableError) Refusal() (reason string, retryAfter time.Duration) {
	return "credential-unavailable", e.RetryAfter
}
