package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// A TokenError says why a token endpoint gave no token. It shows no value, and
// nothing of the answer but its status and its code: error_description may repeat
// what was sent.
type TokenError struct {
	Host   string // of the token endpoint
	Status int    // of its answer; 0: there was none
	Code   string // "invalid_grant"; "": it named none that may be shown
	Reason string // why, where there is no code: "connection reset"
	Advice string // what to do about it; "": wait
}

func (e *TokenError) Error() string {
	text := "oauth2: asking " + e.Host + ": "
	switch {
	case e.Code != "":
		text += e.Code
	case e.Reason != "":
		text += e.Reason
	default:
		text += "status " + strconv.Itoa(e.Status)
	}
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

// A failure is how lasting the lack of a token is.
type failure string

const (
	transient failure = "transient" // the endpoint, or the way to it, is not well
	misset    failure = "misset"    // the configuration is not accepted
	terminal  failure = "terminal"  // the grant is not accepted, and will not be again
)

const (
	adviceDead  = "the grant is dead: log in again, or give a new refresh_token"
	adviceLogin = "the grant is dead: log in again: " // and the command
)

// adviceMisset is that of grants which show nothing but the client: see grantKind.
var adviceMisset = map[int]string{
	0: "the token endpoint does not accept the configuration: look at client_id, client_secret or private_key, token_url, scopes",
}

// terminalCodes say that a refresh token is worth nothing any more. Those that are
// not in RFC 6749 §5.2 are GitHub's, Slack's and Microsoft's.
var terminalCodes = map[string]bool{
	"invalid_grant": true, "unauthorized_client": true, "access_denied": true,
	"bad_refresh_token": true, "invalid_refresh_token": true, "token_revoked": true, "token_expired": true, "invalid_token": true,
	"account_inactive": true, "interaction_required": true, "login_required": true, "consent_required": true,
}

// transientCodes say that it is worth asking again, whatever the status is.
var transientCodes = map[string]bool{
	"temporarily_unavailable": true, "server_error": true, "slow_down": true, "ratelimited": true, "rate_limited": true,
	"rate_limit_exceeded": true, "internal_error": true, "service_unavailable": true, "request_timeout": true,
}

// classify says how lasting an answer is that gave no token. Status 429 and 5xx are
// the server's trouble, whatever it says of the grant. spends says that it is one that
// ends: a client may be accepted again, a refresh token is not.
func classify(spends bool, status int, code string) failure {
	switch {
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return transient
	case transientCodes[code]:
		return transient
	case terminalCodes[code] && spends:
		return terminal
	case status < 300 && code == "":
		return transient // a page of somebody in between, or of maintenance
	}
	return misset
}

// failed is the error of an answer without a token.
func (o *OAuth2) failed(kind failure, status int, code, reason string) *TokenError {
	e := &TokenError{Host: o.host, Status: status, Code: code, Reason: reason}
	switch kind {
	case terminal:
		e.Advice = adviceDead
		if o.set.Grant == "authorization_code" {
			e.Advice = adviceLogin + o.set.LoginCommand
		}
	case misset:
		e.Advice = o.kind.advise(status)
	}
	return e
}

// describe names how an exchange without an answer ended, in words of ours: the
// error's own may hold bytes of the answer.
func describe(err error) string {
	timeout, isTimeout := errors.AsType[net.Error](err)
	_, noName := errors.AsType[*net.DNSError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || isTimeout && timeout.Timeout():
		return "timeout"
	case noName:
		return "no such host"
	case untrusted:
		return "its certificate is not trusted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case unsent(err):
		return "no connection"
	}
	return "no answer"
}

func unsent(err error) bool {
	u, ok := errors.AsType[interface {
		error
		Unsent() bool
	}](err)
	return ok && u.Unsent()
}

// worthAnother reports whether another connection may do better: nothing was sent,
// or the one that was used had been given up by the other side.
func worthAnother(err error) bool {
	return unsent(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A hold is a time before which the token endpoint is not asked again.
type hold struct {
	kind failure // "": there is none
	err  error
	pause
	tries  int     // failures of this kind in a row
	tried  client  // with whom it failed
	with   version // and of which grant
	gone   bool    // nothing is kept of what is only kept
	looked pause   // until it is looked again whether it has to last: see mayLook
}

// holds reports whether the hold is about the request that a would send now.
func (h *hold) holds(a *attempt, now time.Time) bool {
	return h.active(now) && (h.kind == transient || h.tried == a.who && h.with == a.from.version)
}

func (h *hold) active(now time.Time) bool { return h.kind != "" && h.lasts(now) }

// extend makes next, which another failure causes, the hold: for at least as long as the
// server asks.
func (h *hold) extend(next hold, asked time.Duration, jitter func(time.Duration) time.Duration, now time.Time) {
	if h.kind == next.kind {
		next.tries = h.tries + 1
	}
	var wait time.Duration
	switch next.kind {
	case terminal:
		wait = doubled(5*time.Minute, next.tries, time.Hour)
	case misset:
		wait = doubled(30*time.Second, next.tries, time.Hour)
	default: // full jitter, so that processes that failed together do not come back together
		wait = jitter(doubled(time.Second, next.tries, time.Minute))
	}
	next.pause, next.looked = pauseOf(max(wait, asked), now), pauseOf(lookEvery, now)
	*h = next
}

// doubled is base·2ⁿ, at most limit.
func doubled(base time.Duration, n int, limit time.Duration) time.Duration {
	if n > 30 {
		return limit
	}
	return min(base<<n, limit)
}
