package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"outrider/policy/config"
)

// crm puts the lines of an upstream's table into a document.
func crm(lines string) string {
	return "[upstream.crm]\nurl = \"https://crm.example.com\"\n" + lines
}

// credential is crm with a credential that is sound but for one key; without a value,
// that one is missing.
func credential(sound map[string]string, key, value string) string {
	keys := maps.Clone(sound)
	keys[key] = value
	document := crm("[upstream.crm.auth]\n")
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if keys[name] != "" {
			document += name + " = " + keys[name] + "\n"
		}
	}
	return document
}

func oauth2(key, value string) string {
	return credential(map[string]string{
		"type": `"oauth2"`, "grant": `"client_credentials"`, "token_url": `"https://login.example.com/token"`,
		"client_id": `"id"`, "client_secret": `"env:S"`,
	}, key, value)
}

// keyed is a client that shows who it is by its key.
const keyed = `type = "oauth2", grant = "client_credentials", token_url = "https://login.example.com/t", client_id = "id", private_key = "file:/k.pem"`

func signed(key, value string) string {
	return credential(map[string]string{
		"type": `"oauth2"`, "grant": `"jwt_bearer"`, "token_url": `"https://login.example.com/token"`,
		"issuer": `"id"`, "private_key": `"file:/k.pem"`,
	}, key, value)
}

func exchanged(key, value string) string {
	return credential(map[string]string{
		"type": `"oauth2"`, "grant": `"token_exchange"`, "token_url": `"https://sts.example.com/token"`, "subject_token": `"file:/t"`,
	}, key, value)
}

func app(key, value string) string {
	return credential(map[string]string{
		"type": `"github_app"`, "app_id": "1", "installation_id": `"env:I"`, "private_key": `"file:/k.pem"`,
	}, key, value)
}

func account(key, value string) string {
	return credential(map[string]string{"type": `"service_account"`, "key": `"file:/k.json"`, "scopes": `["a"]`}, key, value)
}

// login is crm with a credential that begins with a login.
func login(lines string) string {
	return crm(`[upstream.crm.auth]
type = "oauth2"
grant = "authorization_code"
authorize_url = "https://login.example.com/authorize?tenant=a"
authorize_params = { prompt = "consent", audience = "api" }
token_url = "https://login.example.com/token"
client_id = "id"
` + lines + "\n")
}

