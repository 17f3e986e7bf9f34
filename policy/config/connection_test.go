package config_test

import (
	"strings"
	"testing"

	"outrider/policy/config"
)

// tenants is an upstream with a credential, and what is said of its connections.
func tenants(auth, rest string) string {
	return "[upstream.crm]\nurl = \"https://crm.example.com\"\n" + rest + "\n[upstream.crm.auth]\n" + auth + "\n"
}

const (
	bearerAuth = "type = \"bearer\"\ntoken = \"env:T\""
	oauth2Auth = "type = \"oauth2\"\ngrant = \"refresh_token\"\ntoken_url = \"https://login.example.com/t\"\nclient_id = \"id\"\nclient_secret = \"env:S\"\nscopes = [\"a\"]"
	basicAuth  = "type = \"basic\"\nusername = \"u\"\npassword = \"env:P\""
)

func TestConnectionStandsOnItsUpstreamKeyByKey(t *testing.T) {
	f := mustParse(t, tenants(oauth2Auth+"\nrefresh_token = \"env:R\"", "")+`
[upstream.crm.connection.acme]
refresh_token = "env:ACME"
[upstream.crm.connection."b.c~d"]
refresh_token = "env:BCD"
client_id     = "theirs"
client_secret = "env:THEIRS"
scopes        = ["b", "c"]
`)
	u := upstream(t, f, "crm")
	if u.Connections != config.ConnectionsOptional || len(u.Named) != 2 {
		t.Fatalf("got %q, %+v", u.Connections, u.Named)
	}
	acme, other := u.Auth, u.Auth
	acme.RefreshToken = "env:ACME"
	other.RefreshToken, other.ClientID, other.ClientSecret, other.Scopes = "env:BCD", "theirs", "env:THEIRS", "b c"
	for i, want := range []config.Connection{{Name: "acme", Auth: acme}, {Name: "b.c~d", Auth: other}} {
		if u.Named[i] != want {
			t.Errorf("got %+v, want %+v", u.Named[i], want)
		}
	}
}

// A temporary key is sent with its own session token, or without one.
func TestConnectionDoesNotInheritASessionToken(t *testing.T) {
	u := upstream(t, mustParse(t, tenants("type = \"sigv4\"\naccess_key_id = \"env:I\"\nsecret_access_key = \"env:K\"\nsession_token = \"env:T\"", "")+`
[upstream.crm.connection.acme]
access_key_id     = "env:ACME_I"
secret_access_key = "env:ACME_K"
`), "crm")
	want := u.Auth
	want.AccessKeyID, want.SecretAccessKey, want.SessionToken = "env:ACME_I", "env:ACME_K", ""
	if u.Named[0].Auth != want {
		t.Errorf("got %+v", u.Named[0].Auth)
	}
}

// What every connection brings may be missing of the upstream's own credential: where
// there are tables, or where the file says that a call has to name one. Then there is
// no credential that a call could get by mistake.
func TestUpstreamWithoutACredentialOfItsOwn(t *testing.T) {
	const acme = "[upstream.crm.connection.acme]\n"
	for _, document := range []string{
		tenants(oauth2Auth, "") + acme + "refresh_token = \"env:A\"\n",
		tenants(oauth2Auth, `connections = "required"`),
		tenants(oauth2Auth+"\nrefresh_token = \"env:R\"", `connections = "required"`),
		tenants(`type = "bearer"`, `connections = "required"`),
		tenants(`type = "bearer"`, "") + acme + "token = \"env:A\"\n",
		tenants(`type = "basic"`, "") + acme + "username = \"a\"\npassword = \"env:A\"\n",
		tenants("type = \"header\"\nname = \"X-Key\"", "") + acme + "value = \"env:A\"\n",
	} {
		if u := upstream(t, mustParse(t, document), "crm"); u.Connections != config.ConnectionsRequired {
			t.Errorf("connections are %q for\n%s", u.Connections, document)
		}
	}
	for _, document := range []string{
		tenants(bearerAuth, "") + acme + "token = \"env:A\"\n",
		tenants(strings.ReplaceAll(oauth2Auth, "refresh_token", "authorization_code")+"\nauthorize_url = \"https://login.example.com/a\"", ""),
	} {
		if u := upstream(t, mustParse(t, document), "crm"); u.Connections != config.ConnectionsOptional {
			t.Errorf("connections are %q for\n%s", u.Connections, document)
		}
	}
}

