package auth

// A grantKind says what a grant of the configuration is for the token endpoint.
type grantKind struct {
	wire   string // the grant_type of its token requests
	spends bool   // they send a refresh token, which may be replaced, and can be lost
}

// grantKinds maps the grants of the configuration.
var grantKinds = map[string]grantKind{
	"client_credentials": {wire: "client_credentials"},          // RFC 6749 section 4.4
	"refresh_token":      {wire: "refresh_token", spends: true}, // RFC 6749 section 6
	"authorization_code": {wire: "refresh_token", spends: true}, // section 4.1: the code was spent at the login, see Introduce
}
