package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/preset"
)

// A Code is what a provider's page gave for a login.
type Code = auth.Code

// A DeviceCode is what a device has for its user.
type DeviceCode = auth.DeviceCode

// A Pair is what a login brought.
type Pair = auth.Pair

// NewSecret makes text a secret.
func NewSecret(text string) auth.Secret { return auth.NewSecret(text) }

// loginCommand is what somebody runs to get the first tokens of a credential; "" where
// they come from elsewhere.
func loginCommand(upstream, credential string, cfg config.Auth) string {
	if cfg.Grant != "authorization_code" {
		return ""
	}
	connection, _ := strings.CutPrefix(credential, ConnectionCredential(""))
	if connection == credential {
		connection = ""
	}
	return LoginCommand(upstream, connection)
}

// LoginCommand is what somebody runs to log in to a connection of an upstream.
func LoginCommand(upstream, connection string) string {
	if connection == "" {
		return "outrider login " + upstream
	}
	return "outrider login " + upstream + " --connection " + connection
}

// A Login gets the first tokens of a connection from its provider. It shows no value.
type Login struct {
	Upstream   *config.Upstream
	Connection string      // "": the one that calls get which name none
	Auth       config.Auth // of the connection, which may have a client, and endpoints, of its own
	Probe      string      // a harmless call that shows whether the token is taken, "GET /me"; "": none is known

	source    *auth.OAuth2
	keeper    auth.Keeper
	origin    string // where the connection is; "": where calls of the upstream go
	clientID  func() (string, error)
	transport http.RoundTripper // to the upstream
}

// LoginID names where the tokens of a login are kept. The error says why there is none.
func LoginID(u *config.Upstream, connection string) (string, error) {
	switch {
	case u.Auth.Grant != "authorization_code":
		has := strings.TrimSpace(u.Auth.Type + " " + u.Auth.Grant)
		return "", fmt.Errorf(`upstream.%s.auth: is %s, which has no login; that of type "oauth2" with the grant "authorization_code" has one`, u.Name, has)
	case connection != "" && config.ConnectionName(connection) != "":
		return "", errors.New(config.ConnectionName(connection))
	}
	return ConnectionID(u.Name, connection), nil
}

// ConnectionTitle names a connection of an upstream for people.
func ConnectionTitle(upstream, connection string) string {
	if connection == "" {
		return upstream
	}
	return upstream + " (connection " + connection + ")"
}

// NewLogin prepares a login. It opens where the tokens will be kept, so that nobody logs
// in for nothing. Of env it uses the transports, Keep and Secret.
func NewLogin(u *config.Upstream, connection string, env Env) (*Login, error) {
	id, err := LoginID(u, connection)
	if err != nil {
		return nil, err
	}
	keep := env.Keep
	env.Keep = nil // a login puts nothing in use
	c := &compiler{env: env, key: "upstream." + u.Name}
	own := authOf(u, connection)
	l := &Login{Upstream: u, Connection: connection, Auth: own, Probe: probe(u), origin: own.Origin}
	l.clientID = func() (string, error) { return env.Secret(own.ClientID) }
	l.source = c.oauth2(u, c.key+".auth", "default", id, &credential{auth: own, endpoint: own.TokenURL}, nil)
	l.transport, err = env.Transport(u)
	c.fault(c.key, err)
	l.keeper, err = keep(id)
	c.fault(c.key, err)
	return l, errors.Join(c.errs...)
}

// authOf is the credential of a connection: one of the configuration may have a client,
// scopes and endpoints of its own.
func authOf(u *config.Upstream, connection string) config.Auth {
	for _, named := range u.Named {
		if named.Name == connection {
			return named.Auth
		}
	}
	return u.Auth
}

// probe is the call that the upstream's preset knows. It is written as a path of the
// provider's host, which an upstream with a base path does not begin with.
func probe(u *config.Upstream) string {
	known, ok := preset.Find(u.Preset)
	if !ok || strings.Trim(u.URL.Path, "/") != "" {
		return ""
	}
	return known.Probe
}

// Title names what is logged in to, for people.
func (l *Login) Title() string { return ConnectionTitle(l.Upstream.Name, l.Connection) }

// ClientID is that of the configuration, as it is now.
func (l *Login) ClientID() (string, error) { return l.clientID() }

