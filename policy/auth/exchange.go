package auth

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"outrider/policy/hint"
)

// exchange sends the token request, and settles what comes of it.
func (o *OAuth2) exchange(ctx context.Context, a attempt) error {
	r := o.inquire(ctx, &a)
	if r.err != nil {
		o.rescue(ctx, &a, r)
		return o.fail(a, r.kind, r.err, r.retryAfter)
	}
	return o.succeed(ctx, a, r.tokenResponse)
}

// inquire makes the token request of a, in a way in which the client is accepted.
func (o *OAuth2) inquire(ctx context.Context, a *attempt) *result {
	how := o.clientAuth(a.who)
	r := o.send(ctx, a, how)
	if o.set.ClientAuth == clientAuto && how == clientBasic && r.refusedClient() {
		if second := o.send(ctx, a, clientBody); !second.refusedClient() {
			r, o.inBody = second, second.kind != transient
		}
	}
	return r
}

func (o *OAuth2) clientAuth(c client) string {
	switch {
	case o.set.ClientAuth != clientAuto:
		return o.set.ClientAuth
	case c.secret == (Secret{}):
		return clientNone
	case o.inBody:
		return clientBody
	}
	return clientBasic
}

// A result is what a token request brought: a token, or an error of some kind.
type result struct {
	tokenResponse
	status     int
	err        error
	kind       failure
	retryAfter time.Duration
}

// refusedClient reports that the way in which the client showed who it is was not
// accepted (RFC 6749 §5.2).
func (r *result) refusedClient() bool {
	return r.err != nil && (r.code == "invalid_client" || r.status == http.StatusUnauthorized && r.kind == misset)
}

// send makes one token request; two, if the connection was bad: the answer to the
// first may be lost, and with it the successor of our refresh token. Providers that
// know this accept the old one for a while.
func (o *OAuth2) send(ctx context.Context, a *attempt, how string) *result {
	for again := true; ; again = false {
		req, err := o.kind.request(o, ctx, a, how) // each time: an assertion is taken once
		if err != nil {
			return &result{kind: misset, err: fmt.Errorf("oauth2: %w", err)}
		}
		a.requests++
		status, header, body, err := o.try(ctx, req)
		if err == nil {
			return o.read(status, header, body)
		}
		if !again || !worthAnother(err) {
			return &result{status: status, kind: transient, err: o.failed(transient, status, "", describe(err))}
		}
		if pool, ok := o.set.Transport.(interface{ CloseIdleConnections() }); ok {
			pool.CloseIdleConnections() // so that the next is a new one
		}
	}
}

func (o *OAuth2) try(ctx context.Context, req *http.Request) (int, http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, o.set.Timeout)
	defer cancel()
	return o.post(req.WithContext(ctx))
}

// read tells what an answer means.
func (o *OAuth2) read(status int, header http.Header, body []byte) *result {
	now := wallClock()
	r := &result{status: status}
	clock := now
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		clock = at // instants in the answer are of that clock
	}
	var parsed bool
	r.tokenResponse, parsed = o.kind.parse(header.Get("Content-Type"), body, clock)
	if o.set.Assertion.TargetAudience != "" {
		r.useIDToken(clock)
	}
	reason := ""
	switch {
	case status >= 300 && status < 400:
		reason, r.code = "it redirects, and secrets are not sent on", ""
	case status >= 300 || r.tokenResponse.failed: // its status or its code is the reason
	case !parsed:
		reason = "the answer is not JSON, nor a form"
	case r.access == "":
		reason = "the answer has no access token"
	case r.otherwise != "":
		reason, r.kind = r.otherwise, misset
	case !bearer(r.tokenType) || sendable("", r.access) != nil:
		reason = "the answer has a token of another type than bearer, or one that cannot be sent"
		r.kind = misset
	default:
		return r
	}
	var asked bool
	r.retryAfter, asked = hint.RetryAfter(header, now)
	switch {
	case r.kind != "":
	case status == http.StatusForbidden && (asked || header.Get("X-Ratelimit-Remaining") == "0"):
		r.kind = transient // GitHub's 429
	default:
		r.kind = classify(o.kind.spends, status, r.code)
	}
	r.err = o.failed(r.kind, status, r.code, reason)
	return r
}
