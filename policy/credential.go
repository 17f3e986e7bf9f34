package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// A Keeper keeps what a credential must not lose, for all processes that share it.
type Keeper = auth.Keeper

// A credential is one that is fetched: what it was made of, and its source.
type credential struct {
	upstream string // the first that has it
	key      string // path of its settings there
	auth     config.Auth
	endpoint string // where its tokens are had
	egress   config.Egress
	source   *auth.OAuth2
	login    string // the command that brings its first tokens; "": they come from elsewhere
}

// identity names what a credential is, wherever it is written: with it its tokens are
// found again after upstreams and rules were renamed, added or moved. A refresh token
// that was spent, and is sent again, ends the connection at many providers. What a
// login brought belongs to a connection of its upstream: see ConnectionID.
func identity(connection string, cfg config.Auth, endpoint string) string {
	if cfg.Grant == "authorization_code" {
		return connection
	}
	parts := []string{endpoint, cfg.Grant, string(cfg.ClientID), string(cfg.RefreshToken)}
	switch cfg.Grant {
	case "refresh_token":
	case "client_credentials":
		parts = append(parts, terms(cfg)...)
	default:
		parts = slices.Concat(parts, terms(cfg), shown(cfg))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	u, err := url.Parse(endpoint)
	if err != nil {
		u = &url.URL{}
	}
	return u.Host + "/" + hex.EncodeToString(sum[:12])
}

// ConnectionID names where a connection of an upstream keeps its tokens. connection is
// "" for the one that calls get which name none.
func ConnectionID(upstream, connection string) string {
	if connection == "" {
		return "connection/" + upstream
	}
	return "connection/" + upstream + "/" + connection
}

// terms are what a token is asked for.
func terms(cfg config.Auth) []string { return []string{cfg.Scopes, cfg.Audience, cfg.Params} }

// credential makes the source of a credential, or goes on with the one that another
// upstream or rule, or the configuration before, has made: its tokens live, and what
// it knows of its provider is not to be learned again. connection is where a login would
// keep its tokens.
func (c *compiler) credential(u *Upstream, key, name, connection string, cfg config.Auth) auth.Source {
	if !cfg.Fetched() {
		return c.source(key, cfg, u.Config.Placeholder())
	}
	endpoint, err := c.endpoint(key, name, cfg)
	if err != nil {
		return nil
	}
	id := identity(connection, cfg, endpoint)
	same := func(known *credential) bool {
		return known != nil && known.auth == cfg && known.endpoint == endpoint && known.egress == u.Config.Egress
	}
	here := c.fetched[id]
	if here != nil && cfg.Grant == "refresh_token" && !slices.Equal(terms(cfg), terms(here.auth)) {
		c.fail(key+".refresh_token", fmt.Errorf("is that of upstream.%s too, with other scopes, audience or params: one connection gives one kind of token", here.upstream))
	}
	known := here
	for _, before := range []*credential{c.old.credentials[name], c.before[id]} {
		if !same(known) && same(before) && before.upstream == u.Config.Name {
			known = before
		}
	}
	if !same(known) {
		if known == nil {
			known = c.before[id]
		}
		next := &credential{upstream: u.Config.Name, key: key, auth: cfg, endpoint: endpoint, egress: u.Config.Egress, login: loginCommand(u.Config.Name, name, cfg)}
		next.source = c.oauth2(u.Config, key, name, id, next, known)
		known = next
	}
	u.credentials[name] = known
	if here == nil {
		c.fetched[id] = known
	}
	return known.source
}

func (c *compiler) oauth2(u *config.Upstream, key, name, id string, cred, known *credential) *auth.OAuth2 {
	settings := c.oauth2Settings(u, key, name, cred)
	if settings.Transport == nil {
		return nil
	}
	var err error
	if c.env.Keep != nil {
		settings.Keeper, err = c.env.Keep(id)
		c.fault(key, err)
	}
	var source *auth.OAuth2
	if known != nil && known.source != nil {
		source, err = known.source.Successor(settings)
	} else {
		source, err = auth.NewOAuth2(settings)
	}
	c.fail(key, err)
	return source
}

// oauth2Settings are those of a credential, but where its tokens are kept.
func (c *compiler) oauth2Settings(u *config.Upstream, key, name string, cred *credential) auth.OAuth2Settings {
	cfg, upstream := cred.auth, u.Name // a credential outlives the configuration that it was made by
	settings := auth.OAuth2Settings{
		Grant: cfg.Grant, TokenURL: cred.endpoint,
		ClientID: c.secret(key+".client_id", cfg.ClientID), ClientSecret: c.secret(key+".client_secret", cfg.ClientSecret),
		Scopes: strings.Fields(cfg.Scopes), Audience: cfg.Audience, Params: named(cfg.Params),
		LoginCommand: loginCommand(u.Name, name, cfg), ClientAuth: cfg.ClientAuth, RefreshShare: cfg.RefreshShare, RefreshBefore: cfg.RefreshBefore, Lifetime: cfg.Lifetime,
		Placeholder: u.Placeholder(), Origin: cfg.Origin, Jitter: c.env.Jitter,
		NotExpiry: strings.FieldsFunc(cfg.NotExpiry, func(r rune) bool { return r == '\n' }),
		OnFlight: func(ctx context.Context, reason string) (context.Context, func(error)) {
			ctx = ofCall(ctx)
			if c.env.Work == nil {
				return ctx, func(error) {}
			}
			return c.env.Work(ctx, Event{Kind: EventRefresh, Upstream: upstream, Key: name, From: reason})
		},
		OnWait: func(ctx, flight context.Context, reason string, waited time.Duration) {
			c.env.Observe(ctx, Event{Kind: EventTokenWait, Upstream: upstream, Key: name, Reason: reason, Delay: waited, Work: flight})
		},
		OnRefresh: func(e auth.RefreshEvent) {
			c.env.Observe(context.Background(), Event{
				Kind: EventRefresh, Upstream: upstream, Key: name, From: e.Reason, Reason: refreshResult(e),
				Until: e.Expires, Delay: e.Took, Err: errors.Join(e.Err, e.NotKept),
			})
		},
		OnFound: func() {
			c.env.Observe(context.Background(), Event{Kind: EventFound, Upstream: upstream, Key: name})
		},
	}
	if cfg.RefreshToken != "" {
		// Not looked at before it is needed: it may be gone once its successor is kept.
		settings.RefreshToken = func() (string, error) { return c.env.Secret(cfg.RefreshToken) }
	}
	c.proof(key, cred, &settings)
	settings.Refused = func() {
		if c.env.Refused != nil {
			for _, ref := range cfg.References() {
				c.env.Refused(ref)
			}
		}
	}
	var err error
	if settings.Transport, err = c.env.TokenTransport(u); err != nil {
		c.fault(key+".token_url", err)
		settings.Transport = nil
	}
	return settings
}

// refreshResult says in a word of a small set how a refresh ended.
func refreshResult(e auth.RefreshEvent) string {
	refused, answered := errors.AsType[*auth.TokenError](e.Err)
	switch {
	case errors.Is(e.Err, auth.ErrRemoved):
		return "removed"
	case e.Err == nil && e.NotKept != nil:
		return "not-kept"
	case e.Err == nil:
		return "ok"
	case e.Dead:
		return "dead"
	case answered && refused.Code != "":
		return "refused"
	}
	return "failed"
}

// Fetches reports whether the upstream has, or may have, a credential that is fetched, by
// the name that its events have as their Key.
func (u *Upstream) Fetches(name string) bool {
	_, connection := strings.CutPrefix(name, ConnectionCredential(""))
	return u.credentials[name] != nil || connection && u.template != nil
}

// Configures reports whether a credential that is fetched stands in the configuration.
func (u *Upstream) Configures(name string) bool { return u.credentials[name] != nil }

// Login is the command by which somebody gives a credential that is fetched another grant;
// "": it comes from elsewhere.
func (u *Upstream) Login(name string) string {
	if known := u.credentials[name]; known != nil {
		return known.login
	}
	return loginCommand(u.Config.Name, name, u.Config.Auth)
}

// A CredentialStatus is the state of a credential. It holds no value.
type CredentialStatus struct {
	Name     string     `json:"name"`                       // "default", or the rule or the connection that has it
	State    string     `json:"state"`                      // none, live, refreshing, failing, dead; static: it is not fetched
	Usable   bool       `json:"usable"`                     // there is a token that is sent
	Obtained *time.Time `json:"obtained,omitempty"`         // when the token was
	Expires  *time.Time `json:"expires,omitempty"`          // when it does, if that is known
	Next     *time.Time `json:"next,omitempty"`             // refresh, ahead of that or after a failure
	Spaced   *time.Time `json:"passes_401_until,omitempty"` // a 401 leads to no refresh until then: 401s have had the token replaced just now
	Login    string     `json:"login,omitempty"`            // the command by which somebody logs in; "": the credential has no login
	Error    string     `json:"error,omitempty"`            // of the last token request
	NotKept  string     `json:"not_kept,omitempty"`         // why what a restart needs is in memory only
}

func (c *credential) status(name string) CredentialStatus {
	return credentialStatus(name, c.login, c.source.Status())
}

func credentialStatus(name, login string, s auth.OAuth2Status) CredentialStatus {
	status := CredentialStatus{Name: name, State: s.State, Usable: s.Usable,
		Obtained: known(s.Obtained), Expires: known(s.Expires), Next: known(s.NextRefresh),
		Spaced: known(s.Spaced), Login: login}
	if !s.NextTry.IsZero() {
		status.Next = known(s.NextTry)
	}
	if s.Err != nil {
		status.Error = s.Err.Error()
	}
	if s.NotKept != nil {
		status.NotKept = s.NotKept.Error()
	}
	return status
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
