package config

import (
	"net/url"
	"slices"
	"strings"
)

// A grant says which keys a grant of type oauth2 takes, beside those that all of them
// take.
type grant struct {
	name  string
	needs []string
	may   []string
	sends []string          // parameters that are not for params to set
	hints map[string]string // key → what is said of it where it is missing, or does not belong here
}

var grants = []grant{
	{name: "client_credentials", needs: []string{"client_id"}, hints: map[string]string{
		"refresh_token": "does not belong to the grant client_credentials, which needs none",
	}},
	{name: "refresh_token", needs: []string{"client_id", "refresh_token"}, hints: map[string]string{
		"refresh_token": `the first one, such as "env:CRM_REFRESH_TOKEN"; those that come later are kept in the store`,
	}},
	{name: "authorization_code", needs: []string{"client_id"}, hints: map[string]string{
		"refresh_token": "does not belong to the grant authorization_code, whose first one comes from `outrider login`; with one from elsewhere the grant is refresh_token",
	}},
	{
		name: "jwt_bearer", needs: []string{"private_key"},
		may:   append([]string{"client_id", "issuer", "subject", "assertion_claims"}, signs...),
		sends: []string{"assertion"},
	},
	{
		name: "token_exchange", needs: []string{"subject_token"},
		may:   []string{"client_id", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "resource"},
		sends: []string{"subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "resource"},
	},
}

// signs say how assertions are signed: those of the grant jwt_bearer, and those of
// a client that shows who it is by one.
var signs = []string{"private_key", "key_id", "algorithm", "certificate", "assertion_audience", "assertion_lifetime"}

func grantOf(name string) grant {
	return grants[slices.IndexFunc(grants, func(g grant) bool { return g.name == name })]
}

func grantNames() []string {
	names := make([]string, len(grants))
	for i, g := range grants {
		names[i] = g.name
	}
	return names
}

// grantKeys are the keys that belong to some grants, and not to all.
func grantKeys() []string {
	keys := slices.Clone(signs)
	for _, g := range grants {
		keys = append(keys, slices.Concat(g.needs, g.may)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// grantAgrees reports what a grant needs, and what it cannot use.
func grantAgrees(n node, o *OAuth2) {
	if !n.sound("grant", "client_secret", "client_auth", "private_key") {
		return
	}
	g := grantOf(o.Grant)
	if !n.writes("client_auth") {
		o.ClientAuth = g.clientAuth(o)
	}
	for _, key := range grantKeys() {
		place := n.child(key)
		switch {
		case !n.sound(key):
		case slices.Contains(g.needs, key):
			if !n.excused(key, Auth{Type: "oauth2", OAuth2: *o}) {
				g.needed(place, key)
			}
		case n.has(key) && !g.takes(key, o):
			g.refuse(place, key)
		}
	}
	g.agrees(n, o)
}

// takes reports whether a key, one that not all grants take, is of use.
func (g grant) takes(key string, o *OAuth2) bool {
	return slices.Contains(g.needs, key) || slices.Contains(g.may, key) || o.ClientAuth == clientKey && slices.Contains(signs, key)
}

func (g grant) refuse(place node, key string) {
	place.deny(g.hint(key, "does not belong to the grant "+g.name))
}

// agrees reports values that do not go together.
func (g grant) agrees(n node, o *OAuth2) {
	for _, name := range g.sends {
		if values, _ := url.ParseQuery(o.Params); values.Has(name) {
			n.child("params").child(name).deny("is sent by the grant " + g.name + " itself")
		}
	}
	clientAgrees(n, o)
	switch o.Grant {
	case "authorization_code":
		loginAgrees(n, o)
	case "jwt_bearer":
		if n.sound("issuer", "client_id") && o.Issuer == "" && o.ClientID == "" {
			n.child("issuer").missing("who signs the assertion? client_id would do, too")
		}
	case "token_exchange":
		exchangeAgrees(n, &o.TokenExchange)
	}
}

func (g grant) needed(place node, key string) {
	switch place.raw {
	case nil:
		place.missing(g.hint(key, "the grant "+g.name+" takes "+strings.Join(g.needs, " and ")))
	case "":
		place.deny("must not be empty")
	}
}

func (g grant) hint(key, otherwise string) string {
	if hint := g.hints[key]; hint != "" {
		return hint
	}
	return otherwise
}
