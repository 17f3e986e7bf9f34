package config

import (
	"slices"
	"time"
)

// Signing says how assertions are signed, and what is in them (RFC 7523 section 3).
type Signing struct {
	PrivateKey        Reference     // PEM
	KeyID             string        // header kid; "": none
	Algorithm         string        // "RS256"…; "": the one that suits the key
	Certificate       Reference     // PEM, named in the header x5t#S256; "": none
	AssertionAudience string        // aud; "": the token URL
	AssertionLifetime time.Duration // until exp
	AssertionClaims   string        // further ones of jwt_bearer, form-encoded
	ClientAssertion   Reference     // one that somebody else signed for the client; "": the private key signs
	Issuer            Reference     // iss of jwt_bearer; "": the client id
	Subject           Reference     // sub of jwt_bearer; "": the issuer; of a service account: none
}

// longestAssertion is below the hour that servers take at most, since an assertion is
// dated back by a minute.
const longestAssertion = 59 * time.Minute

var signingKeys = table[Signing]{
	secret("private_key", func(s *Signing) *Reference { return &s.PrivateKey }),
	text("key_id", func(s *Signing) *string { return &s.KeyID }, notEmpty),
	text("algorithm", func(s *Signing) *string { return &s.Algorithm },
		oneOf("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")),
	identity("certificate", func(s *Signing) *Reference { return &s.Certificate }),
	text("assertion_audience", func(s *Signing) *string { return &s.AssertionAudience }),
	value("assertion_lifetime", func(s *Signing) *time.Duration { return &s.AssertionLifetime }, readDuration, func(d time.Duration) string {
		if d < time.Second || d > longestAssertion {
			return "must be from 1s to 59m"
		}
		return ""
	}),
	namedTexts("assertion_claims", func(s *Signing) *string { return &s.AssertionClaims }, `must be a table of texts, such as { box_sub_type = "enterprise" }`,
		func(name, _ string) string {
			if slices.Contains([]string{"iss", "sub", "aud", "exp", "iat", "jti", "scope", "target_audience"}, name) {
				return "is made from a key of its own"
			}
			return ""
		}),
	secret("client_assertion", func(s *Signing) *Reference { return &s.ClientAssertion }),
	identity("issuer", func(s *Signing) *Reference { return &s.Issuer }),
	identity("subject", func(s *Signing) *Reference { return &s.Subject }),
}
