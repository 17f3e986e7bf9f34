package config

import "net"

// loginAgrees reports what `outrider login` would not get on with.
func loginAgrees(n node, o *OAuth2) {
	if o.AuthorizeURL == "" && o.DeviceURL == "" && n.sound("authorize_url", "device_url") {
		n.child("authorize_url").deny("is missing: the provider's page, which `outrider login` opens; or device_url, if it has logins for devices (RFC 8628)")
	}
}

// ruleLogin reports a rule that would need a login of its own: there is one for each
// connection of an upstream, whose tokens are found by the upstream's name.
func ruleLogin(n node, u *Upstream, r *Rule) {
	auth := n.child("auth")
	if r.Auth.Grant == "authorization_code" && r.Auth != u.Auth && auth.sound("grant") {
		auth.child("grant").deny("does not belong to a rule, unless its whole auth is that of the upstream: `outrider login` logs in to an upstream. Make it one of its own, with the same url")
	}
}

// authorizeURL reads where a login begins, or ends. A user gives a password there, so
// that TLS is not left to choice.
func authorizeURL(key string, at func(*OAuth2) *string) field[OAuth2] {
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		v, ok := readText(n)
		if !ok {
			return
		}
		u, problem := parseURL(v)
		if problem == "" && u.Scheme != "https" && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
			problem = "must be an https URL, since it is about a login"
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

// redirectURL reads where the provider's page leads back to: to us, at loopback (RFC
// 8252 section 7.3), or to a page of somebody else, for providers that take https
// alone. From there the user brings the answer.
func redirectURL(key string) field[OAuth2] {
	return field[OAuth2]{key: key, read: func(n node, o *OAuth2) {
		v, ok := readText(n)
		if !ok {
			return
		}
		u, problem := parseURL(v)
		switch {
		case problem != "":
		case u.RawQuery != "" || u.ForceQuery:
			problem = "must not have a query: the answer comes there"
		case u.Scheme != "https" && !loopback(net.JoinHostPort(u.Hostname(), "0")):
			problem = `must be at this machine, such as "http://127.0.0.1:8912/callback", or an https URL`
		}
		if problem != "" {
			n.fail(problem)
			return
		}
		o.RedirectURL = v
	}}
}
