package cli

import (
	"fmt"
	"strings"

	"outrider/policy"
	"outrider/policy/config"
)

func credentialText(u *config.Upstream, a config.Auth) string {
	if a == u.Policy.Auth && u.Connections == config.ConnectionsRequired {
		return a.Type + ", by the connection that a call names"
	}
	switch a.Type {
	case "bearer":
		return "bearer, from " + referenceText(a.Token)
	case "basic":
		return "basic, user from " + referenceText(a.Username) + ", password from " + referenceText(a.Password)
	case "header", "query":
		return a.Type + " " + a.Name + ", from " + referenceText(a.Value)
	case "oauth2":
		return "oauth2 " + a.Grant + ", from " + tokenEndpoint(a.TokenURL) + shownText(a.OAuth2) + oauth2Text(a.OAuth2) + loginText(u, a.OAuth2)
	case "github_app":
		return "github_app " + string(a.AppID) + ", installation " + string(a.InstallationID) + ", from " + a.APIURL +
			"; signed with " + referenceText(a.PrivateKey) + oauth2Text(a.OAuth2)
	case "service_account":
		return "service_account, key from " + referenceText(a.Key) + oauth2Text(a.OAuth2)
	case "sigv4":
		return "sigv4, " + policy.SigningScope(u, a) + ", from " + sigv4Text(a.SigV4)
	case "placeholder":
		return "placeholder, from " + referenceText(a.Value) + ", where the caller wrote " + u.Placeholder()
	case "none":
		return "none; a caller's own Authorization is removed"
	}
	return "the caller's own, passed through"
}

// endText says when a credential ends; "" where the configuration does not.
func endText(a config.Auth) string {
	if a.Expires.IsZero() {
		return ""
	}
	return ", until " + a.Expires.Format("2006-01-02 15:04 MST")
}

// connectionsText says which other credentials calls can choose; "" where there can be
// none.
func connectionsText(u *config.Upstream) string {
	if len(u.Named) == 0 && u.Connections != config.ConnectionsRequired {
		return ""
	}
	names := make([]string, 0, shownLines)
	for _, c := range u.Named[:min(len(u.Named), shownLines)] {
		name := c.Name
		if c.Auth.Origin != "" {
			name += " at " + c.Auth.Origin
		}
		names = append(names, name)
	}
	text := "those of the store"
	if len(names) > 0 {
		text = strings.Join(names, ", ") + ", and " + text
	}
	if more := len(u.Named) - len(names); more > 0 {
		text = fmt.Sprintf("%d, such as %s", len(u.Named), text)
	}
	if u.Connections == config.ConnectionsRequired {
		return text + "; a call has to name one"
	}
	return text + "; a call that names none gets the credential above"
}

// tokenEndpoint is a token URL for people: its query may have a key in it.
func tokenEndpoint(raw string) string {
	bare, _, _ := strings.Cut(raw, "?")
	return bare
}

// shownText says what is shown for a token.
func shownText(o config.OAuth2) string {
	var text string
	for _, part := range []struct {
		label string
		ref   config.Reference
	}{
		{"client", o.ClientID}, {"issuer", o.Issuer}, {"signed with", o.PrivateKey}, {"shown", o.ClientAssertion}, {"for", o.SubjectToken},
	} {
		if part.ref != "" {
			text += "; " + part.label + " " + referenceText(part.ref)
		}
	}
	return text
}

// oauth2Text says how a token is kept alive.
func oauth2Text(o config.OAuth2) string {
	ahead := config.Ratio(o.RefreshShare).String() + " of its lifetime"
	if o.RefreshBefore > 0 {
		ahead = config.Duration(o.RefreshBefore).String()
	}
	text := "; refreshed " + ahead + " before its end, and once after a 401"
	if o.NotExpiry != "" {
		text += ", save one of not_expiry"
	}
	return text
}

// sigv4Text says where the parts of a key come from.
func sigv4Text(s config.SigV4) string {
	text := referenceText(s.AccessKeyID) + " and " + referenceText(s.SecretAccessKey)
	if s.SessionToken != "" {
		text += ", session " + referenceText(s.SessionToken)
	}
	return text
}

// loginText says how the first tokens are had.
func loginText(u *config.Upstream, o config.OAuth2) string {
	if o.Grant != "authorization_code" {
		return ""
	}
	return "; the first ones come from: " + policy.LoginCommand(u.Name, "")
}

// referenceText says where a secret comes from, and never what it is.
func referenceText(r config.Reference) string {
	switch {
	case r == "":
		return `""`
	case r.Literal():
		return "a literal in the file"
	}
	return r.String()
}