func TestEachFaultIsNamedByItsKey(t *testing.T) {
	for _, tt := range []struct{ name, document, want string }{
		// Top level.
		{"no port", `listen = "127.0.0.1"`, `listen = "127.0.0.1": must be host:port, such as "127.0.0.1:8080", or a socket, "unix:/run/outrider.sock"`},
		{"number for an address", `admin = 8081`, `admin = 8081: must be text in quotes`},
		{"open without key", `listen = "0.0.0.0:8080"`, `listen = "0.0.0.0:8080": can be reached from other machines, so it needs access_key; or bind it to 127.0.0.1`},
		{"every host without key", `admin = ":8081"`, `admin = ":8081": can be reached from other machines, so it needs access_key; or bind it to 127.0.0.1`},
		{"name that may be any host", `admin = "box:8081"`, `admin = "box:8081": can be reached from other machines, so it needs access_key; or bind it to 127.0.0.1`},
		{"one port for two", `admin = "localhost:8080"`, `admin = "localhost:8080": is the address of listen already`},
		{"key without scheme's rest", `access_key = "env:"`, `access_key: must name an environment variable: "env:NAME"`},
		{"unlisted", `forward.unlisted = "tunel"`, `forward.unlisted = "tunel": must be one of tunnel, deny, observe; did you mean "tunnel"?`},
		{"intercept", `forward.intercept = "yes"`, `forward.intercept = "yes": must be true or false, without quotes`},
		{"idle_timeout", `forward.idle_timeout = "0s"`, `forward.idle_timeout = "0s": must be longer than 0`},
		{"max_tunnels", `forward.max_tunnels = 0`, `forward.max_tunnels = 0: must be at least 1`},
		{"a proxy that is no URL", `egress.proxy = "proxy:3128"`, `egress.proxy: must be "environment", "direct", a URL such as "http://proxy.example.com:3128", or a reference to one, "env:NAME"`},
		{"a proxy with a password", `egress.proxy = "http://me:canary@proxy:3128"`, `egress.proxy: must not hold a user name or password: put the whole URL into a secret, proxy = "env:NAME"`},
		{"a proxy with a path", `egress.proxy = "http://proxy:3128/x"`, `egress.proxy: must be a URL without path and query`},
		{"no_proxy", `egress.no_proxy = ["a,b"]`, `egress.no_proxy[0] = "a,b": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"`},
		{"no_proxy with a URL", `egress.no_proxy = ["http://a.invalid"]`, `egress.no_proxy[0] = "http://a.invalid": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8", without scheme and path`},
		{"no_proxy with a path", `egress.no_proxy = ["127.0.0.1:21001/x"]`, `egress.no_proxy[0] = "127.0.0.1:21001/x": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8", without scheme and path`},
		{"no_proxy with a password", `egress.no_proxy = ["http://u:canary@a.invalid"]`, `egress.no_proxy[0]: must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8", without scheme and path`},
		{"no_proxy with a port too large", `egress.no_proxy = ["a.invalid:70000"]`, `egress.no_proxy[0] = "a.invalid:70000": must have a port from 1 to 65535, or none`},
		{"no_proxy with brackets", `egress.no_proxy = ["[::1]"]`, `egress.no_proxy[0] = "[::1]": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"; an address has brackets only in front of a port`},
		{"no_proxy with a wildcard in between", `egress.no_proxy = ["a.*.invalid"]`, `egress.no_proxy[0] = "a.*.invalid": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"`},
		{"no_proxy with a port alone", `egress.no_proxy = [":80"]`, `egress.no_proxy[0] = ":80": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"`},
		{"no_proxy below an address", `egress.no_proxy = [".10.0.0.1"]`, `egress.no_proxy[0] = ".10.0.0.1": must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"`},
		{"a socket without a path", `listen = "unix:outrider.sock"`, `listen = "unix:outrider.sock": must name a socket by its absolute path: "unix:/run/outrider.sock"`},
		{"address for a network", `forward.allow_private = ["10.1.2.3"]`, `forward.allow_private[0] = "10.1.2.3": must be a network, such as "10.1.0.0/16"; write "10.1.2.3/32" for this one address`},
		{"bits behind the prefix", `forward.allow_private = ["10.0.0.0/8", "10.1.2.3/8"]`, `forward.allow_private[1] = "10.1.2.3/8": has bits behind its prefix: write "10.0.0.0/8" for the network, or "10.1.2.3/32" for the one address`},
		{"no list", `forward.allow_private = "10.0.0.0/8"`, `forward.allow_private = "10.0.0.0/8": must be a list in brackets, such as [a, b]`},
		{"sample", `telemetry.sample = 1.5`, `telemetry.sample = 1.5: must be from 0 to 1, or from "0%" to "100%"`},
		{"not a number", `telemetry.sample = nan`, `telemetry.sample = NaN: must be from 0 to 1, or from "0%" to "100%"`},
		{"level", `telemetry.log_level = "trace"`, `telemetry.log_level = "trace": must be one of debug, info, warn, error`},
		{"trace url without a place for the id", `telemetry.trace_url = "http://x.test/trace/"`, `telemetry.trace_url = "http://x.test/trace/": must have {trace_id} in it, such as "http://127.0.0.1:16686/trace/{trace_id}"`},
		{"trace url that is a script", `telemetry.trace_url = "javascript:alert({trace_id})"`, `telemetry.trace_url: must be a URL of http or https`},
		{"format", `telemetry.log_format = "xml"`, `telemetry.log_format = "xml": must be one of json, text`},
		{"endpoint", `telemetry.endpoint = "localhost:4318"`, `telemetry.endpoint = "localhost:4318": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"endpoint with a password", `telemetry.endpoint = "http://u:canary@h"`, `telemetry.endpoint: must not hold a user name or password`},
		{"truth in quotes", `telemetry.access_log = "yes"`, `telemetry.access_log = "yes": must be true or false, without quotes`},
		{"table that is none", `telemetry = true`, `telemetry = true: must be a table: [telemetry]`},

		{"store in a file by its path", `store.url = "/var/lib/store.db"`, `store.url: must be a URL of PostgreSQL, "postgres://user@host/database", or a reference to one, "env:NAME"; empty is a file in state_dir`},
		{"store elsewhere", `store.url = "mysql://u:canary@h/d"`, `store.url: must be a URL of PostgreSQL, "postgres://user@host/database", or a reference to one, "env:NAME"; empty is a file in state_dir`},
		{"nameless entry", `store.key = "keyring:"`, `store.key: must name an entry of the system's keyring: "keyring:NAME"`},

		// Unknown keys.
		{"typing error", `lsten = "x"`, `lsten: unknown key; did you mean "listen"?`},
		{"swapped letters", crm(`retry.attempst = 3`), `upstream.crm.retry.attempst: unknown key; did you mean "attempts"?`},
		{"wrong table", crm(`attempts = 3`), `upstream.crm.attempts: unknown key; it belongs in [outbox] or [upstream.NAME.retry]`},
		{"below a table by mistake", "[telemetry]\naccess_key = \"env:K\"", `telemetry.access_key: unknown key; it belongs at the top of the document, above the first [table]`},
		{"later capability", crm(`request_schema = "a.json"`), `upstream.crm.request_schema: unknown key; known here: preset, url, hosts, listen, intercept, steady, rewrite_links, proxy, ca_file, client_cert, client_key, timeout, attempt_timeout, idle_timeout, stale_if_error, replay_body, auth, cost, limit, answer, results, hedge, propagate, outbox, retry, circuit, connections, connection, rule`},
		{"later table", `payload.strict = true`, `payload: unknown key; known here: listen, admin, state_dir, access_key, forward, egress, store, outbox, telemetry, alerts, upstream`},

		// Upstreams.
		{"no table", `upstream = 3`, `upstream = 3: must be a table for each upstream: [upstream.NAME]`},
		{"upstream that is no table", `upstream.crm = "https://x"`, `upstream.crm: must be a table: [upstream.crm]`},
		{"upstream without a name", "[upstream]\nurl = \"http://x\"", `upstream.url: belongs in the table of an upstream: [upstream.NAME], with a name of yours, such as [upstream.github]`},
		{"flag without an upstream's name", "[upstream]\nintercept = true", `upstream.intercept = true: belongs in the table of an upstream: [upstream.NAME], with a name of yours, such as [upstream.github]`},
		{"list of upstreams", "[[upstream.crm]]\nurl = \"https://x\"", `upstream.crm: must be a table: [upstream.crm]`},
		{"upper case", `upstream.CRM.url = "https://x"`, `upstream.CRM: the name must be of lower-case letters, digits, - and _, and begin with a letter or digit: it becomes a path prefix`},
		{"blank in the name", `upstream."a b".url = "https://x"`, `upstream."a b": the name must be of lower-case letters, digits, - and _, and begin with a letter or digit: it becomes a path prefix`},
		{"reserved", `upstream.outbox.url = "https://x"`, `upstream.outbox: this name is reserved; choose another`},
		{"no url", `upstream.crm.timeout = "5s"`, `upstream.crm.url: is missing: where do calls go? Such as "https://api.example.com"`},
		{"no scheme", `upstream.crm.url = "crm.example.com"`, `upstream.crm.url = "crm.example.com": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"other scheme", `upstream.crm.url = "ftp://crm.example.com"`, `upstream.crm.url = "ftp://crm.example.com": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"user in the url", `upstream.crm.url = "https://u:canary@crm.example.com"`, `upstream.crm.url: must not hold a user name or password`},
		{"query", `upstream.crm.url = "https://crm.example.com/?key=canary"`, `upstream.crm.url: must not have a query: it is where paths begin`},
		{"fragment", `upstream.crm.url = "https://crm.example.com/#a"`, `upstream.crm.url: must not have a fragment`},
		{"port", `upstream.crm.url = "https://crm.example.com:70000"`, `upstream.crm.url = "https://crm.example.com:70000": must have a port from 1 to 65535, or none`},
		{"wildcard url", `upstream.crm.url = "https://*.example.com"`, `upstream.crm.url = "https://*.example.com": may have a wildcard only as its first label, such as "*.example.com"`},
		{"host with a scheme", crm(`hosts = ["https://crm.example.com"]`), `upstream.crm.hosts[0] = "https://crm.example.com": must be a host name, such as "api.example.com" or "*.example.com", without scheme and path`},
		{"wildcard inside", crm(`hosts = ["a.*.example.com"]`), `upstream.crm.hosts[0] = "a.*.example.com": may have a wildcard only as its first label, such as "*.example.com"`},
		{"wildcard of an address", crm(`hosts = ["*.10.1.2.3"]`), `upstream.crm.hosts[0] = "*.10.1.2.3": may have a wildcard only in front of a name: there is nothing below an address`},
		{"half a label", crm(`hosts = ["api*.example.com"]`), `upstream.crm.hosts[0] = "api*.example.com": may have a wildcard only as its first label, such as "*.example.com"`},
		{"dot at the end", crm(`hosts = ["example.com."]`), `upstream.crm.hosts[0] = "example.com.": must be a host name, such as "api.example.com" or "*.example.com", without a dot at the end`},
		{"not ASCII", crm(`hosts = ["bücher.example"]`), `upstream.crm.hosts[0]: must be written as it is in DNS ("xn--…")`},
		{"bad port", crm(`hosts = ["example.com:0"]`), `upstream.crm.hosts[0] = "example.com:0": must have a port from 1 to 65535, or none`},
		{"number for a host", crm(`hosts = [1]`), `upstream.crm.hosts[0] = 1: must be text in quotes`},
		{"own listener without key", crm(`listen = ":8090"`), `upstream.crm.listen = ":8090": can be reached from other machines, so it needs access_key; or bind it to 127.0.0.1`},
		{"own listener on a taken port", crm(`listen = "127.0.0.1:8081"`), `upstream.crm.listen = "127.0.0.1:8081": is the address of admin already`},
		{"certificate without key", crm(`client_cert = "/c.pem"`), `upstream.crm.client_key: is missing: client_cert and client_key come together`},
		{"key without certificate", crm(`client_key = "/k.pem"`), `upstream.crm.client_cert: is missing: client_key and client_cert come together`},

		// Policy.
		{"bare number", crm(`timeout = 60`), `upstream.crm.timeout = 60: must be a time with its unit (ms, s, m, h), such as "10s"`},
		{"no unit", crm(`timeout = "60"`), `upstream.crm.timeout = "60": must be a time with its unit (ms, s, m, h), such as "10s"`},
		{"no time at all", crm(`timeout = "0s"`), `upstream.crm.timeout = "0s": must be longer than 0`},
		{"negative", crm(`idle_timeout = "-1s"`), `upstream.crm.idle_timeout = "-1s": must be longer than 0`},
		{"attempt longer than the call", crm(`attempt_timeout = "90s"`), `upstream.crm.attempt_timeout = "90s": must not be longer than timeout, which is 1m`},
		{"size without unit", crm(`replay_body = 1048576`), `upstream.crm.replay_body = 1048576: must be a size with its unit (B, KiB, MiB, GiB, KB, MB, GB), such as "1MiB"`},
		{"negative size", crm(`replay_body = "-1MiB"`), `upstream.crm.replay_body = "-1MiB": must be a size with its unit (B, KiB, MiB, GiB, KB, MB, GB), such as "1MiB"`},

		// Credentials.
		{"no type", crm(`auth = {}`), `upstream.crm.auth.type: is missing: must be one of none, bearer, basic, header, query, placeholder, oauth2, github_app, service_account, sigv4, passthrough`},
		{"unknown kind", crm(`auth = { type = "mtls" }`), `upstream.crm.auth.type = "mtls": must be one of none, bearer, basic, header, query, placeholder, oauth2, github_app, service_account, sigv4, passthrough`},
		{"key without its secret", crm(`auth = { type = "sigv4", access_key_id = "env:ID" }`), `upstream.crm.auth.secret_access_key: is missing: type sigv4 takes access_key_id and secret_access_key, and may have session_token, region, service`},
		{"region", crm(`auth = { type = "sigv4", access_key_id = "env:ID", secret_access_key = "env:S", region = "EU (Ireland)" }`), `upstream.crm.auth.region: must be of lower-case letters, digits and -, such as "eu-west-1" or "execute-api"`},
		{"region of another kind", crm(`auth = { type = "bearer", token = "env:T", region = "eu-west-1" }`), `upstream.crm.auth.region: does not belong to type bearer, which takes token`},
		{"no grant", oauth2("grant", `"password"`), `upstream.crm.auth.grant = "password": must be one of client_credentials, refresh_token, authorization_code, jwt_bearer, token_exchange`},
		{"token_url", oauth2("token_url", `"login.example.com"`), `upstream.crm.auth.token_url = "login.example.com": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"grant without its token", oauth2("grant", `"refresh_token"`), `upstream.crm.auth.refresh_token: is missing: the first one, such as "env:CRM_REFRESH_TOKEN"; those that come later are kept in the store`},
		{"grant with a token too many", oauth2("refresh_token", `"env:R"`), `upstream.crm.auth.refresh_token: does not belong to the grant client_credentials, which needs none`},
		{"client without a secret", oauth2("client_secret", ""), `upstream.crm.auth.client_secret: is missing: the grant client_credentials has nothing else to show, but for a private_key (RFC 6749 section 4.4)`},
		{"public client with a secret", oauth2("client_auth", `"none"`), `upstream.crm.auth.client_secret: is not sent where client_auth is "none"`},
		{"client_auth", oauth2("client_auth", `"jwt"`), `upstream.crm.auth.client_auth = "jwt": must be one of auto, basic, body, json, json-basic, private_key_jwt, none`},
		{"no client", oauth2("client_id", ""), `upstream.crm.auth.client_id: is missing: the grant client_credentials takes client_id`},
		{"key of another grant", oauth2("subject", `"me"`), `upstream.crm.auth.subject: does not belong to the grant client_credentials`},
		{"key that signs nothing", oauth2("private_key", `"file:/k.pem"`), `upstream.crm.auth.private_key: does not belong to the grant client_credentials`},
		{"secret beside a key", crm("auth = { " + keyed + `, client_auth = "private_key_jwt", client_secret = "env:S" }`), `upstream.crm.auth.client_secret: is not sent where client_auth is "private_key_jwt"`},
		{"client without a key", oauth2("client_secret", "") + "client_auth = \"private_key_jwt\"\n", `upstream.crm.auth.private_key: is missing: client_auth "private_key_jwt" signs with it`},
		{"two proofs of a client", crm("auth = { " + keyed + `, client_assertion = "file:/t" }`), `upstream.crm.auth.client_assertion: is signed already: what is private_key for?`},
		{"assertion that is not sent", oauth2("client_assertion", `"file:/t"`), `upstream.crm.auth.client_assertion: is not sent where client_auth is "auto"`},
		{"algorithm", crm("auth = { " + keyed + `, algorithm = "HS256" }`), `upstream.crm.auth.algorithm = "HS256": must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA`},
		{"long assertion", crm("auth = { " + keyed + `, assertion_lifetime = "1h" }`), `upstream.crm.auth.assertion_lifetime = "1h": must be from 1s to 59m`},
		{"claims of another grant", crm("auth = { " + keyed + `, assertion_claims = { a = "b" } }`), `upstream.crm.auth.assertion_claims: does not belong to the grant client_credentials`},
		{"assertion without a key", signed("private_key", ""), `upstream.crm.auth.private_key: is missing: the grant jwt_bearer takes private_key`},
		{"assertion of nobody", signed("issuer", ""), `upstream.crm.auth.issuer: is missing: who signs the assertion? client_id would do, too`},
		{"claim with a key", signed("assertion_claims", `{ sub = "canary" }`), `upstream.crm.auth.assertion_claims.sub: is made from a key of its own`},
		{"claim that is no text", signed("assertion_claims", `{ n = 1 }`), `upstream.crm.auth.assertion_claims.n: must be text in quotes`},
		{"assertion in params", signed("params", `{ assertion = "canary" }`), `upstream.crm.auth.params.assertion: is sent by the grant jwt_bearer itself`},
		{"secret of no client", signed("client_secret", `"env:S"`), `upstream.crm.auth.client_id: is missing: whose is the client_secret, the private_key or the client_assertion?`},
		{"exchange for nothing", exchanged("subject_token", ""), `upstream.crm.auth.subject_token: is missing: the grant token_exchange takes subject_token`},
		{"type of a token", exchanged("subject_token_type", `"jwts"`), `upstream.crm.auth.subject_token_type = "jwts": must be one of access_token, refresh_token, id_token, jwt, saml1, saml2, or a URI, such as "urn:ietf:params:aws:token-type:aws4_request"; did you mean "jwt"?`},
		{"type of no token", exchanged("actor_token_type", `"jwt"`), `upstream.crm.auth.actor_token: is missing: actor_token_type is the type of one`},
		{"resource in params", exchanged("params", `{ resource = "x" }`), `upstream.crm.auth.params.resource: is sent by the grant token_exchange itself`},
		{"app without an id", app("app_id", ""), `upstream.crm.auth.app_id: is missing: type github_app takes app_id and installation_id and private_key, and may have repositories, permissions, api_url, not_expiry, refresh_before`},
		{"app 0", app("app_id", "0"), `upstream.crm.auth.app_id = 0: must be a number from 1 on`},
		{"repository with its owner", app("repositories", `["acme/site"]`), `upstream.crm.auth.repositories[0] = "acme/site": must be the name of one repository, without its owner`},
		{"permission", app("permissions", `{ contents = "reed" }`), `upstream.crm.auth.permissions.contents: must be one of read, write, admin; did you mean "read"?`},
		{"API in the open", app("api_url", `"http://ghe.example.com/api/v3"`), `upstream.crm.auth.api_url = "http://ghe.example.com/api/v3": must be https: the assertion of the app is sent there`},
		{"account without a key", account("key", ""), `upstream.crm.auth.key: is missing: type service_account takes key, and may have scopes, audience, subject, token_url, not_expiry, refresh_before`},
		{"account for nothing", account("scopes", ""), `upstream.crm.auth.scopes: is missing: what may the token do? Such as ["https://www.googleapis.com/auth/devstorage.read_only"]; or give an audience, for an ID token`},
		{"account for two things", account("audience", `"https://run.example.com"`), `upstream.crm.auth.audience: is for an ID token, which has no scopes`},
		{"two scopes in one", oauth2("scopes", `["a b"]`), `upstream.crm.auth.scopes[0] = "a b": must be one scope (RFC 6749 section 3.3), without spaces and quotes`},
		{"param with a key", oauth2("params", `{ scope = "canary" }`), `upstream.crm.auth.params.scope: has a key of its own`},
		{"param that is no text", oauth2("params", `{ n = 1 }`), `upstream.crm.auth.params.n: must be text in quotes`},
		{"login without a page", oauth2("grant", `"authorization_code"`), "upstream.crm.auth.authorize_url: is missing: the provider's page, which `outrider login` opens; or device_url, if it has logins for devices (RFC 8628)"},
		{"login with a token", login(`refresh_token = "env:R"`), "upstream.crm.auth.refresh_token: does not belong to the grant authorization_code, whose first one comes from `outrider login`; with one from elsewhere the grant is refresh_token"},
		{"login without TLS", oauth2("authorize_url", `"http://login.example.com/authorize"`), `upstream.crm.auth.authorize_url = "http://login.example.com/authorize": must be an https URL, since it is about a login`},
		{"device_url", oauth2("device_url", `"login.example.com"`), `upstream.crm.auth.device_url = "login.example.com": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"login param with a key", oauth2("authorize_params", `{ state = "canary" }`), `upstream.crm.auth.authorize_params.state: has a key of its own`},
		{"redirect to another machine", oauth2("redirect_url", `"http://10.1.2.3/callback"`), `upstream.crm.auth.redirect_url = "http://10.1.2.3/callback": must be at this machine, such as "http://127.0.0.1:8912/callback", or an https URL`},
		{"redirect with a query", oauth2("redirect_url", `"http://127.0.0.1/callback?a=b"`), `upstream.crm.auth.redirect_url: must not have a query: the answer comes there`},
		{"login of a rule", login("") + "[[upstream.crm.rule]]\nmatch = \"POST\"\nauth = { type = \"oauth2\", grant = \"authorization_code\", authorize_url = \"https://login.example.com/a\", token_url = \"https://login.example.com/t\", client_id = \"another\" }\n",
			"upstream.crm.rule[0].auth.grant: does not belong to a rule, unless its whole auth is that of the upstream: `outrider login` logs in to an upstream. Make it one of its own, with the same url"},
		{"refresh_before all", oauth2("refresh_before", `"100%"`), `upstream.crm.auth.refresh_before = "100%": must be a share of the lifetime, such as "20%", or a time, such as "5m"`},
		{"refresh_before without a unit", oauth2("refresh_before", "300"), `upstream.crm.auth.refresh_before = 300: must be a share of the lifetime, such as "20%", or a time, such as "5m"`},
		{"text for a table", crm(`auth = "canary"`), `upstream.crm.auth: must be a table: [upstream.crm.auth]`},
		{"no token", crm(`auth = { type = "bearer" }`), `upstream.crm.auth.token: is missing: type bearer takes token`},
		{"empty token", crm(`auth = { type = "bearer", token = "" }`), `upstream.crm.auth.token: must not be empty`},
		{"number for a token", crm(`auth = { type = "bearer", token = 123 }`), `upstream.crm.auth.token: must be a secret reference in quotes: "env:NAME", "file:/path", "exec:command args" or "keyring:NAME"`},
		{"key of another kind", crm(`auth = { type = "bearer", token = "env:T", name = "X" }`), `upstream.crm.auth.name: does not belong to type bearer, which takes token`},
		{"token for nothing", crm(`auth = { type = "none", token = "env:T" }`), `upstream.crm.auth.token: does not belong to type none, which takes no other key`},
		{"no password", crm(`auth = { type = "basic", username = "u" }`), `upstream.crm.auth.password: is missing: type basic takes username and password`},
		{"framing header", crm(`auth = { type = "header", name = "Host", value = "env:T" }`), `upstream.crm.auth.name = "Host": cannot carry a credential: this header belongs to the connection`},
		{"no header name", crm(`auth = { type = "header", name = "X Y", value = "env:T" }`), `upstream.crm.auth.name = "X Y": must be the name of a header: letters, digits and -`},
		{"line break in a prefix", crm(`auth = { type = "header", name = "X", value = "env:T", prefix = "a\nb" }`), `upstream.crm.auth.prefix: must not hold line breaks or control characters`},
		{"upper-case scheme", crm(`auth = { type = "bearer", token = "ENV:TOKEN" }`), `upstream.crm.auth.token: the scheme is written in lower case and without spaces: "env:…"`},
		{"variable", crm(`auth = { type = "bearer", token = "env:A B" }`), `upstream.crm.auth.token: must name an environment variable: "env:NAME"`},
		{"relative file", crm(`auth = { type = "bearer", token = "file:token" }`), `upstream.crm.auth.token: must name a file by its absolute path: "file:/run/secrets/token"`},
		{"no command", crm(`auth = { type = "bearer", token = "exec: " }`), `upstream.crm.auth.token: must name a command: "exec:command args"`},

		// Limits.
		{"cost of nothing", crm(`cost = 0`), `upstream.crm.cost = 0: must be at least 1`},
		{"cost that no window holds", crm("cost = 6\nlimit = [{ rate = \"5/s\" }, { rate = \"5/m\", shape = \"window\" }]"), `upstream.crm.cost = 6: must be at most 5: a window of 5/m holds no more`},
		{"cost of a rule that no window of its upstream holds", crm("limit = { rate = \"5/m\", shape = \"window\" }\nrule = [{ match = \"POST\", cost = 6 }]"), `upstream.crm.rule[0].cost = 6: must be at most 5: a window of 5/m holds no more`},
		{"cost of the upstream that no window of a rule holds", crm("cost = 6\nrule = [{ match = \"POST\", limit = { rate = \"0.5/m\", shape = \"window\" } }]"), `upstream.crm.rule[0].cost: must be at most 1: a window of 0.5/m holds no more`},
		{"nothing limited", crm(`limit = { learn = false }`), `upstream.crm.limit: limits nothing: needs a rate (such as rate = "100/s"), a concurrency, or learn; no limit at all is limit = []`},
		{"burst of a window", crm(`limit = { rate = "5/s", shape = "window", burst = 5 }`), `upstream.crm.limit.burst = 5: does not go with shape = "window", which spends the whole rate at once; leave one of them out`},
		{"burst of what is learned", crm(`limit = { burst = 5 }`), `upstream.crm.limit.burst = 5: belongs to a rate, and there is none`},
		{"dialect", crm(`limit = { dialect = "gitlub" }`), `upstream.crm.limit.dialect = "gitlub": must be one of auto, akamai, anthropic, atlassian, brevo, github, gitlab, hubspot, ietf, milliseconds, openai, reddit, salesforce, shopify, twitter, vimeo; did you mean "github"?`},
		{"burst of no rate", crm(`limit = { concurrency = 5, burst = 5 }`), `upstream.crm.limit.burst = 5: belongs to a rate, and there is none`},
		{"no calls", crm(`limit = { rate = "0/s" }`), `upstream.crm.limit.rate = "0/s": must be more than 0 calls, and at most 1000000000`},
		{"rate without time", crm(`limit = { rate = 100 }`), `upstream.crm.limit.rate = 100: must be calls per time, such as "100/s", "190/10s" or "5000/h"`},
		{"no unit of time", crm(`limit = { rate = "100/10" }`), `upstream.crm.limit.rate = "100/10": must be calls per time, such as "100/s", "190/10s" or "5000/h"`},
		{"negative burst", crm(`limit = { rate = "1/s", burst = -1 }`), `upstream.crm.limit.burst = -1: must be at least 0`},
		{"second of two", crm("[[upstream.crm.limit]]\nrate = \"1/s\"\n[[upstream.crm.limit]]\nrate = \"1/s\"\nshape = \"sharp\""), `upstream.crm.limit[1].shape = "sharp": must be one of auto, window, smooth`},
		{"per", crm(`limit = { rate = "1/s", per = "tenant" }`), `upstream.crm.limit.per = "tenant": must be one of credential, host, upstream`},
		{"limit that is no table", crm(`limit = "100/s"`), `upstream.crm.limit = "100/s": must be a table, [upstream.crm.limit], or several, [[upstream.crm.limit]]`},
		{"largest count", crm(`limit = { concurrency = 9223372036854775807 }`), `upstream.crm.limit.concurrency = 9223372036854775807: must be at most 1000000000`},

		// Answers.
		{"answer that is no list", crm(`answer = { status = 429, means = "busy" }`), `upstream.crm.answer: must be a list of tables: [[upstream.crm.answer]]`},
		{"answer that is no table", crm(`answer = [429]`), `upstream.crm.answer[0] = 429: must be a table: [upstream.crm.answer[0]]`},
		{"no status", crm(`answer = [{ header = "X", means = "busy" }]`), `upstream.crm.answer[0].status: is missing: of which answers? Such as 429, or [403, 429]`},
		{"no meaning", crm(`answer = [{ status = 429, header = "X" }]`), `upstream.crm.answer[0].means: is missing: one of exhausted, throttled, busy, refused, fault, failed, partial`},
		{"another meaning", crm(`answer = [{ status = 429, header = "X", means = "throttle" }]`), `upstream.crm.answer[0].means = "throttle": must be one of exhausted, throttled, busy, refused, fault, failed, partial; did you mean "throttled"?`},
		{"status of nothing", crm(`answer = [{ status = [], header = "X", means = "busy" }]`), `upstream.crm.answer[0].status: must be a status, such as 429, or a list of them`},
		{"status in quotes", crm(`answer = [{ status = "429", header = "X", means = "busy" }]`), `upstream.crm.answer[0].status = "429": must be a status, such as 429, or a list of them`},
		{"status on the way", crm(`answer = [{ status = 103, header = "X", means = "busy" }]`), `upstream.crm.answer[0].status = 103: must be at least 200`},
		{"one of several statuses", crm(`answer = [{ status = [429, 600], header = "X", means = "busy" }]`), `upstream.crm.answer[0].status[1] = 600: must be at most 599`},
		{"answer to be found nowhere", crm(`answer = [{ status = 429, means = "busy" }]`), `upstream.crm.answer[0]: needs one of field (such as "error.code"), header and graphql = true: where does the answer say it?`},
		{"answer to be found twice", crm(`answer = [{ status = 429, header = "X", field = "code", values = ["x"], means = "busy" }]`), `upstream.crm.answer[0]: needs one of field (such as "error.code"), header and graphql = true: where does the answer say it?`},
		{"number beside values", crm(`answer = [{ status = 200, field = "code", values = ["x"], at_least = 400, means = "failed" }]`), `upstream.crm.answer[0].at_least = 400: does not stand beside values or contains: write a second table`},
		{"condition without a field", crm(`answer = [{ status = 200, header = "X", unless = "data", means = "failed" }]`), `upstream.crm.answer[0]: at_least and unless belong to a field`},
		{"field that ends with any name", crm(`answer = [{ status = 200, field = "data.*", means = "failed" }]`), `upstream.crm.answer[0].field = "data.*": must end with a name: "*" stands for any one before it`},
		{"answers to no call", crm(`answer = [{ match = "POST graphql", status = 200, field = "errors", means = "failed" }]`), `upstream.crm.answer[0].match = "POST graphql": must be "METHOD /path", such as "POST /v1/charges/**"; several methods are joined by commas`},
		{"wait for what failed", crm(`answer = [{ status = 200, field = "errors", means = "failed", wait = "1s" }]`), `upstream.crm.answer[0].wait = "1s": does not belong to failed: nobody waits for it`},
		{"values and contains", crm(`answer = [{ status = 429, field = "code", values = ["x"], contains = ["y"], means = "busy" }]`), `upstream.crm.answer[0].contains: does not stand beside values: write a second table`},
		{"empty value", crm(`answer = [{ status = 429, field = "code", contains = [""], means = "busy" }]`), `upstream.crm.answer[0].contains[0] = "": must not be empty`},
		{"path with a gap", crm(`answer = [{ status = 429, field = "error..code", values = ["x"], means = "busy" }]`), `upstream.crm.answer[0].field = "error..code": must be names joined by dots, such as "error.code"`},
		{"header with a colon", crm(`answer = [{ status = 429, header = "X:", means = "busy" }]`), `upstream.crm.answer[0].header = "X:": must be the name of a header: letters, digits and -`},
		{"values of points", crm(`answer = [{ status = 200, graphql = true, values = ["x"], means = "throttled" }]`), `upstream.crm.answer[0]: graphql takes neither values nor contains: it looks for THROTTLED`},
		{"wait for what does not come back", crm(`answer = [{ status = 429, header = "X", means = "exhausted", wait = "60s" }]`), `upstream.crm.answer[0].wait = "60s": does not belong to exhausted: nobody waits for it`},

		// Retry.
		{"no attempt", crm(`retry.attempts = 0`), `upstream.crm.retry.attempts = 0: must be at least 1`},
		{"many attempts", crm(`retry.attempts = 11`), `upstream.crm.retry.attempts = 11: must be at most 10`},
		{"attempts in quotes", crm(`retry.attempts = "3"`), `upstream.crm.retry.attempts = "3": must be a whole number without quotes`},
		{"percent forgotten", crm(`retry.budget = 10`), `upstream.crm.retry.budget = 10: must be from 0 to 1, or from "0%" to "100%"`},
		{"over all", crm(`retry.budget = "101%"`), `upstream.crm.retry.budget = "101%": must be from 0 to 1, or from "0%" to "100%"`},
		{"a good status", crm(`retry.statuses = [503, 200]`), `upstream.crm.retry.statuses[1] = 200: must be at least 400`},
		{"a good status that did nothing", crm(`retry.unprocessed = [200]`), `upstream.crm.retry.unprocessed[0] = 200: must be at least 400`},
		{"base over cap", crm(`retry.base = "30s"`), `upstream.crm.retry.base = "30s": must not be longer than cap, which is 20s`},
		{"cap under base", crm(`retry.cap = "10ms"`), `upstream.crm.retry.cap = "10ms": must not be shorter than base, which is 100ms`},
		{"key for no header", crm(`retry.mint_key = true`), `upstream.crm.retry.mint_key = true: needs idempotency_header: in which header does the provider look for the key?`},
		{"no header", crm(`retry.idempotency_header = "a:b"`), `upstream.crm.retry.idempotency_header = "a:b": must be the name of a header: letters, digits and -`},
		{"credential as key", crm(`retry.idempotency_header = "Authorization"`), `upstream.crm.retry.idempotency_header = "Authorization": cannot carry a key: this header says something else, and requests have it that must not be sent twice`},
		{"framing as key", crm(`retry.idempotency_header = "transfer-encoding"`), `upstream.crm.retry.idempotency_header = "transfer-encoding": cannot carry a key: this header says something else, and requests have it that must not be sent twice`},

		// Circuit.
		{"short window", crm(`circuit.window = "30s"`), `upstream.crm.circuit.window = "30s": must be at least 40s, twice the longest attempt_timeout (20s): an attempt that takes longer than the window would not be counted`},
		{"no ratio", crm(`circuit.failure_ratio = 0`), `upstream.crm.circuit.failure_ratio = 0: must be more than 0 and at most 1 ("100%")`},
		{"over one", crm(`circuit.slow_ratio = 1.1`), `upstream.crm.circuit.slow_ratio = 1.1: must be more than 0 and at most 1 ("100%")`},
		{"answers kept for too long", crm(`stale_if_error = "25h"`), `upstream.crm.stale_if_error = "25h": must be between 0s, which is off, and 24h`},
		{"long silence", crm(`circuit.overdue = "61m"`), `upstream.crm.circuit.overdue = "61m": must be between 0s and 1h`},
		{"long ramp", crm(`circuit.ramp = "61m"`), `upstream.crm.circuit.ramp = "61m": must be between 0s and 1h`},
		{"open longer than its most", crm(`circuit = { open = "2m", open_max = "1m" }`), `upstream.crm.circuit.open = "2m": must not be longer than open_max, which is 1m`},

		// Rules.
		{"no match", crm("[[upstream.crm.rule]]\ntimeout = \"5s\""), `upstream.crm.rule[0].match: is missing: which calls? Such as "POST /v1/charges/**"`},
		{"one rule as a table", crm("[upstream.crm.rule]\nmatch = \"GET\""), `upstream.crm.rule: must be a list of tables: [[upstream.crm.rule]]`},
		{"lower-case method", crm("[[upstream.crm.rule]]\nmatch = \"get /a\""), `upstream.crm.rule[0].match = "get /a": methods are written in upper case, as they are sent`},
		{"path without slash", crm("[[upstream.crm.rule]]\nmatch = \"GET a\""), `upstream.crm.rule[0].match = "GET a": must be "METHOD /path", such as "POST /v1/charges/**"; several methods are joined by commas`},
		{"stars in a word", crm("[[upstream.crm.rule]]\nmatch = \"/a**\""), `upstream.crm.rule[0].match = "/a**": "**" must be a whole segment; "*" stands for a part of one`},
		{"circuit of a rule", crm("[[upstream.crm.rule]]\nmatch = \"GET\"\ncircuit = { open = \"1s\" }"), `upstream.crm.rule[0].circuit: does not belong in a rule: one circuit guards the whole upstream; set it in [upstream.NAME.circuit]`},
		{"never reached", crm("[[upstream.crm.rule]]\nmatch = \"GET\"\n[[upstream.crm.rule]]\nmatch = \"GET\""), `upstream.crm.rule[1].match = "GET": is the match of upstream.crm.rule[0] already, and the first one wins`},
		{"rule's own attempt", crm("[[upstream.crm.rule]]\nmatch = \"GET\"\nattempt_timeout = \"2m\"\n[upstream.crm.circuit]\nwindow = \"10m\""), `upstream.crm.rule[0].attempt_timeout = "2m": must not be longer than timeout, which is 1m`},
		{"rule's url", crm("[[upstream.crm.rule]]\nmatch = \"GET\"\nurl = \"https://x\""), `upstream.crm.rule[0].url: unknown key; it belongs in [store] or [upstream.NAME] or [upstream.NAME.connection.NAME]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := problems(t, tt.document).Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// An upstream goes out as the whole file does, unless it says otherwise.
func TestEgressIsInherited(t *testing.T) {
	f := mustParse(t, `
egress = { proxy = "http://proxy:3128", no_proxy = [".corp", "10.0.0.0/8"] }
[upstream.a]
url = "https://a.example.com"
[upstream.b]
url = "https://b.example.com"
proxy = "direct"
`)
	if want := (config.Egress{Proxy: "http://proxy:3128", NoProxy: ".corp,10.0.0.0/8"}); upstream(t, f, "a").Egress != want || f.Egress != want {
		t.Errorf("a goes through %+v, want %+v", upstream(t, f, "a").Egress, want)
	}
	if want := (config.Egress{Proxy: config.ProxyDirect}); upstream(t, f, "b").Egress != want {
		t.Errorf("b goes through %+v, want %+v", upstream(t, f, "b").Egress, want)
	}
}

// Whatever has an effect in NO_PROXY may stand in no_proxy. A URL was taken there, too, for the
// name of a host that nobody calls.
func TestEveryFormOfNoProxyIsRead(t *testing.T) {
	forms := []string{
		"*", "localhost", "A.example.com", "münchen.example", "corp.example.", "corp.example:", "a_b.corp:8443", ".corp", ".corp:443", "*.corp", "*.corp:443",
		"10.0.0.1", "10.0.0.1:3128", "::1", "[::1]:8080", "10.0.0.0/8", "10.1.2.3/8", "fd00::/8",
	}
	f := mustParse(t, `egress.no_proxy = ["`+strings.Join(forms, `", "`)+`"]`)
	if want := strings.Join(forms, ","); f.Egress.NoProxy != want {
		t.Errorf("got %s, want %s", f.Egress.NoProxy, want)
	}
}

// A URL without a password is no secret.
func TestPasswordInTheURLOfTheStoreEarnsAWarning(t *testing.T) {
	for url, warns := range map[string]bool{
		"postgres://outrider@db/tokens?sslmode=verify-full": false,
		"postgres://outrider:canary@db/tokens":              true,
		"postgresql://db/tokens?user=u&password=canary":     true,
		"env:DATABASE_URL":                                  false,
	} {
		warnings := mustParse(t, "store.url = \""+url+"\"").Warnings
		if got := strings.Join(warnings, "\n"); (got != "") != warns || strings.Contains(got, "canary") {
			t.Errorf("%s: warnings %q", url, warnings)
		}
	}
}

func TestSoundDocuments(t *testing.T) {
	for _, tt := range []struct{ name, document string }{
		{"port 0 for both", "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\""},
		{"loopback of IPv6", `listen = "[::1]:8080"`},
		{"loopback by name", `listen = "localhost:8080"`},
		{"same port of two hosts", "listen = \"127.0.0.1:8080\"\nadmin = \"127.0.0.2:8080\""},
		{"open with key", "listen = \":8080\"\naccess_key = \"env:K\""},
		{"intercept off", "forward.intercept = false\n" + crm("intercept = false\nrewrite_links = false")},
		{"sockets", "listen = \"unix:/run/outrider.sock\"\nadmin = \"unix:/run/outrider-admin.sock\"\n" + crm(`listen = "unix:/run/crm.sock"`)},
		{"proxies", "egress = { proxy = \"http://proxy:3128\", no_proxy = [\".corp\", \"10.0.0.0/8\"] }\n" + crm(`proxy = "env:PROXY"`)},
		{"oauth2 by a public client", crm(`auth = { type = "oauth2", grant = "refresh_token", token_url = "https://login.example.com/t", client_id = "id", refresh_token = "env:R" }`)},
		{"login by a public client", login("")},
		{"login of a device", crm(`auth = { type = "oauth2", grant = "authorization_code", token_url = "https://login.example.com/t", client_id = "id", device_url = "https://login.example.com/d" }`)},
		{"login at this machine", login(`redirect_url = "http://localhost:8912/callback"`)},
		{"login that leads back to a free port", login(`redirect_url = "http://localhost"`)},
		{"login that leads back to another page", login(`redirect_url = "https://example.com/callback"`)},
		{"login that a rule has from its upstream", login("") + "[[upstream.crm.rule]]\nmatch = \"POST\"\ntimeout = \"5s\"\n"},
		{"login page for another grant", oauth2("authorize_url", `"https://login.example.com/a"`)},
		{"oauth2 with a time", oauth2("refresh_before", `"5m"`)},
		{"assertion of a client", signed("issuer", "") + "client_id = \"id\"\n"},
		{"assertion of a client with a secret", signed("client_id", `"id"`) + "client_secret = \"env:S\"\n"},
		{"assertion of somebody else", oauth2("client_secret", "") + "client_assertion = \"file:/t\"\n"},
		{"exchange by nobody", exchanged("resource", `"https://api.example.com"`)},
		{"exchange by a client", exchanged("client_id", `"id"`) + "client_secret = \"env:S\"\n"},
		{"app", app("permissions", `{ contents = "read" }`)},
		{"app of a server", app("api_url", `"https://ghe.example.com/api/v3"`)},
		{"ID token", account("scopes", "") + "audience = \"https://run.example.com\"\n"},
		{"placeholder", crm(`auth = { type = "placeholder", value = "env:K" }`)},
		{"store by a reference", "store = { url = \"env:DATABASE_URL\", key = \"keyring:outrider\" }"},
		{"percent", crm(`retry.budget = "0%"`)},
		{"whole", crm("retry.budget = 1")},
		{"empty password", crm(`auth = { type = "basic", username = "env:K", password = "" }`)},
		{"address", `upstream.crm.url = "http://[::1]:9000/api"`},
		{"only a method", crm("[[upstream.crm.rule]]\nmatch = \"PROPFIND,X-Y\"")},
		{"a byte order mark", "\xef\xbb\xbflisten = \"127.0.0.1:1\""},
		{"shorter timeout than the attempt's default", crm(`timeout = "1s"`)},
	} {
		t.Run(tt.name, func(t *testing.T) { mustParse(t, tt.document) })
	}
}

func TestAllFaultsAreReportedAtOnceInTheirOrder(t *testing.T) {
	_, err := config.Parse("outrider.toml", []byte(`listen = 8080
acess_key = "canary"

[upstream.github]
url     = "https://api.github.com"
timeout = 5                # no unit
auth    = { type = "bearer", tokn = "canary" }

[upstream.github.retry]
attempts = 0
statuses = [
  503,
  "500",
]

[[upstream.github.rule]]
match = "GET"

[[upstream.github.rule]]
match = "POST /a"
note = """
[not.a.table]
key = 'canary'
"""
retry = { attempts = 99 }

[upstream.other]
`))
	want := strings.TrimSpace(`
outrider.toml:1: listen = 8080: must be text in quotes
outrider.toml:2: acess_key: unknown key; did you mean "access_key"?
outrider.toml:6: upstream.github.timeout = 5: must be a time with its unit (ms, s, m, h), such as "10s"
outrider.toml:7: upstream.github.auth.token: is missing: type bearer takes token
outrider.toml:7: upstream.github.auth.tokn: unknown key; did you mean "token"?
outrider.toml:10: upstream.github.retry.attempts = 0: must be at least 1
outrider.toml:11: upstream.github.retry.statuses[1] = "500": must be a whole number without quotes
outrider.toml:21: upstream.github.rule[1].note: unknown key; known here: match, timeout, attempt_timeout, idle_timeout, stale_if_error, replay_body, auth, cost, limit, answer, results, hedge, propagate, outbox, retry, circuit
outrider.toml:25: upstream.github.rule[1].retry.attempts = 99: must be at most 10
outrider.toml:27: upstream.other.url: is missing: where do calls go? Such as "https://api.example.com"`)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestHostsOfTwoUpstreamsMustNotOverlap(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		overlap    bool
	}{
		{"same name", `["x.com"]`, `["X.com"]`, true},
		{"other name", `["x.com"]`, `["y.com"]`, false},
		{"same wildcard", `["*.x.com"]`, `["*.x.com"]`, true},
		{"wildcard inside wildcard", `["*.x.com"]`, `["*.a.x.com"]`, true},
		{"wildcard around wildcard", `["*.c.b.a.x.com"]`, `["*.x.com"]`, true},
		{"wildcards beside each other", `["*.a.x.com"]`, `["*.b.x.com"]`, false},
		{"wildcard of a longer word", `["*.x.com"]`, `["*.ax.com"]`, false},
		{"exact name wins over wildcard", `["*.x.com"]`, `["a.x.com"]`, false},
		{"apex is not in the wildcard", `["*.x.com"]`, `["x.com"]`, false},
		{"other port", `["x.com:8443"]`, `["x.com:9443"]`, false},
		{"same port", `["x.com:8443"]`, `["x.com:8443"]`, true},
		{"port that the name stands for", `["x.com"]`, `["x.com:443"]`, true},
		{"port that the name does not stand for", `["x.com"]`, `["x.com:8443"]`, false},
		{"no names", `[]`, `[]`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("", []byte(`
[upstream.a]
url   = "https://one.example"
hosts = `+tt.a+`
[upstream.b]
url   = "https://two.example"
hosts = `+tt.b))
			if (err != nil) != tt.overlap {
				t.Fatalf("got %v, want overlap %v", err, tt.overlap)
			}
			if err != nil && (!strings.Contains(err.Error(), "upstream.a") || !strings.Contains(err.Error(), "upstream.b")) {
				t.Errorf("%v: does not name both", err)
			}
		})
	}
}

func TestHostsFollowFromTheURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://API.Example.com/v1", "api.example.com"},
		{"https://api.example.com:443", "api.example.com"},
		{"http://api.example.com:443", "api.example.com:443"},
		{"http://localhost:9000", "localhost:9000"},
		{"http://[::1]", "::1"},
		{"http://[::1]:9000", "[::1]:9000"},
	} {
		f := mustParse(t, `upstream.x.url = "`+tt.url+`"`)
		if got := upstream(t, f, "x").Hosts; !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: got %q, want %q", tt.url, got, tt.want)
		}
	}
}

func TestHostsAreGivenInOneForm(t *testing.T) {
	f := mustParse(t, crm(`hosts = ["A.example.com", "*.B.example.com:8443", "[::1]", "::2", "[0::3]:80"]`))
	want := []string{"a.example.com", "*.b.example.com:8443", "::1", "::2", "[::3]:80"}
	if got := upstream(t, f, "crm").Hosts; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWindowFollowsTheLongestAttempt(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		{"of the defaults", ``, "40s"},
		{"that is short", `attempt_timeout = "1s"`, "30s"},
		{"of a rule", "[[upstream.crm.rule]]\nmatch = \"GET\"\nattempt_timeout = \"50s\"", "1m40s"},
		{"written long enough", "circuit.window = \"2m\"", "2m"},
	} {
		u := upstream(t, mustParse(t, crm(tt.lines)), "crm")
		if got := config.Duration(u.Circuit.Window).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestOverdueFollowsTheLongestAttempt(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		{"of the defaults", ``, "5s"},
		{"that is short", `attempt_timeout = "2s"`, "1s"},
		{"of a rule", "[[upstream.crm.rule]]\nmatch = \"GET\"\nattempt_timeout = \"1m\"", "15s"},
		{"of a preset", `preset = "openai"`, "1m15s"},
		{"written", `circuit.overdue = "2s"`, "2s"},
		{"off", `circuit.overdue = "0s"`, "0s"},
	} {
		u := upstream(t, mustParse(t, crm(tt.lines)), "crm")
		if got := config.Duration(u.Circuit.Overdue).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTheLongestPauseFollowsTheFirst(t *testing.T) {
	for _, tt := range []struct{ name, lines, want string }{
		{"of the defaults", ``, "10s"},
		{"that is short", `circuit.open = "1s"`, "10s"},
		{"that is long", `circuit.open = "2m"`, "4m"},
		{"written long enough", `circuit = { open = "2m", open_max = "2m" }`, "2m"},
		{"written short", `circuit.open_max = "5s"`, "5s"},
	} {
		u := upstream(t, mustParse(t, crm(tt.lines)), "crm")
		if got := config.Duration(u.Circuit.OpenMax).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestUpstreamsAreSortedByName(t *testing.T) {
	f := mustParse(t, "upstream.b.url = \"https://b\"\nupstream.a.url = \"https://a\"")
	if f.Upstreams[0].Name != "a" || f.Upstreams[1].Name != "b" {
		t.Errorf("got %s, %s", f.Upstreams[0].Name, f.Upstreams[1].Name)
	}
}

func TestLiteralSecretsEarnWarningsThatDoNotShowThem(t *testing.T) {
	f := mustParse(t, `
access_key = "canary"
[upstream.a]
url  = "https://a.example"
auth = { type = "bearer", token = "canary" }
[upstream.b]
url  = "https://b.example"
auth = { type = "basic", username = "canary", password = "" }
[upstream.c]
url  = "https://c.example"
auth = { type = "basic", username = "visible", password = "env:C" }
`)
	want := []string{
		"access_key: literal secret; use env:NAME or file:PATH",
		"upstream.a.auth.token: literal secret; use env:NAME or file:PATH",
		"upstream.b.auth.username: literal secret; use env:NAME or file:PATH",
	}
	if !slices.Equal(f.Warnings, want) {
		t.Errorf("got %q, want %q", f.Warnings, want)
	}
	if got := string(upstream(t, f, "a").Auth.Token); got != "canary" {
		t.Errorf("the literal became %q", got)
	}
}

// A trial took max_wait = "65m" to be enough for a batch that waits for the next hour,
// and its calls were refused after their minute.
func TestAMaxWaitThatNoCallHasTheTimeForEarnsAWarning(t *testing.T) {
	f := mustParse(t, `
[upstream.a]
url   = "https://a.example"
limit = { rate = "1000/h", max_wait = "65m" }
[upstream.b]
url     = "https://b.example"
timeout = "10s"
limit   = [{ rate = "5/s" }, { rate = "1000/h", max_wait = "20s" }]
[[upstream.b.rule]]
match = "POST /batch"
limit = { rate = "1/s", max_wait = "1m" }
[upstream.c]
url   = "https://c.example"
limit = { rate = "1000/h", max_wait = "65m" }
[[upstream.c.rule]]
match   = "POST /batch"
timeout = "70m"
`)
	want := []string{
		"upstream.a.limit.max_wait: is longer than timeout (1m), which ends the wait before; make timeout longer, too",
		"upstream.b.rule[0].limit.max_wait: is longer than timeout (10s), which ends the wait before; make timeout longer, too",
		"upstream.b.limit[1].max_wait: is longer than timeout (10s), which ends the wait before; make timeout longer, too",
	}
	if !slices.Equal(f.Warnings, want) {
		t.Errorf("got %q, want %q", f.Warnings, want)
	}
}

func TestHedgingWithoutABudgetEarnsAWarning(t *testing.T) {
	f := mustParse(t, `
[upstream.a]
url   = "https://a.example"
hedge = true
retry = { attempts = 1, budget = "0%" }
[[upstream.a.rule]]
match = "GET /slow"
hedge = false
[[upstream.a.rule]]
match = "GET /slower"
hedge = true
retry = { budget = "5%" }
[upstream.b]
url   = "https://b.example"
hedge = true
retry = { attempts = 1 }
`)
	const why = `: sends no second request: each takes a retry from the upstream's retry.budget, which is 0%; make it "10%"`
	if want := []string{"upstream.a.hedge" + why, "upstream.a.rule[1].hedge" + why}; !slices.Equal(f.Warnings, want) {
		t.Errorf("got %q, want %q", f.Warnings, want)
	}
}

