package simulator

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// assertions are the JWTs that clients sign (RFC 7523 section 3).
type assertions struct {
	key crypto.PublicKey // nil: whatever key they are signed with

	mu   sync.Mutex
	seen *bounded[time.Time] // issuer and jti → when that assertion ends
}

func newAssertions(set Settings) (*assertions, error) {
	a := &assertions{seen: newBounded[time.Time](set.MaxEntries)}
	if set.AssertionKey == "" {
		return a, nil
	}
	block, _ := pem.Decode([]byte(set.AssertionKey))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New(`assertion key: must be a PEM public key, which begins with "-----BEGIN PUBLIC KEY-----"`)
	}
	var err error
	if a.key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return nil, fmt.Errorf("assertion key: %w", err)
	}
	return a, nil
}

// longest is how far ahead an assertion may end.
const (
	longestAssertion    = time.Hour
	longestAppAssertion = 10 * time.Minute // GitHub's
)

// read gives the claims of an assertion, or what is wrong with it.
func (a *assertions) read(text string, longest time.Duration) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}))
	var err error
	if a.key == nil {
		_, _, err = parser.ParseUnverified(text, claims)
	} else {
		_, err = parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return a.key, nil })
	}
	if err != nil {
		return nil, errors.New("the assertion is no JWT, or is not signed with the key that is known here")
	}
	issuer, _ := claims.GetIssuer()
	issued, issuedErr := claims.GetIssuedAt()
	ends, endsErr := claims.GetExpirationTime()
	now := time.Now()
	switch {
	case issuer == "":
		return nil, errors.New("the assertion has no iss")
	case ends == nil || issuedErr != nil || endsErr != nil:
		return nil, errors.New("the assertion has no exp, or a time that is no number")
	case !now.Before(ends.Time):
		return nil, errors.New("the assertion has expired")
	case ends.Sub(now) > longest:
		return nil, fmt.Errorf("the assertion ends in more than %s", longest)
	case issued != nil && issued.After(now):
		return nil, errors.New("the assertion is from the future: iat")
	}
	return claims, nil
}

// spend reads an assertion that is for the token endpoint of a request, and takes it
// once.
func (a *assertions) spend(r *http.Request, text string) (jwt.MapClaims, error) {
	claims, err := a.read(text, longestAssertion)
	if err != nil {
		return nil, err
	}
	audience, _ := claims.GetAudience()
	if !forUs(audience, r) {
		return nil, errors.New("the assertion is for another audience: aud must be the URL of this token endpoint, or its origin")
	}
	id, _ := claims["jti"].(string)
	if id == "" {
		return claims, nil
	}
	issuer, _ := claims.GetIssuer()
	ends, _ := claims.GetExpirationTime()
	a.mu.Lock()
	defer a.mu.Unlock()
	if until, again := a.seen.get(issuer + "\x00" + id); again && time.Now().Before(until) {
		return nil, errors.New("the assertion was shown before: jti")
	}
	a.seen.put(issuer+"\x00"+id, ends.Time)
	return claims, nil
}

// forUs reports whether one of an assertion's audiences is the server that it reached.
func forUs(audience []string, r *http.Request) bool {
	for _, aud := range audience {
		_, rest, _ := strings.Cut(aud, "://")
		bare, _, _ := strings.Cut(rest, "?")
		if bare == r.Host+r.URL.Path || strings.TrimSuffix(bare, "/") == r.Host {
			return true
		}
	}
	return false
}

// client authenticates who shows an assertion in place of a secret (RFC 7523 section
// 2.2). known is as in clientOf.
func (a *assertions) client(r *http.Request, form, known map[string]string) (id string, err error) {
	if form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "", errors.New("client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	}
	claims, err := a.spend(r, form["client_assertion"])
	if err != nil {
		return "", err
	}
	id, _ = claims.GetIssuer()
	subject, _ := claims.GetSubject()
	_, isKnown := known[id]
	switch {
	case subject != id:
		return "", errors.New("iss and sub of a client's assertion must both be its id")
	case form["client_id"] != "" && form["client_id"] != id:
		return "", errors.New("client_id is another one than iss")
	case claims["jti"] == nil:
		return "", errors.New("a client's assertion must have a jti")
	case known != nil && !isKnown:
		return "", errors.New("unknown client")
	}
	return id, nil
}
