package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answers are the ways in which a token endpoint may misbehave.
func answers() []string {
	return []string{"200-error", "form", "429", "503", "slow", "no-expires", "string-expires", "invalid_grant", "invalid_client", "empty", "html", "lost"}
}

const (
	grantJWT      = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
)

// A tokenRequest is the query of one call of /oauth/token.
type tokenRequest struct {
	answer string // one of answers, if this call is to have it
	delay  time.Duration
	after  string // Retry-After of a 429 or 503
	auth   string // the one client authentication that is taken; empty: any
	how    issue
}

func (s *Simulator) tokenRequestOf(p *params, path string) (tokenRequest, plan) {
	t := tokenRequest{
		answer: p.text("answer", ""), delay: p.duration("delay", 5*time.Second),
		after: p.text("retry_after", "1"), auth: p.text("client_auth", ""), how: s.grants.plain(),
	}
	t.how.lifetime = p.duration("lifetime", t.how.lifetime)
	t.how.leeway = p.duration("leeway", t.how.leeway)
	t.how.rotate = p.text("rotate", "on") != "off"
	t.how.keepOld = p.text("old", "live") != "dies"
	if t.answer != "" && !slices.Contains(answers(), t.answer) {
		p.fail("answer = %q: must be one of %s", t.answer, strings.Join(answers(), ", "))
	}
	return t, s.planOf(p, path, -1)
}

