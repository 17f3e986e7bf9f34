package policy

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"outrider/policy/answer"
	"outrider/policy/hint"
	"outrider/policy/retry"
)

// A Settlement says what a send of a letter has come to.
type Settlement struct {
	Verdict Verdict
	// Reason is why it is sent no more: "refused", "redirected" or "unsendable" where it is
	// dead, "unknown" of VerdictUnknown. Else it is empty.
	Reason string
	// After is how long the letter has to be left alone at least, of VerdictNotSent and
	// VerdictLater; 0: nobody said.
	After time.Duration
	// NothingDone says that all attempts of this send provably came to nothing.
	NothingDone bool
	// Rescue says that a call which is no letter yet may become one where it ends so, in place
	// of being answered: another time it may come to something.
	Rescue bool
	Why    string // for people, as the table has it
}

// slowly is for how long a letter is left alone that somebody has to do something for, where
// the provider names no time: a hundred of these are longer than a day.
const slowly = 15 * time.Minute

// Settle says what becomes of a letter that was sent by the plan, or would of a call that is
// none yet. req is what went into the RoundTrip, with its Call in the context; resp or err is
// what came out. A key that the call got on its way (see Call.Minted) counts as its own: who
// keeps the call keeps it too. The body of resp is not read: one that breaks off is for the
// caller to judge.
func (p *Plan) Settle(req *http.Request, resp *http.Response, err error) Settlement {
	call := CallFrom(req.Context())
	class := p.letterClass(req, call)
	var end Ending
	var after time.Duration
	if err != nil {
		end, after = failedEnding(err, class, call)
	} else {
		end, after = p.ending(req, resp), p.leftAlone(req, resp)
	}
	row := settlementOf(end, class)
	s := Settlement{Verdict: row.Verdict, Reason: row.Reason, Why: row.Why, NothingDone: row.NothingDone, Rescue: row.Rescue && !misdirected(err)}
	if row.Slow && after == 0 {
		after = slowly
	}
	if row.Verdict == VerdictLater || row.Verdict == VerdictNotSent {
		s.After = after
	}
	// The row is about the last attempt. Those before it were followed by another because
	// they came to nothing, or because it did not matter: then some may have come to something.
	before := call.left()
	if err == nil { // but for the one that was answered
		before--
	}
	if class != retry.Unsafe && before > 0 {
		s.NothingDone = false
	}
	return s
}

// letterClass is the class of a request that is, or could be, kept.
func (p *Plan) letterClass(req *http.Request, call *Call) retry.Class {
	class := p.retry.KeptClass(req)
	if call != nil && call.minted != nil && class != retry.Idempotent {
		return retry.Keyed
	}
	return class
}

// misdirected reports a refusal of ours that is about where the call goes: its caller is to
// be told, who may have meant another place.
func misdirected(err error) bool {
	refusal, ok := errors.AsType[Refusal](err)
	if !ok {
		return false
	}
	reason, _ := refusal.Refusal()
	return reason == "address-denied" || reason == "unknown-connection"
}

// hopeless are the reasons of refusals of our own that a later send would meet again.
var hopeless = []string{"request-unsignable", "malformed-request"}

// failedEnding is the ending of a send without an answer, and the wait that a refusal of our
// own asks for.
func failedEnding(err error, class retry.Class, call *Call) (end Ending, after time.Duration) {
	reason := ""
	refusal, refused := errors.AsType[Refusal](err)
	if refused {
		reason, after = refusal.Refusal()
	}
	attempts, aloft := call.departed(err, refused)
	switch {
	case !aloft && slices.Contains(hopeless, reason):
		return endUnsendable, 0
	case attempts == 0, attempts == 1 && refused && connectFailed(err), // such as an address that is denied
		failedHere(err) && call.left() == 0:
		return endWithheld, after
	case connectFailed(err), class == retry.Unsafe && !aloft: // an attempt follows only what did nothing
		return endUnsent, after
	}
	return endNoAnswer, after
}

// ending is that of a send with an answer.
func (p *Plan) ending(req *http.Request, resp *http.Response) Ending {
	status, means := resp.StatusCode, meaning(finding(req.Context()))
	switch {
	case CallFrom(req.Context()).Stale() != nil:
		return endNoAnswer // it is an earlier one
	case means == answer.Exhausted, status == http.StatusForbidden && (means == answer.Throttled || spentFor(resp, p.spoken) > 0):
		return endSpent
	case means == answer.Refused, means == "" && p.injects() && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		return endDenied
	case means == answer.Failed, means == answer.Partial:
		return endFailed
	}
	attempts, _ := CallFrom(req.Context()).departed(nil, false)
	switch p.retry.Verdict(req, resp, attempts) {
	case retry.Forbidden:
		if status >= http.StatusInternalServerError {
			return endForbidden
		}
		return endPermanent
	case retry.Misdirected, retry.Unprocessed:
		return endUnprocessed
	case retry.Reused:
		return endKeyReused
	case retry.Listed, retry.Asked:
		return endAgain
	case retry.Running:
		return endRunning
	}
	switch {
	case means != "", passing(status): // throttled, busy or fault, and no retry.statuses for it
		return endAgain
	case status >= 200 && status < 300, status == http.StatusNotModified:
		return endTaken
	case status >= 300 && status < 400:
		return endRedirected
	}
	return endPermanent
}

// injects reports whether the plan has a credential of its own.
func (p *Plan) injects() bool {
	return p.Policy.Auth.Type != "none" && p.Policy.Auth.Type != "passthrough"
}

// passing reports the statuses of what passes by itself, whatever retry.statuses say: those
// are about the next seconds, and a letter has a day. 501 and 505 say that the request is
// wrong for a server that is well.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= http.StatusInternalServerError
}

// leftAlone is for how long an answer wants the provider to be left alone; 0: it does not say.
func (p *Plan) leftAlone(req *http.Request, resp *http.Response) time.Duration {
	now := time.Now()
	after, _ := hint.RetryAfter(resp.Header, now)
	if f := finding(req.Context()); f != nil {
		after = max(after, f.After)
	}
	return max(after, spentFor(resp, p.spoken))
}
