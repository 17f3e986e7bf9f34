package config

import "slices"

// clientKey is how a client shows who it is by an assertion (RFC 7523 section 2.2).
const clientKey = "private_key_jwt"

// clientAuths are the ways in which a client shows who it is.
var clientAuths = []string{"auto", "basic", "body", "json", "json-basic", clientKey, "none"}

// clientAuth is what goes without saying: a secret is sent, in the way that a preset
// knows, and a key signs that does not sign for the grant already.
func (g grant) clientAuth(o *OAuth2) string {
	switch {
	case o.ClientSecret != "":
		return o.ClientAuth
	case o.ClientAssertion != "" || o.PrivateKey != "" && !slices.Contains(g.needs, "private_key"):
		return clientKey
	}
	return "none"
}

// sendsSecret reports whether a way of showing who it is has a client send its secret.
func sendsSecret(clientAuth string) bool { return clientAuth != "none" && clientAuth != clientKey }

// clientAgrees reports what the client's way of showing who it is needs, and does not
// send.
func clientAgrees(n node, o *OAuth2) {
	sends := sendsSecret(o.ClientAuth)
	secret := n.child("client_secret")
	switch {
	case !sends && o.ClientSecret != "":
		secret.deny(`is not sent where client_auth is "` + o.ClientAuth + `"`)
	case sends && o.ClientSecret == "":
		secret.missing(`client_auth sends one; "none" is for public clients`)
	case o.ClientAuth == "none" && o.Grant == "client_credentials":
		secret.missing("the grant client_credentials has nothing else to show, but for a private_key (RFC 6749 section 4.4)")
	case o.ClientAuth == clientKey && o.PrivateKey == "" && o.ClientAssertion == "":
		n.child("private_key").missing(`client_auth "private_key_jwt" signs with it`)
	case o.ClientAuth != clientKey && o.ClientAssertion != "":
		n.child("client_assertion").deny(`is not sent where client_auth is "` + o.ClientAuth + `"`)
	case o.Grant != "jwt_bearer" && o.PrivateKey != "" && o.ClientAssertion != "":
		n.child("client_assertion").deny("is signed already: what is private_key for?")
	}
	if o.ClientAuth != "none" && o.ClientID == "" && n.sound("client_id") {
		n.child("client_id").missing("whose is the client_secret, the private_key or the client_assertion?")
	}
}
