package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// An authKind says which keys a kind of credential takes.
type authKind struct {
	name  string
	needs []string
	may   []string
}

var authKinds = []authKind{
	{name: "none"},
	{name: "bearer", needs: []string{"token"}},
	{name: "basic", needs: []string{"username", "password"}},
	{name: "header", needs: []string{"name", "value"}, may: []string{"prefix"}},
	{name: "query", needs: []string{"name", "value"}},
	{name: "placeholder", needs: []string{"value"}},
	{name: "oauth2", needs: []string{"grant", "token_url"}, may: append([]string{
		"client_secret", "client_assertion", "scopes", "audience", "params", "client_auth", "not_expiry", "refresh_before", "lifetime_default",
		"authorize_url", "device_url", "authorize_params", "redirect_url", "revoke_url"}, grantKeys()...)},
	{name: githubApp, needs: []string{"app_id", "installation_id", "private_key"}, may: []string{
		"repositories", "permissions", "api_url", "not_expiry", "refresh_before"}},
	{name: serviceAccount, needs: []string{"key"}, may: []string{
		"scopes", "audience", "subject", "token_url", "not_expiry", "refresh_before"}},
	{name: "sigv4", needs: []string{"access_key_id", "secret_access_key"}, may: []string{"session_token", "region", "service"}},
	{name: "passthrough"},
}

const (
	githubApp      = "github_app"
	serviceAccount = "service_account"
)

func authKindNames() []string {
	names := make([]string, len(authKinds))
	for i, kind := range authKinds {
		names[i] = kind.name
	}
	return names
}

// Placeholder is what a caller writes where the credential of this upstream
// belongs, and what it reads where a response would show it.
func (u *Upstream) Placeholder() string { return "outrider-placeholder-" + u.Name }

func authType(name string) string {
	return oneOf(authKindNames()...)(name)
}

// credential reads an auth table. It takes the place of the upstream's whole
// credential: merged ones would send half of one secret with half of another. (What
// a preset has put under it holds no part of a secret.)
func credential(key string) field[Policy] {
	return field[Policy]{key, func(n node, p *Policy) {
		auth := Auth{OAuth2: defaultOAuth2()}
		authKeys.read(n, &auth)
		if _, ok := n.raw.(map[string]any); !ok {
			return
		}
		if !n.has("type") {
			n.child("type").missing(authType(""))
			return
		}
		if i := slices.IndexFunc(authKinds, func(k authKind) bool { return k.name == auth.Type }); i >= 0 {
			authKinds[i].agrees(n, &auth)
			if !auth.Fetched() {
				auth.OAuth2 = OAuth2{}
			}
			p.Auth = auth
		}
	}, authKeys.paths()}
}

// agrees reports keys that the kind needs and does not have, or has and does
// not take.
func (k authKind) agrees(n node, auth *Auth) {
	for _, key := range authKeys.names() {
		place := n.child(key)
		switch {
		case key == "type" || !n.sound(key):
		case slices.Contains(k.needs, key):
			if !n.excused(key, *auth) {
				k.needed(place, key)
			}
		case slices.Contains(k.may, key):
		case key == "expires" && len(k.needs) > 0: // whatever has a value may end
		case n.has(key):
			place.deny("does not belong to type " + k.name + n.origin("type") + ", which takes " + k.takes())
		}
	}
	if k.name == "header" && n.sound("name") && n.has("name") {
		if problem := injectable(auth.Name); problem != "" {
			n.child("name").fail(problem)
		}
	}
	switch k.name {
	case "oauth2":
		grantAgrees(n, &auth.OAuth2)
	case githubApp:
		if auth.APIURL == "" {
			auth.APIURL = githubAPI
		}
	case serviceAccount:
		serviceAccountAgrees(n, &auth.OAuth2)
	}
	// With an empty password the user name is the whole credential.
	if k.name == "basic" && auth.Password == "" && auth.Username.Literal() {
		n.child("username").warnLiteral()
	}
}

// needed reports a key that is missing or empty. A password may be empty, but
// has to say so: some providers take their key as the user name.
func (k authKind) needed(place node, key string) {
	switch {
	case place.raw == nil:
		place.missing("type " + k.name + " takes " + k.takes())
	case place.raw == "" && key != "password":
		place.deny("must not be empty")
	}
}

func (k authKind) takes() string {
	keys := strings.Join(k.needs, " and ")
	if len(k.may) > 0 {
		keys += ", and may have " + strings.Join(k.may, ", ")
	}
	if keys == "" {
		return "no other key"
	}
	return keys
}

func headerName(name string) string {
	if !isToken(name) {
		return "must be the name of a header: letters, digits and -"
	}
	return ""
}

// framing are the headers that belong to a connection or frame a message: what
// is put into them would change where the message ends or where it goes.
var framing = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

func injectable(name string) string {
	lower := strings.ToLower(name)
	if problem := headerName(name); problem != "" {
		return problem
	}
	if slices.Contains(framing, lower) || strings.HasPrefix(lower, "outrider-") {
		return "cannot carry a credential: this header belongs to the connection"
	}
	return ""
}

// everyday are headers that requests carry whether they may be sent twice or not.
var everyday = []string{
	"accept", "accept-encoding", "authorization", "content-type", "cookie", "user-agent", "x-api-key",
}

// keyHeader takes the name of a header that can carry an idempotency key: a POST that
// has it may be sent again.
func keyHeader(name string) string {
	lower := strings.ToLower(name)
	if problem := headerName(name); problem != "" {
		return problem
	}
	if slices.Contains(framing, lower) || slices.Contains(everyday, lower) || strings.HasPrefix(lower, "outrider-") {
		return "cannot carry a key: this header says something else, and requests have it that must not be sent twice"
	}
	return ""
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// referenceProblem checks what follows the scheme. It never repeats the text.
func referenceProblem(s string) string {
	scheme := Reference(s).Scheme()
	rest := strings.TrimPrefix(s, scheme+":")
	switch scheme {
	case "env":
		if !envName.MatchString(rest) {
			return `must name an environment variable: "env:NAME"`
		}
	case "file":
		if !absolute(rest) {
			return `must name a file by its absolute path: "file:/run/secrets/token"`
		}
	case "exec":
		if strings.TrimSpace(rest) == "" {
			return `must name a command: "exec:command args"`
		}
	case "keyring":
		if rest == "" || strings.ContainsFunc(rest, unicode.IsSpace) {
			return `must name an entry of the system's keyring: "keyring:NAME"`
		}
	default:
		return nearReference(s)
	}
	return ""
}

// nearReference finds what was meant as a reference and would otherwise be
// taken for a literal secret, and sent.
func nearReference(s string) string {
	before, _, found := strings.Cut(s, ":")
	meant := strings.ToLower(strings.TrimFunc(before, unicode.IsSpace))
	if found && slices.Contains(schemes, meant) {
		return `the scheme is written in lower case and without spaces: "` + meant + `:…"`
	}
	return ""
}
