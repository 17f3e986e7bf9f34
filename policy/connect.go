package policy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// An UnknownConnectionError ends a call that names a connection which there is not. It
// never gets another credential in its place.
type UnknownConnectionError struct {
	Name string
	Why  string // there can be none; "": there could be
}

func (e *UnknownConnectionError) Error() string {
	name := e.Name
	if len(name) > 80 {
		name = name[:80] + "…"
	}
	text := fmt.Sprintf("there is no connection %s of this upstream", strconv.QuoteToASCII(name))
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}

// Refusal names the error for the answer to the caller.
func (e *UnknownConnectionError) Refusal() (reason string, retryAfter time.Duration) {
	return "unknown-connection", 0
}

var errShuttingDown = errors.New("shutting down")

// A Way is what a call goes through that names a connection, and where it leads.
type Way struct {
	http.RoundTripper
	Origin // of the connection; zero: where calls of its upstream go
}

// An Origin is where a connection is, and alone its credential goes.
type Origin struct{ Scheme, Host string }

// Serves reports whether a client that asks us, its proxy, for an authority asks for the
// origin. Clients write http:// for what we send over TLS.
func (o Origin) Serves(authority string) bool {
	name, port := splitAuthority(authority)
	own, ownPort := splitAuthority(o.Host)
	return name == own && (port == ownPort || ownPort == "" && (port == "80" || port == "443"))
}

func (o Origin) String() string { return o.Scheme + "://" + o.Host }

// Connect gives the way of a call that names a connection, with its credential, quota
// and circuit. It is made for the call: a few small allocations, in place of a chain in
// memory for each of thousands of connections. It waits for the store at most
// lookPatience, before the call's own clock begins. The error is an
// *UnknownConnectionError, an *auth.UnavailableError, or the cause of ctx.
func (p *Plan) Connect(ctx context.Context, name string) (Way, error) {
	source, err := p.connection(ctx, name)
	if err != nil {
		return Way{}, err
	}
	origin, err := p.upstream.origin(source)
	if err != nil {
		return Way{}, err
	}
	return Way{p.chain(source, p.upstream.connectionKeys(name)).Wrap(p.upstream.transport), origin}, nil
}

// origin is where a connection is, as it is now; zero: where calls of its upstream go. What
// was handed over has to be one of the hosts still: a reload may have changed those.
func (u *Upstream) origin(source auth.Source) (Origin, error) {
	at, ok := source.(interface{ Origin() string })
	if !ok || at.Origin() == "" {
		return Origin{}, nil
	}
	origin, problem := u.Config.ConnectionOrigin(at.Origin())
	if problem != "" {
		return Origin{}, &auth.UnavailableError{Err: errors.New("the url of the connection " + problem)}
	}
	scheme, host, _ := strings.Cut(origin, "://")
	return Origin{scheme, host}, nil
}

// connection finds the credential: in the configuration, or else in the store.
func (p *Plan) connection(ctx context.Context, name string) (auth.Source, error) {
	u := p.upstream
	switch problem := config.ConnectionName(name); {
	case problem != "":
		return nil, &UnknownConnectionError{Name: name, Why: problem}
	case !p.connects && p.Match != "":
		return nil, &UnknownConnectionError{Name: name, Why: "the rule " + p.Match + " has a credential of its own, and connections belong to that of the upstream"}
	case !p.connects:
		return nil, &UnknownConnectionError{Name: name, Why: "its auth is " + p.Policy.Auth.Type + ", which has none"}
	}
	if source := u.named[name]; source != nil {
		return source, nil
	}
	if u.template == nil {
		return nil, &UnknownConnectionError{Name: name}
	}
	if source, err := u.connections.known(name, u.template); source != nil || err != nil { // mostly
		return source, err
	}
	limit, asked := wholeTime(ctx, CallFrom(ctx), p.Policy.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, tookTooLong(limit, asked))
	defer cancel()
	return u.connections.find(ctx, name, u.template)
}

// nameless is the credential of calls that name no connection, where each has to.
type nameless struct{}

func (nameless) Token(context.Context, auth.Token) (auth.Token, error) {
	return auth.Token{}, &auth.UnavailableError{Err: errNameless}
}

var errNameless = errors.New("this upstream has a credential for each connection: name one, with the header Outrider-Connection")

// ConnectionCredential names a connection among the credentials of its upstream. No
// match of a rule reads like that.
func ConnectionCredential(name string) string { return "connection " + name }

// connections compiles those of the configuration, and what those of the store have in
// common.
func (c *compiler) connections(u *Upstream) {
	for _, named := range u.Config.Named {
		key := c.key + ".connection." + named.Name
		if named.Auth.Type == "sigv4" {
			own := u.Config.Policy
			own.Auth = named.Auth
			u.named[named.Name] = c.sigv4(u.Config, key, &own)
			continue
		}
		u.named[named.Name] = c.credential(u, key, ConnectionCredential(named.Name), ConnectionID(u.Config.Name, named.Name), named.Auth)
	}
	if u.connections = c.connected[u.Config.Name]; u.connections == nil {
		u.connections = newConnections()
		c.connected[u.Config.Name] = u.connections
	}
	if c.env.Keep != nil && handedOver(u.Config.Auth) {
		u.template = c.template(u)
	}
}

// handedOver reports whether the store can have credentials of a kind: what somebody
// has from a login of their own, or from a provider's page.
func handedOver(a config.Auth) bool {
	switch a.Type {
	case "oauth2":
		return a.Grant == "refresh_token" || a.Grant == "authorization_code"
	case "bearer", "basic", "header", "query", "placeholder":
		return true
	}
	return false
}

func (c *compiler) template(u *Upstream) *template {
	env, name := c.env, u.Config.Name
	// They share the way to the token endpoint: else there would be thousands of pools
	// with one connection each.
	once := sync.OnceValues(func() (http.RoundTripper, error) { return c.env.TokenTransport(u.Config) })
	env.TokenTransport = func(*config.Upstream) (http.RoundTripper, error) { return once() }
	t := &template{
		upstream: u.Config, kept: env.Kept, observe: u.observeConnection(env.Observe),
		keep: func(connection string) (Keeper, error) { return env.Keep(ConnectionID(name, connection)) },
	}
	t.make = func(connection string, keeper Keeper, before keptSource) (keptSource, error) {
		common := t.auth()
		if common.Type != "oauth2" {
			return auth.NewKept(auth.Settings{Type: common.Type, Name: common.Name, Prefix: common.Prefix, Placeholder: u.Config.Placeholder()}, keeper)
		}
		lazy := &compiler{env: env, key: c.key}
		settings := lazy.oauth2Settings(u.Config, c.key+".auth", ConnectionCredential(connection), &credential{auth: common, endpoint: common.TokenURL})
		settings.Keeper = keeper
		if err := errors.Join(lazy.errs...); err != nil {
			return nil, err
		}
		if known, ok := before.(*auth.OAuth2); ok {
			return known.Successor(settings)
		}
		return auth.NewOAuth2(settings)
	}
	return t
}