// A connection may show who it is in another way than the upstream's client, and says what
// follows from its keys as auth does.
func TestConnectionWithAClientOfItsOwnKind(t *testing.T) {
	u := upstream(t, mustParse(t, tenants(oauth2Auth+"\nrefresh_token = \"env:R\"", "")+`
[upstream.crm.connection.acme]
refresh_token = "env:ACME"
client_id     = "public"
client_auth   = "none"
client_secret = ""
[upstream.crm.connection.key]
refresh_token = "env:KEY"
client_auth   = "private_key_jwt"
private_key   = "env:K"
`), "crm")
	if got := u.Named[0].Auth; got.ClientSecret != "" || got.ClientAuth != "none" {
		t.Errorf("got %+v", got)
	}
	if got := u.Named[1].Auth; got.ClientSecret != "" || got.PrivateKey != "env:K" {
		t.Errorf("got %+v", got)
	}
	u = upstream(t, mustParse(t, tenants("type = \"oauth2\"\ngrant = \"token_exchange\"\ntoken_url = \"https://login.example.com/t\"\nsubject_token = \"env:S\"", "")+`
[upstream.crm.connection.acme]
actor_token = "env:A"
`), "crm")
	if got := u.Named[0].Auth.ActorTokenType; got != "urn:ietf:params:oauth:token-type:jwt" {
		t.Errorf("actor_token_type %q", got)
	}
}

