package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// GitHubApp is the grant of an app that acts as one of its installations. It is none
// of OAuth: the app's own assertion is sent to GitHub's API, which gives a token for an
// hour. TokenURL is the address of that API, and ClientID the app's.
const GitHubApp = "github_app"

// Installation is what the token of a GitHub App is for.
type Installation struct {
	ID           func() (string, error) // of the installation: a number
	Repositories []string               // their names, without the owner; nil: all that it has
	Permissions  map[string]string      // name → "read", "write" or "admin"; nil: all that it has
}

// installationLifetime is that of the app's assertion: GitHub takes 10 minutes.
const installationLifetime = 9 * time.Minute

// installationAdvice maps the status of GitHub's answer to what can be done about it.
var installationAdvice = map[int]string{
	http.StatusUnauthorized:        "GitHub does not accept the app's assertion: look at app_id, private_key, and the clock of this machine",
	http.StatusForbidden:           "the installation may not have a token: it was suspended, or the app is not allowed to",
	http.StatusNotFound:            "this app has no such installation: look at installation_id, app_id, api_url",
	http.StatusUnprocessableEntity: "the installation does not have what is asked for: look at repositories and permissions",
	0:                              "GitHub does not accept the configuration: look at app_id, installation_id, private_key, api_url",
}

// installationRequest makes the request for the token of an installation.
func (o *OAuth2) installationRequest(ctx context.Context, a *attempt, _ string) (*http.Request, error) {
	id := a.who.installation.Reveal()
	if id == "" || strings.Trim(id, "0123456789") != "" {
		return nil, errors.New("the installation id must be a number")
	}
	assertion, err := o.sign(a.who, installationLifetime, jwt.MapClaims{"iss": a.who.id.Reveal()})
	if err != nil {
		return nil, err
	}
	target := strings.TrimSuffix(o.set.TokenURL, "/") + "/app/installations/" + id + "/access_tokens"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(o.installation))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // as in tokenRequest
	req.Header.Set("Authorization", "Bearer "+assertion.Reveal())
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("User-Agent", "outrider")
	if len(o.installation) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// body is what narrows a token down; nil where nothing does.
func (i Installation) body() []byte {
	if len(i.Repositories) == 0 && len(i.Permissions) == 0 {
		return nil
	}
	body, _ := json.Marshal(struct { // texts always can be
		Repositories []string          `json:"repositories,omitempty"`
		Permissions  map[string]string `json:"permissions,omitempty"`
	}{i.Repositories, i.Permissions})
	return body
}

// parseInstallation reads GitHub's answer: the token, and when it ends.
func parseInstallation(_ string, body []byte, now time.Time) (r tokenResponse, ok bool) {
	var fields responseFields
	if json.Unmarshal(body, &fields) != nil {
		return tokenResponse{}, false
	}
	r.access = fields.text("token")
	r.lifetime = untilInstant(fields["expires_at"], now)
	return r, true
}

// checkInstallation gives what is wrong with a grant GitHubApp.
func (s *OAuth2Settings) checkInstallation(wrong func(string, ...any)) {
	if s.Installation.ID == nil {
		wrong("needs an installation id")
	}
}
