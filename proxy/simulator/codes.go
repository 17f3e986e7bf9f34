package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"
)

// codeLifetime is how long an authorization code or a device code waits.
const codeLifetime = time.Minute

// authorize serves /oauth/authorize: the user who always agrees at once.
func authorize(s *Simulator, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	method := orElse(q.Get("code_challenge_method"), "plain")
	switch {
	case err != nil || !back.IsAbs() || q.Get("client_id") == "":
		// RFC 6749 section 4.1.2.1: never redirect where one of these is wrong.
		respond(w, http.StatusBadRequest, problem{Error: "client_id and an absolute redirect_uri are needed"})
		return
	case q.Get("response_type") != "code":
		redirectBack(w, r, back, url.Values{"error": {"unsupported_response_type"}})
		return
	case method != "plain" && method != "S256":
		redirectBack(w, r, back, url.Values{"error": {"invalid_request"}, "error_description": {"code_challenge_method"}})
		return
	case q.Has("deny"):
		redirectBack(w, r, back, url.Values{"error": {"access_denied"}, "error_description": {"The user said no."}})
		return
	}
	answer := url.Values{"code": {s.grants.code(&code{
		family:    &family{client: q.Get("client_id"), scope: q.Get("scope")},
		redirect:  q.Get("redirect_uri"),
		challenge: q.Get("code_challenge"),
		method:    method,
	})}}
	switch iss := q.Get("iss"); iss { // RFC 9207
	case "":
	case "own":
		answer.Set("iss", "http://"+r.Host)
	default:
		answer.Set("iss", iss)
	}
	redirectBack(w, r, back, answer)
}

func redirectBack(w http.ResponseWriter, r *http.Request, back *url.URL, with url.Values) {
	q := back.Query()
	for name, values := range with {
		q[name] = values
	}
	if state := r.URL.Query().Get("state"); state != "" {
		q.Set("state", state)
	}
	to := *back
	to.RawQuery = q.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
}

func (g *grants) code(c *code) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.expires = time.Now().Add(codeLifetime)
	name := g.token("sim-code-")
	g.codes.put(name, c)
	return name
}

// redeem turns a code into tokens, once. A second time kills what the first
// one gave (RFC 6749 section 4.1.2).
func (g *grants) redeem(name, client, redirect, verifier string, how issue) (Grant, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.codes.get(name)
	switch {
	case !ok:
		return Grant{}, errUnknownToken
	case c.client != client:
		return Grant{}, errOtherClient
	case c.spent:
		c.dead = true
		return Grant{}, errSpentCode
	case !time.Now().Before(c.expires):
		return Grant{}, errExpired
	case c.redirect != redirect || !proves(c.method, c.challenge, verifier):
		return Grant{}, errVerifier
	}
	c.spent = true
	return g.issue(c.family, true, how), nil
}

// proves says whether a verifier belongs to a challenge (RFC 7636 section 4.6).
func proves(method, challenge, verifier string) bool {
	if challenge == "" {
		return true
	}
	if method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return verifier == challenge
}

// deviceEnds are what may become of a device besides its user's agreement: an error
// code of RFC 8628 section 3.5 for each.
var deviceEnds = map[string]string{"denied": "access_denied", "expired": "expired_token"}

// startDevice serves /oauth/device (RFC 8628): its user agrees after pending polls, or
// not.
func startDevice(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	pending, interval := p.count("pending", 2, 0, 1000), p.duration("interval", time.Second)
	slow, end := p.count("slow", 0, 0, 1000), p.text("end", "")
	if deviceEnds[end] == "" && end != "" {
		p.fail("end = %q: must be denied or expired", end)
	}
	if p.refused(w) {
		return
	}
	form, err := formOf(w, r)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	name := s.grants.device(&device{
		family:   &family{client: form["client_id"], scope: form["scope"]},
		interval: interval, pending: pending, slow: slow, end: deviceEnds[end],
	})
	page := "http://" + r.Host + "/"
	respond(w, http.StatusOK, map[string]any{
		"device_code": name, "user_code": userCode, "verification_uri": page, "verification_uri_complete": page + "?user_code=" + userCode,
		"expires_in": int(codeLifetime.Seconds()), "interval": seconds(interval),
	})
}

// userCode is the one that the user of a device would enter.
const userCode = "WDJB-MJHT"

func (g *grants) device(d *device) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	d.expires = time.Now().Add(codeLifetime)
	name := g.token("sim-device-")
	g.devices.put(name, d)
	return name
}

// poll asks whether a device's user has agreed. It returns an error code of
// RFC 8628 section 3.5, or the grant.
func (g *grants) poll(name, client string, how issue) (Grant, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	d, ok := g.devices.get(name)
	if !ok || d.client != client || d.spent {
		return Grant{}, "invalid_grant"
	}
	tooSoon := !d.lastAsked.IsZero() && now.Sub(d.lastAsked) < d.interval
	d.lastAsked = now
	switch {
	case !now.Before(d.expires):
		return Grant{}, "expired_token"
	case tooSoon || d.slow > 0:
		d.slow = max(d.slow-1, 0)
		d.interval += 5 * time.Second
		return Grant{}, "slow_down"
	case d.pending > 0:
		d.pending--
		return Grant{}, "authorization_pending"
	case d.end != "":
		return Grant{}, d.end
	}
	d.spent = true
	return g.issue(d.family, true, how), ""
}
