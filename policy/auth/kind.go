package auth

import (
	"context"
	"net/http"
	"time"
)

// A grantKind says what a grant of the configuration is for the token endpoint. All
// else is the same for all of them: when a token is asked for, for whom, and what
// becomes of it.
type grantKind struct {
	wire      string // the grant_type of its token requests
	spends    bool   // they send a refresh token, which may be replaced, and can be lost
	signs     bool   // they carry an assertion, which the private key signs
	anonymous bool   // the client need not say who it is: what it shows says it

	own    func(*OAuth2, *attempt) ([]param, error)    // parameters that others do not have; nil: there are none
	names  []string                                    // of these parameters
	check  func(*OAuth2Settings, func(string, ...any)) // of its own settings; nil: it has none
	advice map[int]string                              // status → what to do where the configuration is not accepted; 0: any other
	dialect
}

// A dialect is how a token is asked for, and how the answer is read.
type dialect struct {
	request func(o *OAuth2, ctx context.Context, a *attempt, how string) (*http.Request, error)
	parse   func(contentType string, body []byte, now time.Time) (tokenResponse, bool)
}

var (
	oauth  = dialect{(*OAuth2).tokenRequest, parseTokenResponse}
	github = dialect{(*OAuth2).installationRequest, parseInstallation}
)

// grantKinds maps the grants of the configuration.
var grantKinds = map[string]grantKind{
	"client_credentials": {wire: "client_credentials", dialect: oauth, advice: adviceMisset}, // RFC 6749 section 4.4
	"refresh_token":      refreshing,                                                         // RFC 6749 section 6
	"authorization_code": refreshing,                                                         // section 4.1: the code was spent at the login, see Introduce
	"jwt_bearer": { // RFC 7523 section 2.1
		wire: "urn:ietf:params:oauth:grant-type:jwt-bearer", signs: true, anonymous: true, dialect: oauth,
		own: (*OAuth2).bearerParams, names: []string{"assertion"}, check: (*OAuth2Settings).checkAssertion,
		advice: map[int]string{0: "the token endpoint does not accept the assertion: look at issuer, subject, private_key, assertion_audience, scopes, and the clock of this machine"},
	},
	"token_exchange": { // RFC 8693
		wire: "urn:ietf:params:oauth:grant-type:token-exchange", anonymous: true, dialect: oauth,
		own: (*OAuth2).exchangeParams, check: (*OAuth2Settings).checkExchange,
		names:  []string{"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "resource"},
		advice: map[int]string{0: "the token endpoint does not accept the exchange: look at subject_token and its type, audience, resource, scopes, token_url"},
	},
	GitHubApp: {signs: true, dialect: github, check: (*OAuth2Settings).checkInstallation, advice: installationAdvice},
}

var refreshing = grantKind{
	wire: "refresh_token", spends: true, dialect: oauth,
	own: (*OAuth2).refreshParams, names: []string{"refresh_token"}, advice: adviceMisset,
}

// advise says what to do where the configuration is not accepted.
func (k *grantKind) advise(status int) string {
	if advice := k.advice[status]; advice != "" {
		return advice
	}
	return k.advice[0]
}