func TestConnectionMistakes(t *testing.T) {
	acme := func(auth, own string) string { return tenants(auth, "") + "[upstream.crm.connection.acme]\n" + own }
	const refreshes = oauth2Auth + "\nrefresh_token = \"env:R\""
	for _, c := range []struct{ name, document, want string }{
		{"nothing of its own", acme(bearerAuth, ""),
			"upstream.crm.connection.acme: is empty: say what it has of its own, of token"},
		{"another type", acme(bearerAuth, "type = \"basic\"\ntoken = \"env:T\""),
			"upstream.crm.connection.acme.type: is the same for all connections of an upstream: it belongs into auth"},
		{"another grant", acme(refreshes, "grant = \"client_credentials\"\nrefresh_token = \"env:T\""),
			"upstream.crm.connection.acme.grant: is the same for all connections of an upstream: it belongs into auth"},
		{"key of another type", acme(bearerAuth, "token = \"env:T\"\nvalue = \"env:V\""),
			"upstream.crm.connection.acme.value: does not belong to type bearer, which takes token"},
		{"unknown key", acme(bearerAuth, "tokn = \"env:T\""),
			`upstream.crm.connection.acme.tokn: unknown key; did you mean "token"?`},
		{"half of basic", acme(basicAuth, "password = \"env:ACME\""),
			"upstream.crm.connection.acme.username: is missing: each connection has its own"},
		{"empty", acme(bearerAuth, "token = \"\""),
			"upstream.crm.connection.acme.token: must not be empty"},
		{"no refresh token of its own", acme(refreshes, "scopes = [\"b\"]"),
			"upstream.crm.connection.acme.refresh_token: is missing: each connection has its own"},
		{"client without its secret", acme(refreshes, "refresh_token = \"env:A\"\nclient_id = \"theirs\""),
			"upstream.crm.connection.acme.client_secret: is missing: the upstream's does not belong to this client_id"},
		{"secret without its client", acme(refreshes, "refresh_token = \"env:A\"\nclient_secret = \"env:C\""),
			"upstream.crm.connection.acme.client_id: is missing: the upstream's does not belong to this client_secret"},
		{"client without its assertion", acme(strings.Replace(refreshes, "client_secret", "client_assertion", 1), "refresh_token = \"env:A\"\nclient_id = \"theirs\""),
			"upstream.crm.connection.acme.client_assertion: is missing: the upstream's does not belong to this client_id"},
		{"issuer without its key", acme("type = \"oauth2\"\ngrant = \"jwt_bearer\"\ntoken_url = \"https://login.example.com/t\"\nissuer = \"i\"\nprivate_key = \"env:K\"", "issuer = \"theirs\""),
			"upstream.crm.connection.acme.private_key: is missing: the upstream's does not belong to this issuer"},
		{"key of another grant", acme(refreshes, "refresh_token = \"env:A\"\nsubject_token = \"env:T\""),
			"upstream.crm.connection.acme.subject_token: does not belong to the grant refresh_token"},
		{"refresh token of a grant that needs none", acme(strings.Replace(oauth2Auth, "refresh_token", "client_credentials", 1), "refresh_token = \"env:A\""),
			"upstream.crm.connection.acme.refresh_token: does not belong to the grant client_credentials, which needs none"},
		{"key that signs nothing", acme(refreshes, "refresh_token = \"env:A\"\nprivate_key = \"env:K\""),
			"upstream.crm.connection.acme.private_key: does not belong to the grant refresh_token"},
		{"assertion that is not shown", acme(refreshes, "refresh_token = \"env:A\"\nclient_assertion = \"env:K\""),
			`upstream.crm.connection.acme.client_assertion: is not sent where client_auth is "auto"`},
		{"no client", acme(strings.Replace(oauth2Auth, "refresh_token", "client_credentials", 1), "client_auth = \"none\""),
			"upstream.crm.connection.acme.client_secret: is missing: the grant client_credentials has nothing else to show, but for a private_key (RFC 6749 section 4.4)"},
		{"scopes of an ID token", acme("type = \"service_account\"\nkey = \"env:K\"\nscopes = [\"a\"]", "audience = \"https://a.run.app\""),
			"upstream.crm.connection.acme.audience: is for an ID token, which has no scopes"},
		{"parameter of the grant", acme("type = \"oauth2\"\ngrant = \"token_exchange\"\ntoken_url = \"https://login.example.com/t\"\nsubject_token = \"env:K\"", "params = { actor_token = \"a\" }"),
			"upstream.crm.connection.acme.params.actor_token: is sent by the grant token_exchange itself"},
		{"key of another name", acme("type = \"oauth2\"\ngrant = \"jwt_bearer\"\ntoken_url = \"https://login.example.com/t\"\nissuer = \"i\"\nprivate_key = \"env:K\"\nkey_id = \"1\"", "private_key = \"env:A\""),
			"upstream.crm.connection.acme.key_id: is missing: the upstream's does not belong to this private_key"},
		{"half of a key", acme("type = \"sigv4\"\naccess_key_id = \"env:I\"\nsecret_access_key = \"env:K\"", "access_key_id = \"env:A\""),
			"upstream.crm.connection.acme.secret_access_key: is missing: each connection has its own"},
		{"half of the upstream's own", tenants("type = \"basic\"\nusername = \"u\"", `connections = "required"`),
			"upstream.crm.auth.password: is missing: type basic takes username and password"},
		{"optional, and none of its own", tenants(oauth2Auth, `connections = "optional"`),
			"upstream.crm.auth.refresh_token: is missing: the first one, such as \"env:CRM_REFRESH_TOKEN\"; those that come later are kept in the store"},
		{"url without TLS", acme(bearerAuth, "token = \"env:T\"\nurl = \"http://acme.example.com\""),
			"upstream.crm.connection.acme.url: must be https: the credential is sent there"},
		{"url with a path", acme(bearerAuth, "token = \"env:T\"\nurl = \"https://acme.example.com/v1\""),
			"upstream.crm.connection.acme.url: must be without path and query; the path of the upstream's url is put in front"},
		{"url of a user", acme(bearerAuth, "token = \"env:T\"\nurl = \"https://canary@acme.example.com\""),
			"upstream.crm.connection.acme.url: must not hold a user name or password"},
		{"url outside of the wildcard", tenants(bearerAuth, "hosts = [\"*.example.com\"]") + "[upstream.crm.connection.acme]\ntoken = \"env:T\"\nurl = \"https://example.com.evil.test\"",
			"upstream.crm.connection.acme.url: must be one of the upstream's hosts: *.example.com"},
		{"nothing but a url", acme(bearerAuth, "url = \"https://acme.example.com\""),
			"upstream.crm.connection.acme.token: is missing: each connection has its own"},
		{"nothing to stand on", acme(`type = "none"`, "token = \"env:T\""),
			"upstream.crm.connection.acme: has nothing to stand on: auth of the upstream is none, which has no value"},
		{"required of nothing", tenants(`type = "none"`, `connections = "required"`),
			`upstream.crm.connections = "required": needs an auth that takes connections, and this is none`},
		{"neither", tenants(bearerAuth, `connections = "never"`),
			`upstream.crm.connections = "never": must be one of optional, required`},
		{"name", tenants(bearerAuth, "") + "[upstream.crm.connection.\"a b\"]\ntoken = \"env:T\"",
			`upstream.crm.connection."a b": the name of a connection has 1 to 128 letters, digits, -, _, . and ~`},
		{"no table", tenants(bearerAuth, `connection = "acme"`),
			`upstream.crm.connection: must be a table for each connection: [upstream.crm.connection.NAME]`},
		{"no table of its own", tenants(bearerAuth, "") + "[upstream.crm.connection]\nacme = 1",
			"upstream.crm.connection.acme = 1: must be a table: [upstream.crm.connection.acme]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if list := problems(t, c.document); len(list) != 1 || list[0].Error() != c.want {
				t.Errorf("got %v\nwant %s", list, c.want)
			}
		})
	}
}