// AuthorizeParams are the further parameters of the authorization request: the audience,
// and what the configuration has for it, which goes before.
func (l *Login) AuthorizeParams() map[string]string {
	params := map[string]string{}
	if audience := l.Auth.Audience; audience != "" {
		params["audience"] = audience
	}
	values, _ := url.ParseQuery(l.Auth.AuthorizeParams)
	for name := range values {
		params[name] = values.Get(name)
	}
	return params
}

// Redeem exchanges the code of a provider's page: see auth.OAuth2.
func (l *Login) Redeem(ctx context.Context, c Code) (Pair, error) { return l.source.Redeem(ctx, c) }

// Device asks for the code of a device.
func (l *Login) Device(ctx context.Context) (DeviceCode, error) {
	return l.source.Device(ctx, l.Auth.DeviceURL, l.AuthorizeParams())
}

// Await waits until the user of a device has agreed, or not.
func (l *Login) Await(ctx context.Context, d DeviceCode) (Pair, error) { return l.source.Await(ctx, d) }

// Keep puts p where those who run find it, in place of an earlier login. A connection that
// was handed over with a url stays there.
func (l *Login) Keep(ctx context.Context, p Pair) error {
	data, err := l.keeper.Load(ctx)
	if err != nil {
		return err
	}
	if kept, err := auth.Inspect(data); err == nil {
		p.Origin = kept.Origin
	}
	l.origin = cmp.Or(l.origin, p.Origin)
	return auth.Introduce(ctx, l.keeper, p)
}

// Logout takes away what a login brought, and reports whether there was anything. Where
// the configuration says where, the provider is told to revoke it; the error may be that
// it could not be told. Of env it uses Keep, and what that needs.
func Logout(ctx context.Context, u *config.Upstream, connection string, env Env) (there, told bool, err error) {
	id, err := LoginID(u, connection)
	if err != nil {
		return false, false, err
	}
	kept, err := env.Keep(id)
	if err != nil {
		return false, false, err
	}
	keeper, ok := kept.(auth.Forgetter)
	if !ok {
		return false, false, errCannotForget
	}
	own := authOf(u, connection)
	pair, err := auth.Forget(ctx, keeper)
	if err != nil || pair == nil || own.RevokeURL == "" {
		return pair != nil, false, err
	}
	env.Keep = nil
	c := &compiler{env: env, key: "upstream." + u.Name}
	source := c.oauth2(u, c.key+".auth", "default", "", &credential{auth: own, endpoint: own.TokenURL}, nil)
	if err := errors.Join(c.errs...); err != nil {
		return true, false, err
	}
	err = source.Revoke(ctx, own.RevokeURL, *pair)
	return true, err == nil, err
}

// errCannotForget is for a Keeper that is no auth.Forgetter.
var errCannotForget = errors.New("the store cannot forget")

// ProbeRequest makes a request of a call in words, such as "GET /me".
func (l *Login) ProbeRequest(call string) (*http.Request, error) {
	method, target, _ := strings.Cut(call, " ")
	path, query, _ := strings.Cut(strings.TrimSpace(target), "?")
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%q: must be a method and a path, such as \"GET /me\"", call)
	}
	u := *l.Upstream.URL
	u.RawQuery = query
	req, err := http.NewRequest(method, u.JoinPath(path).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", call, err)
	}
	req.Header.Set("User-Agent", "outrider")
	return req, nil
}

// proveTimeout is how long a provider has for the answer to Prove.
const proveTimeout = 20 * time.Second

// Prove sends a probe with the access token of p, and gives the status of the answer. It
// is asked where the connection is, which Keep may have found.
func (l *Login) Prove(ctx context.Context, p Pair, probe *http.Request) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, proveTimeout)
	defer cancel()
	req := probe.Clone(ctx)
	if l.origin != "" {
		at, problem := l.Upstream.ConnectionOrigin(l.origin)
		if problem != "" {
			return 0, errors.New("the url of the connection " + problem)
		}
		req.URL.Scheme, req.URL.Host, _ = strings.Cut(at, "://")
		req.Host = req.URL.Host
	}
	req.Header.Set("Authorization", "Bearer "+p.Access.Reveal())
	resp, err := l.transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
