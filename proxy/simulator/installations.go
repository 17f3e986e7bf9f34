package simulator

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// installationToken serves /app/installations/N/access_tokens, as GitHub does for an
// app that shows an assertion of its own.
func installationToken(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	how := s.grants.plain()
	how.lifetime = p.duration("lifetime", how.lifetime)
	if p.refused(w) {
		return
	}
	id, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/app/installations/"), "/access_tokens")
	if _, err := strconv.ParseUint(id, 10, 63); err != nil || !ok {
		respond(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
		return
	}
	s.tally.tokens(func(t *TokenStats) { t.Requests++ })
	text, _ := bearer(r)
	claims, err := s.assertions.read(text, longestAppAssertion)
	if err != nil {
		respond(w, http.StatusUnauthorized, map[string]string{"message": err.Error()})
		return
	}
	app, _ := claims.GetIssuer()
	grant := s.grants.begin(&family{client: app}, false, how)
	s.tally.tokens(func(t *TokenStats) { t.Issued++ })
	respond(w, http.StatusCreated, map[string]any{
		"token": grant.AccessToken, "expires_at": grant.Expires.UTC().Format(time.RFC3339), "repository_selection": "all",
	})
}
