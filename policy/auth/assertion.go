package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Signing is how we sign assertions: those of the grant jwt_bearer, of a client that
// shows who it is by private_key_jwt, and of a GitHub App.
type Signing struct {
	PrivateKey  func() (string, error) // PEM: RSA, EC or Ed25519; read for each assertion
	Certificate func() (string, error) // PEM, of the key: named by its hash, x5t#S256 (RFC 7515 §4.1.8). nil: it is not
	KeyID       string                 // the header kid; "": none
	Algorithm   string                 // "RS256", "PS256", "ES384", "EdDSA"…; "": the one that suits the key

	Audience string        // aud; "": the token URL
	Lifetime time.Duration // until exp; 0: 2 min

	// Client reads an assertion of the client that somebody else has signed, such as the
	// token of a pod: private_key_jwt shows it in place of ours. nil: there is none.
	Client func() (string, error)

	NewID func() string // jti, another one each time; nil: a random one
}

// Assertion is whom the assertion of the grant jwt_bearer is about (RFC 7523 §3).
type Assertion struct {
	Issuer  func() (string, error) // iss; nil: the client id
	Subject func() (string, error) // sub; nil: the issuer
	Claims  map[string]string      // more of them

	// Account reads a service account, in place of the issuer, the private key and the
	// key id. It has no sub of its own. nil: there is none.
	Account func() (ServiceAccount, error)
	// TargetAudience is for whom Google makes an ID token, which then takes the place of
	// the access token. "": no such thing.
	TargetAudience string
}

const (
	// assertionLifetime is short enough for Salesforce, which takes 3 minutes by its own
	// clock.
	assertionLifetime = 2 * time.Minute
	// assertionAge is how old we say that an assertion is: one from the future is
	// refused, and clocks differ. GitHub asks for a minute.
	assertionAge = time.Minute
)

// sign makes an assertion: claims, with the times, the audience and the id that each
// has.
func (o *OAuth2) sign(c client, lifetime time.Duration, claims jwt.MapClaims) (Secret, error) {
	key, err := parsePrivateKey(c.key.Reveal())
	if err != nil {
		return Secret{}, fmt.Errorf("the private key %w", err)
	}
	method, err := signingMethod(key, o.set.Signing.Algorithm)
	if err != nil {
		return Secret{}, fmt.Errorf("the private key %w", err)
	}
	now := wallClock()
	claims["iat"], claims["exp"] = now.Add(-assertionAge).Unix(), now.Add(lifetime).Unix()
	token := jwt.NewWithClaims(method, claims)
	if c.keyID != "" {
		token.Header["kid"] = c.keyID
	}
	if c.certificate != (Secret{}) {
		if token.Header["x5t#S256"], err = thumbprint(c.certificate.Reveal(), key.Public()); err != nil {
			return Secret{}, fmt.Errorf("the certificate %w", err)
		}
	}
	signed, err := token.SignedString(key)
	if err != nil {
		return Secret{}, errors.New("signing the assertion: the private key does not sign") // what it says may be of the key
	}
	return NewSecret(signed), nil
}

// bearerParams are those of the grant jwt_bearer (RFC 7523 §2.1). The scopes are in the
// form and in the assertion, where Google looks for them.
func (o *OAuth2) bearerParams(a *attempt) ([]param, error) {
	claims := jwt.MapClaims{"iss": a.who.issuer.Reveal(), "aud": o.assertionAudience(), "jti": o.set.Signing.NewID()}
	if a.who.subject != (Secret{}) {
		claims["sub"] = a.who.subject.Reveal()
	}
	if len(o.set.Scopes) > 0 {
		claims["scope"] = strings.Join(o.set.Scopes, " ")
	}
	if o.set.Assertion.TargetAudience != "" {
		claims["target_audience"] = o.set.Assertion.TargetAudience
	}
	for _, claim := range o.claims {
		claims[claim.name] = claim.value.Reveal()
	}
	assertion, err := o.sign(a.who, o.set.Signing.Lifetime, claims)
	return []param{{"assertion", assertion}}, err
}

// clientAssertion is how a client shows who it is by its key (RFC 7523 §2.2, OpenID
// Connect Core §9).
func (o *OAuth2) clientAssertion(c client) ([]param, error) {
	assertion, err := c.assertion, error(nil)
	if o.set.Signing.Client == nil {
		id := c.id.Reveal()
		assertion, err = o.sign(c, o.set.Signing.Lifetime, jwt.MapClaims{
			"iss": id, "sub": id, "aud": o.assertionAudience(), "jti": o.set.Signing.NewID(),
		})
	}
	return []param{
		{"client_id", c.id},
		{"client_assertion_type", NewSecret("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")},
		{"client_assertion", assertion},
	}, err
}

func (o *OAuth2) assertionAudience() string {
	if o.set.Signing.Audience != "" {
		return o.set.Signing.Audience
	}
	return o.set.TokenURL
}

// withDefaults are those of a credential that signs. The id is a nonce, and no jitter:
// nobody must be able to guess it.
func (s Signing) withDefaults() Signing {
	if s.Lifetime == 0 {
		s.Lifetime = assertionLifetime
	}
	if s.NewID == nil {
		s.NewID = rand.Text
	}
	return s
}

// thumbprint names a certificate by its hash, if it is that of a key.
func thumbprint(text string, key crypto.PublicKey) (string, error) {
	cert, err := parseCertificate(text)
	if err != nil {
		return "", err
	}
	if own, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(key) {
		return "", errors.New("is not that of the private key")
	}
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// parseCertificate reads the first certificate of a PEM text.
func parseCertificate(text string) (*x509.Certificate, error) {
	for block, rest := pem.Decode(pemBytes(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("is damaged: its PEM block does not hold a certificate")
		}
		return cert, nil
	}
	return nil, errors.New(`is not a PEM certificate, which begins with "-----BEGIN CERTIFICATE-----"`)
}

// CheckCertificate says what is wrong with a certificate as it is configured, beside
// its private key. Its errors show nothing of either, and go on after the name of the
// setting.
func CheckCertificate(text, privateKey string) error {
	key, err := parsePrivateKey(privateKey)
	if err != nil {
		return errors.New("cannot be compared with the private key, which is not readable")
	}
	_, err = thumbprint(text, key.Public())
	return err
}

// ownClaims are made from settings of their own.
var ownClaims = []string{"iss", "sub", "aud", "exp", "iat", "jti", "scope", "target_audience"}

// checkAssertion gives what is wrong with a grant jwt_bearer.
func (s *OAuth2Settings) checkAssertion(wrong func(string, ...any)) {
	if s.Assertion.Account != nil {
		return
	}
	if s.Assertion.Issuer == nil && s.ClientID == nil {
		wrong("jwt_bearer needs an issuer, or a client id")
	}
	for _, name := range ownClaims {
		if _, there := s.Assertion.Claims[name]; there {
			wrong("claim %s: is made from its own setting", name)
		}
	}
}
