package config

import (
	"slices"
	"strings"
)

// TokenExchange is what is given for a token, and what for (RFC 8693 section 2.1).
type TokenExchange struct {
	SubjectToken       Reference // of whom the new token will be
	SubjectTokenType   string    // a URI
	ActorToken         Reference // of who acts; "": the subject itself
	ActorTokenType     string    // a URI; "": there is no actor token
	RequestedTokenType string    // a URI; "": the server's choice
	Resource           string    // where the new token will be used; "": not said
}

var exchangeKeys = table[TokenExchange]{
	secret("subject_token", func(x *TokenExchange) *Reference { return &x.SubjectToken }),
	value("subject_token_type", func(x *TokenExchange) *string { return &x.SubjectTokenType }, readTokenType),
	secret("actor_token", func(x *TokenExchange) *Reference { return &x.ActorToken }),
	value("actor_token_type", func(x *TokenExchange) *string { return &x.ActorTokenType }, readTokenType),
	value("requested_token_type", func(x *TokenExchange) *string { return &x.RequestedTokenType }, readTokenType),
	text("resource", func(x *TokenExchange) *string { return &x.Resource }),
}

// tokenTypes are those of RFC 8693 section 3, by their last word.
var tokenTypes = []string{"access_token", "refresh_token", "id_token", "jwt", "saml1", "saml2"}

const tokenTypePrefix = "urn:ietf:params:oauth:token-type:" //nolint:gosec // G101: the name of a type

// readTokenType reads the type of a token: a URI, or a word for one.
func readTokenType(n node) (string, bool) {
	name, ok := readText(n)
	switch {
	case !ok:
		return "", false
	case slices.Contains(tokenTypes, name):
		return tokenTypePrefix + name, true
	case strings.Contains(name, ":"):
		return name, true
	}
	n.fail("must be one of " + strings.Join(tokenTypes, ", ") +
		`, or a URI, such as "urn:ietf:params:aws:token-type:aws4_request"` + Suggestion(name, tokenTypes))
	return "", false
}

// exchangeAgrees fills in that tokens are JWTs, as those of Kubernetes are.
func exchangeAgrees(n node, x *TokenExchange) {
	if x.SubjectTokenType == "" {
		x.SubjectTokenType = tokenTypePrefix + "jwt"
	}
	switch {
	case x.ActorToken != "" && x.ActorTokenType == "":
		x.ActorTokenType = tokenTypePrefix + "jwt"
	case x.ActorToken == "" && x.ActorTokenType != "" && n.sound("actor_token"):
		n.child("actor_token").missing("actor_token_type is the type of one")
	}
}
