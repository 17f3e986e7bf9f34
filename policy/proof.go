package policy

import (
	"errors"
	"net/url"
	"strings"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// endpoint is where the tokens of a credential are had: as it is written, or as the key
// of a service account says. The latter is looked at for each configuration, since the
// way there is made once.
func (c *compiler) endpoint(key, name string, cfg config.Auth) (string, error) {
	switch {
	case cfg.Type == "github_app":
		return cfg.APIURL, nil
	case cfg.Type == "service_account" && cfg.TokenURL == "":
		account, err := account(c.env.Secret, cfg.Key)
		if before := c.old.credentials[name]; err != nil && before != nil && before.auth == cfg {
			return before.endpoint, nil // a refresh will say what is wrong with the key
		}
		c.fail(key+".key", err)
		return account.TokenURL, err
	}
	return cfg.TokenURL, nil
}

func account(secret func(config.Reference) (string, error), key config.Reference) (auth.ServiceAccount, error) {
	text, err := secret(key)
	if err != nil {
		return auth.ServiceAccount{}, err
	}
	return auth.ReadServiceAccount(text)
}

// errElsewhere keeps assertions from the host that a replaced key names.
var errElsewhere = errors.New("names another token_uri than when the configuration was loaded: reload it")

// proof settles what is shown for a token. What can be looked at before the first call
// is.
func (c *compiler) proof(key string, cred *credential, s *auth.OAuth2Settings) {
	cfg := cred.auth
	s.Signing = auth.Signing{
		PrivateKey: c.secret(key+".private_key", cfg.PrivateKey), Certificate: c.secret(key+".certificate", cfg.Certificate),
		KeyID: cfg.KeyID, Algorithm: cfg.Algorithm, Audience: cfg.AssertionAudience, Lifetime: cfg.AssertionLifetime, NewID: c.env.NewKey,
		Client: c.secret(key+".client_assertion", cfg.ClientAssertion),
	}
	c.checkKey(key, cfg)
	switch {
	case cfg.Type == "github_app":
		s.Grant, s.ClientID = auth.GitHubApp, c.secret(key+".app_id", cfg.AppID)
		s.Installation = auth.Installation{
			ID: c.secret(key+".installation_id", cfg.InstallationID), Repositories: strings.Fields(cfg.Repositories), Permissions: named(cfg.Permissions),
		}
	case cfg.Type == "service_account":
		s.Grant, s.Audience = "jwt_bearer", "" // that one is in the assertion
		s.Assertion = auth.Assertion{Subject: c.secret(key+".subject", cfg.Subject), TargetAudience: cfg.Audience}
		secret, endpoint := c.env.Secret, cred.endpoint
		s.Assertion.Account = func() (auth.ServiceAccount, error) {
			account, err := account(secret, cfg.Key)
			if err == nil && cfg.TokenURL == "" && account.TokenURL != endpoint {
				err = errElsewhere
			}
			return account, err
		}
		_, err := s.Assertion.Account()
		c.fail(key+".key", err)
	case cfg.Grant == "jwt_bearer":
		s.Assertion = auth.Assertion{
			Issuer: c.secret(key+".issuer", cfg.Issuer), Subject: c.secret(key+".subject", cfg.Subject), Claims: named(cfg.AssertionClaims),
		}
	case cfg.Grant == "token_exchange":
		s.Exchange = auth.TokenExchange{
			SubjectToken: c.secret(key+".subject_token", cfg.SubjectToken), SubjectTokenType: cfg.SubjectTokenType,
			ActorToken: c.secret(key+".actor_token", cfg.ActorToken), ActorTokenType: cfg.ActorTokenType,
			RequestedTokenType: cfg.RequestedTokenType, Resource: cfg.Resource,
		}
	}
}

// checkKey finds a key that cannot sign, and a certificate of another one.
func (c *compiler) checkKey(key string, cfg config.Auth) {
	if cfg.PrivateKey == "" {
		return
	}
	private, err := c.env.Secret(cfg.PrivateKey)
	if err != nil {
		return // that was reported when it was read first
	}
	if err := auth.CheckPrivateKey(private, cfg.Algorithm); err != nil {
		c.fail(key+".private_key", err)
		return
	}
	if cfg.Certificate == "" {
		return
	}
	if certificate, err := c.env.Secret(cfg.Certificate); err == nil {
		c.fail(key+".certificate", auth.CheckCertificate(certificate, private))
	}
}

// named undoes the form in which the document keeps texts under names.
func named(encoded string) map[string]string {
	values, _ := url.ParseQuery(encoded)
	texts := make(map[string]string, len(values))
	for name := range values {
		texts[name] = values.Get(name)
	}
	return texts
}

// shown is what says whose token it will be, where no secret is sent for it.
func shown(cfg config.Auth) []string {
	return []string{
		cfg.Type, string(cfg.Issuer), string(cfg.Subject), cfg.AssertionClaims, string(cfg.Key),
		string(cfg.SubjectToken), string(cfg.ActorToken), cfg.RequestedTokenType, cfg.Resource,
		string(cfg.AppID), string(cfg.InstallationID), cfg.Repositories, cfg.Permissions,
	}
}