func TestHugeDocumentsAreRefused(t *testing.T) {
	if got, want := problems(t, strings.Repeat("#", 16<<20+1)).Error(), "is larger than 16MiB: this is no configuration"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A document that nests as deeply as its size allows must not use up the stack.
func TestDeepNestingIsAnError(t *testing.T) {
	problems(t, "a = "+strings.Repeat("[", 1<<19)+strings.Repeat("]", 1<<19-8))
	problems(t, strings.Repeat("a = {", 1<<17))
	problems(t, strings.Repeat("a.", 1<<12)+"b = 1")
}

// What goes without saying of a client, and of tokens.
func TestCredentialsThatAreFetched(t *testing.T) {
	auth := func(document string) config.Auth {
		t.Helper()
		return upstream(t, mustParse(t, document), "crm").Auth
	}
	for document, want := range map[string]string{
		oauth2("scopes", `[]`):                    "auto",
		crm("auth = { " + keyed + " }"):           "private_key_jwt",
		signed("subject", `"me"`):                 "none",
		signed("client_id", `"id"`):               "none",
		exchanged("resource", `"https://a.test"`): "none",
	} {
		if got := auth(document).ClientAuth; got != want {
			t.Errorf("client_auth %q, want %q, of\n%s", got, want, document)
		}
	}
	const jwt = "urn:ietf:params:oauth:token-type:jwt"
	x := auth(exchanged("actor_token", `"file:/a"`) + "requested_token_type = \"access_token\"\n")
	if x.SubjectTokenType != jwt || x.ActorTokenType != jwt || x.RequestedTokenType != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("exchange: %+v", x.TokenExchange)
	}
	if x := auth(exchanged("subject_token_type", `"urn:x:y"`)); x.SubjectTokenType != "urn:x:y" {
		t.Errorf("exchange: %+v", x.TokenExchange)
	}
	a := auth(app("repositories", `["a", "b"]`))
	if want := (config.GitHubApp{AppID: "1", InstallationID: "env:I", Repositories: "a b", APIURL: "https://api.github.com"}); a.GitHubApp != want || a.PrivateKey != "file:/k.pem" {
		t.Errorf("app: %+v", a.GitHubApp)
	}
}
