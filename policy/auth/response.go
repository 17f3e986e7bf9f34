package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxTokenResponse is the largest body of a token endpoint that is read.
const maxTokenResponse = 1 << 20

// maxLifetime is the longest that a token is taken to live; whoever says more means
// that it does not expire.
const maxLifetime = 10 * 365 * 24 * time.Hour

// A tokenResponse is what a token endpoint said, whatever its status: RFC 6749
// §5.1 and §5.2, and what is on the wire besides.
type tokenResponse struct {
	access, refresh string
	tokenType       string        // token_type
	lifetime        time.Duration // from now on; 0: it says none
	refreshLifetime time.Duration // of the refresh token, from now on; 0: it says none
	failed          bool          // it has an error, with or without a code
	code            string        // [a-z_]{1,64}; "": none that may be shown
	idToken         string        // id_token
	otherwise       string        // why the token is none that is sent as a bearer token, by its type (RFC 8693 §2.2.1); "": it may be
}

// parseTokenResponse reads a body that is JSON or, as GitHub answers who does not
// ask otherwise, a form. now is the time by the clock of the server. It is not ok
// where the body is neither.
func parseTokenResponse(contentType string, body []byte, now time.Time) (r tokenResponse, ok bool) {
	fields, ok := tokenFields(contentType, body)
	if !ok {
		return tokenResponse{}, false
	}
	r.access, r.refresh, r.tokenType = fields.text("access_token"), fields.text("refresh_token"), fields.text("token_type")
	r.failed, r.code = fields.failure()
	r.lifetime, r.refreshLifetime = fields.lifetime(r.access, now), fields.refreshLifetime()
	r.idToken, r.otherwise = fields.text("id_token"), exchanged(r.tokenType, fields.text("issued_token_type"))
	return r, true
}

// useIDToken takes the ID token in place of the access token: that is what was asked
// for.
func (r *tokenResponse) useIDToken(now time.Time) {
	r.access, r.tokenType = r.idToken, ""
	r.lifetime = untilInstant(jwtExpiry(r.idToken), now)
}

// exchanged says why a token that an exchange brought is not used (RFC 8693 §2.2.1); ""
// if it may be.
func exchanged(tokenType, issued string) string {
	switch {
	case strings.EqualFold(tokenType, "N_A"):
		return "the answer has a token that is no access token (token_type N_A): ask for another requested_token_type"
	case issued == "urn:ietf:params:oauth:token-type:refresh_token":
		return "the answer has a refresh token: ask for another requested_token_type"
	}
	return ""
}

// tokenFields reads the members of a body. The type that it is sent with is only
// asked where the content is ambiguous: several providers send the one as the other.
func tokenFields(contentType string, body []byte) (responseFields, bool) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) > 0 && body[0] == '{' {
		var fields responseFields
		err := json.Unmarshal(body, &fields)
		return fields, err == nil
	}
	if !likeForm(contentType, body) {
		return nil, false
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, false
	}
	fields := make(responseFields, len(values))
	for name := range values {
		quoted, _ := json.Marshal(values.Get(name)) // a string always can be
		fields[name] = quoted
	}
	return fields, true
}

// likeForm reports whether a body is a form: it says so, or has a member that we know.
func likeForm(contentType string, body []byte) bool {
	if bytes.ContainsAny(body, "<\n ") {
		return false // a page, or a sentence
	}
	media, _, _ := mime.ParseMediaType(contentType)
	members := "&" + string(body)
	return media == "application/x-www-form-urlencoded" || strings.Contains(members, "&access_token=") || strings.Contains(members, "&error=")
}

// responseFields maps the name of a member to its value, as JSON.
type responseFields map[string]json.RawMessage

// text is a member that is a string, "" otherwise.
func (f responseFields) text(name string) string {
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return ""
	}
	return s
}

// failure reads the error. It is a code (RFC 6749 §5.2), or an object with one
// inside. GitHub and Slack send it with status 200.
func (f responseFields) failure() (failed bool, code string) {
	raw := f["error"]
	var inner responseFields
	switch {
	case f.text("error") != "":
		code = f.text("error")
	case json.Unmarshal(raw, &inner) == nil && len(inner) > 0:
		for _, name := range []string{"error", "code", "type", "status"} {
			if code = inner.text(name); showable(code) {
				break
			}
		}
	case len(raw) == 0 || string(raw) == "null" || string(raw) == `""` || string(raw) == "false" || string(raw) == "{}":
		return string(f["ok"]) == "false", "" // Slack
	}
	if !showable(code) {
		code = ""
	}
	return true, code
}

// showable reports whether a code looks like one. Anything else may be a value.
func showable(code string) bool {
	for i := range len(code) {
		if c := code[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return len(code) >= 1 && len(code) <= 64
}

// lifetime is how long the access token lives, by the first that says so:
// expires_in (RFC 6749 §5.1), expires_at, exp inside of a JWT (RFC 9068 §2.2).
func (f responseFields) lifetime(access string, now time.Time) time.Duration {
	if seconds, ok := number(f["expires_in"]); ok {
		if d := lifetimeOf(seconds); d > 0 {
			return d
		}
	}
	for _, at := range []json.RawMessage{f["expires_at"], jwtExpiry(access)} {
		if d := untilInstant(at, now); d > 0 {
			return d
		}
	}
	return 0
}

// refreshLifetime is how long the refresh token lives. No RFC has a member for it:
// GitHub, Google and LinkedIn call it refresh_token_expires_in, Keycloak
// refresh_expires_in, Intuit x_refresh_token_expires_in.
func (f responseFields) refreshLifetime() time.Duration {
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"} {
		if seconds, ok := number(f[name]); ok {
			return lifetimeOf(seconds)
		}
	}
	return 0
}

// lapse is when the refresh token lapses of an answer that was asked for at began; zero:
// it does not say.
func (r *tokenResponse) lapse(began time.Time) time.Time {
	if r.refreshLifetime == 0 {
		return time.Time{}
	}
	return began.Add(r.refreshLifetime)
}

// number reads a JSON number, or a string that holds one.
func number(raw json.RawMessage) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(raw), `"`)), 64)
	return n, err == nil && !math.IsNaN(n)
}

// lifetimeOf is a number of seconds that makes sense as a lifetime, else 0.
func lifetimeOf(seconds float64) time.Duration {
	if seconds <= 0 || seconds > maxLifetime.Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// untilInstant is how long it is until an instant; 0 if that is none, or is over.
func untilInstant(raw json.RawMessage, now time.Time) time.Duration {
	at := instant(raw)
	if at.IsZero() {
		return 0
	}
	return lifetimeOf(at.Sub(now).Seconds())
}

// instant reads the number of seconds or milliseconds since 1970, or RFC 3339; zero if it
// is neither.
func instant(raw json.RawMessage) time.Time {
	if n, ok := number(raw); ok {
		if n > 1e11 { // the year 5138 in seconds, 1973 in milliseconds
			n /= 1000
		}
		if n <= 0 || n > 1e11 {
			return time.Time{}
		}
		return time.UnixMilli(int64(n * 1000)).UTC()
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return time.Time{}
	}
	at, _ := time.Parse(time.RFC3339, s)
	return at
}

// jwtExpiry is the claim exp of a token that is a JWT (RFC 7519 §4.1.4). Nothing is
// verified: that is the upstream's to do, and a wrong time costs a refresh.
func jwtExpiry(token string) json.RawMessage {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Exp json.RawMessage `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	return claims.Exp
}