// tokenEndpoint serves /oauth/token (RFC 6749 section 3.2).
func tokenEndpoint(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	t, plan := s.tokenRequestOf(p, r.URL.Path)
	if p.refused(w) {
		return
	}
	s.tally.tokens(func(st *TokenStats) { st.Requests++ })
	form, err := formOf(w, r)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	if t.answer != "" {
		if _, fails := s.plans.next(plan); !fails {
			t.answer = ""
		}
	}
	if t.instead(w, r) {
		return
	}
	c := clientOf(r, form, s.set.Clients)
	if c.how == "assertion" {
		if c.id, err = s.assertions.client(r, form, s.set.Clients); err != nil {
			c.reason = err.Error()
		}
	}
	if c.reason == "" && t.auth != "" && c.how != t.auth {
		c.reason = "only client authentication by " + t.auth + " is taken here"
	}
	if c.reason != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="simulator"`)
		oauthError(w, http.StatusUnauthorized, "invalid_client", c.reason)
		return
	}
	grant, code, reason := s.grantFor(r, form, c, t.how)
	if code != "" {
		oauthError(w, http.StatusBadRequest, code, reason)
		return
	}
	s.tally.tokens(func(st *TokenStats) { st.Issued++ })
	if t.answer == "lost" {
		s.cut(w, "", byReset) // the tokens are made, and nobody will ever see them
		return
	}
	grant.issued = issuedType(form)
	t.write(w, grant)
}

// instead gives the answers that come before the request is even looked at.
func (t tokenRequest) instead(w http.ResponseWriter, r *http.Request) bool {
	switch t.answer {
	case "200-error": // GitHub's way
		oauthError(w, http.StatusOK, "bad_refresh_token", "The refresh token passed is incorrect or expired.")
	case "429":
		w.Header().Set("Retry-After", t.after)
		oauthError(w, http.StatusTooManyRequests, "slow_down", "too many requests at the token endpoint")
	case "503":
		w.Header().Set("Retry-After", t.after)
		oauthError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "the token endpoint is down")
	case "invalid_grant":
		oauthError(w, http.StatusBadRequest, "invalid_grant", "the grant was revoked")
	case "invalid_client":
		oauthError(w, http.StatusUnauthorized, "invalid_client", "the client is unknown")
	case "empty":
		w.WriteHeader(http.StatusOK)
	case "html":
		respondBytes(w, http.StatusOK, "text/html", []byte("<!doctype html><title>Sign in</title><p>Your session has ended.\n"))
	case "slow":
		hold(r.Context(), t.delay)
		return false
	default:
		return false
	}
	return true
}

// grantFor does what the grant type asks. It returns the grant, or an error
// code and its description.
func (s *Simulator) grantFor(r *http.Request, form map[string]string, c client, how issue) (Grant, string, string) {
	alone := func(client string) (Grant, string, string) {
		return s.grants.begin(&family{client: client, scope: form["scope"]}, false, how), "", ""
	}
	switch form["grant_type"] {
	case "client_credentials":
		if c.how == "none" {
			return Grant{}, "unauthorized_client", "client_credentials needs a client that proves who it is"
		}
		return alone(c.id)
	case grantJWT:
		claims, err := s.assertions.spend(r, form["assertion"])
		if err != nil {
			return Grant{}, "invalid_grant", err.Error()
		}
		issuer, _ := claims.GetIssuer()
		return alone(orElse(c.id, issuer))
	case grantExchange:
		if form["subject_token"] == "" || form["subject_token_type"] == "" {
			return Grant{}, "invalid_request", "subject_token or subject_token_type is missing"
		}
		return alone(c.id)
	case "refresh_token":
		grant, reused, err := s.grants.renew(form["refresh_token"], c.id, how)
		s.tally.tokens(func(st *TokenStats) {
			st.Reused += int64(btoi(reused))
			st.Killed += int64(btoi(err == errReused))
			st.Refreshed += int64(btoi(err == nil))
		})
		return orInvalid(grant, err)
	case "authorization_code":
		return orInvalid(s.grants.redeem(form["code"], c.id, form["redirect_uri"], form["code_verifier"], how))
	case grantDevice:
		grant, code := s.grants.poll(form["device_code"], c.id, how)
		return grant, code, ""
	}
	return Grant{}, "unsupported_grant_type", "grant_type is missing or unknown"
}

// issuedType is that of the token which an exchange gives (RFC 8693 section 2.2.1).
func issuedType(form map[string]string) string {
	if form["grant_type"] != grantExchange {
		return ""
	}
	return orElse(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token")
}

func orInvalid(g Grant, err error) (Grant, string, string) {
	if err != nil {
		return Grant{}, "invalid_grant", err.Error()
	}
	return g, "", ""
}

// write gives the tokens (RFC 6749 section 5.1), in the asked dialect.
func (t tokenRequest) write(w http.ResponseWriter, g Grant) {
	w.Header().Set("Cache-Control", "no-store")
	life := int64(t.how.lifetime / time.Second)
	if t.answer == "form" { // GitHub without Accept: application/json
		v := url.Values{"access_token": {g.AccessToken}, "token_type": {"bearer"}, "expires_in": {strconv.FormatInt(life, 10)}}
		if g.RefreshToken != "" {
			v.Set("refresh_token", g.RefreshToken)
		}
		respondBytes(w, http.StatusOK, "application/x-www-form-urlencoded; charset=utf-8", []byte(v.Encode()))
		return
	}
	body := map[string]any{"access_token": g.AccessToken, "token_type": "Bearer", "expires_in": life}
	switch t.answer {
	case "no-expires":
		delete(body, "expires_in")
	case "string-expires":
		body["expires_in"] = strconv.FormatInt(life, 10)
	}
	if g.RefreshToken != "" {
		body["refresh_token"] = g.RefreshToken
	}
	if g.Scope != "" {
		body["scope"] = g.Scope
	}
	if g.issued != "" {
		body["issued_token_type"] = g.issued
	}
	respond(w, http.StatusOK, body)
}

func oauthError(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Cache-Control", "no-store")
	body := map[string]string{"error": code}
	if text != "" {
		body["error_description"] = text
	}
	respond(w, status, body)
}

// giveGrant serves POST /_grant: the first refresh token of a demonstration.
func giveGrant(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	g := s.Grant(p.text("client_id", "demo"), p.text("scope", ""))
	tokenRequest{how: s.grants.plain()}.write(w, g)
}

// revokeToken serves /oauth/revoke (RFC 7009): unknown tokens are fine too.
func revokeToken(s *Simulator, w http.ResponseWriter, r *http.Request) {
	form, err := formOf(w, r)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	s.grants.revoke(form["token"])
	w.WriteHeader(http.StatusOK)
}

// introspect serves /oauth/introspect (RFC 7662).
func introspect(s *Simulator, w http.ResponseWriter, r *http.Request) {
	form, err := formOf(w, r)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	a, err := s.grants.live(form["token"])
	if err != nil {
		respond(w, http.StatusOK, map[string]bool{"active": false})
		return
	}
	respond(w, http.StatusOK, map[string]any{"active": true, "client_id": a.client, "scope": a.scope, "exp": a.expires.Unix()})
}

// protected serves /protected/…: only a live token of ours gets in.
func protected(s *Simulator, w http.ResponseWriter, r *http.Request) {
	body, err := digest(r.Body)
	if err != nil {
		respond(w, http.StatusBadRequest, problem{Error: "reading the body: " + err.Error()})
		return
	}
	token, ok := bearer(r)
	if !ok {
		s.tally.tokens(func(t *TokenStats) { t.Refused++ })
		unauthorized(w, "", "present a token of /oauth/token as Authorization: Bearer")
		return
	}
	a, err := s.grants.live(token)
	if err != nil {
		s.tally.tokens(func(t *TokenStats) {
			t.Refused++
			t.DeadTokens += int64(btoi(err != errUnknownToken))
		})
		unauthorized(w, "invalid_token", err.Error())
		return
	}
	s.tally.tokens(func(t *TokenStats) { t.Accepted++ })
	respond(w, http.StatusOK, map[string]any{"ok": true, "client": a.client, "scope": a.scope, "expires": a.expires, "body": body})
}

// bearer reads the token of a request; the scheme's case does not matter.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "bearer")
}