func TestConnectionName(t *testing.T) {
	for _, good := range []string{"a", "ACME-1_2.3~4", "...", strings.Repeat("a", 128)} {
		if problem := config.ConnectionName(good); problem != "" {
			t.Errorf("%q: %s", good, problem)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", "a%2fb", "a\n", "\x00", strings.Repeat("a", 129)} {
		if config.ConnectionName(bad) == "" {
			t.Errorf("%q is a name", bad)
		}
	}
}

// Where a connection is, in one form: it is compared, and shown.
func TestConnectionOrigin(t *testing.T) {
	for _, c := range []struct{ hosts, url, want string }{
		{"", "https://Acme.Example.com", "https://acme.example.com"},
		{"", "https://acme.example.com:443/", "https://acme.example.com"},
		{"", "https://acme.example.com:8443", "https://acme.example.com:8443"},
		{"", "http://127.0.0.1:9000", "http://127.0.0.1:9000"},
		{"", "https://[2001:DB8::1]", "https://[2001:db8::1]"},
		{"", "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"},
		{"*.example.com", "https://acme.example.com", "https://acme.example.com"},
		{"*.example.com", "https://a.b.example.com", "https://a.b.example.com"},
		{"*.example.com:8443", "https://acme.example.com:8443", "https://acme.example.com:8443"},
		{"*.example.com", "https://acme.example.com:8443", ""}, // another service of that machine
		{"*.example.com:8443", "https://acme.example.com", ""},
		{"*.example.com", "https://example.com", ""},
		{"*.example.com", "https://evilexample.com", ""},
		{"", "https://acme.example.com?x", ""},
		{"", "https://acme.example.com#x", ""},
		{"", "ftp://acme.example.com", ""},
		{"", "acme.example.com", ""},
		{"", "", ""},
		{"", "https://acme.example.com.", ""},
		{"", "https://a\\b.example.com", ""},
	} {
		rest := ""
		if c.hosts != "" {
			rest = "hosts = [\"" + c.hosts + "\"]"
		}
		u := upstream(t, mustParse(t, tenants(bearerAuth, rest)), "crm")
		got, problem := u.ConnectionOrigin(c.url)
		if got != c.want || (problem == "") != (c.want != "") {
			t.Errorf("%q among %q: got %q, %q; want %q", c.url, c.hosts, got, problem, c.want)
		}
	}
}
