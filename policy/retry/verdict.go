package retry

import (
	"mime"
	"net/http"
	"slices"
	"strings"
)

// verdict reads what the response to the latest attempt says about trying again.
func (s *Stage) verdict(c *course, resp *http.Response, a Answer) Verdict {
	if a.Meaning == AsFinal {
		return Final
	}
	if stands(resp, a.Meaning) {
		return Final
	}
	status := resp.StatusCode
	listed := s.listed(resp, a)
	if !listed && status < 400 {
		return Final
	}
	yes, no := shouldRetry(resp.Header)
	switch {
	case no:
		return Forbidden
	case status == http.StatusMisdirectedRequest && !c.moved:
		return Misdirected
	case slices.Contains(s.set.Unprocessed, status), listed && a.Unprocessed:
		return Unprocessed
	case status == http.StatusUnprocessableEntity && s.Class(c.req) == Keyed:
		return Reused
	case listed:
		return Listed
	case yes:
		return Asked
	case status == http.StatusConflict && s.Class(c.req) == Keyed && c.running(resp, a):
		return Running
	}
	return Final
}

// stands reports a success, the common case: no word of the server makes one worth repeating.
func stands(resp *http.Response, m Meaning) bool { return resp.StatusCode < 400 && m == AsStatus }

// Verdict reads what resp, the answer to the last of so many attempts of a call, tells about
// trying it again later. req is the first, with the idempotency key that it went out with.
func (s *Stage) Verdict(req *http.Request, resp *http.Response, attempts int) Verdict {
	return s.verdict(&course{req: req, attempts: attempts}, resp, s.answer(req, resp))
}

// running reports whether a 409 to a keyed request is about another with the same
// key, and not about what it asks for (draft-ietf-httpapi-idempotency-key-header). A key
// that is used by this very attempt for the first time is nobody else's. A problem (RFC 9457) says what
// it is about: one about the key is found by Settings.Answer, and stands for a throttle.
func (c *course) running(resp *http.Response, a Answer) bool {
	if a.Meaning == AsThrottle {
		return true
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind != "application/problem+json" && (c.minted == "" && !ControlsFrom(c.req.Context()).FirstUse || c.attempts > 1)
}

// shouldRetry reads the server's own word. Where it contradicts itself, the
// caller of this takes the no.
func shouldRetry(h http.Header) (yes, no bool) {
	for _, field := range [...]string{"X-Should-Retry", "Stripe-Should-Retry"} {
		for _, v := range h[field] {
			v = strings.Trim(v, " \t")
			yes = yes || strings.EqualFold(v, "true")
			no = no || strings.EqualFold(v, "false")
		}
	}
	return yes, no
}
