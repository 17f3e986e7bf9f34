package config

import "net"

// authorizeURL reads where a login begins. A user gives a password there, so that
// TLS is not left to choice.
func authorizeURL(key string, at func(*OAuth2) *string) field[OAuth2] {
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		v, ok := readText(n)
		if !ok {
			return
		}
		u, problem := parseURL(v)
		if problem == "" && u.Scheme != "https" && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
			problem = "must be an https URL: somebody logs in there"
		}
		if problem != "" {
			n.fail(problem)
			return
		}
		*at(o) = v
	}}
}

// reservedAuthorizeParams are the parameters of an authorization request that other
// keys set, or that each login makes anew. A secret has no place in a browser.
var reservedAuthorizeParams = []string{
	"response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method",
}
