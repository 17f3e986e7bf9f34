package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"outrider/policy"
	"outrider/policy/config"
)

// loginView is what a login brought, for programs.
type loginView struct {
	Upstream   string     `json:"upstream"`
	Connection string     `json:"connection,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"` // the token; nil: the provider does not say
	Renewable  bool       `json:"renewable"`         // there is a refresh token
	Store      string     `json:"store"`             // where the tokens are kept
	Probe      *probeView `json:"probe,omitempty"`
}

// probeView is how the provider took the token.
type probeView struct {
	Call   string `json:"call"`
	Status int    `json:"status,omitempty"` // 0: there was no answer
	Error  string `json:"error,omitempty"`  // why
}

// loggedIn tells what a login brought, and whether the provider takes it.
func (c *commands) loggedIn(ctx context.Context, s *sidecar, l *policy.Login, pair policy.Pair, probe *http.Request) error {
	view := loginView{Upstream: l.Upstream.Name, Connection: l.Connection, Renewable: pair.Renewable(), Store: s.storage.text()}
	if !pair.Expires.IsZero() {
		view.Expires = &pair.Expires
	}
	if probe != nil {
		view.Probe = prove(ctx, l, pair, probe)
	}
	if c.json {
		if err := c.printJSON(view); err != nil {
			return err
		}
	} else {
		c.printLogin(l.Title(), pair.Expires.Sub(pair.Obtained), view)
	}
	if !view.Renewable {
		c.note("the provider gave no refresh token: %s", withoutRefresh(view.Expires))
	}
	c.noteOtherState(ctx, s.stateDir())
	return view.Probe.failure()
}

func prove(ctx context.Context, l *policy.Login, pair policy.Pair, probe *http.Request) *probeView {
	view := &probeView{Call: probe.Method + " " + probe.URL.Path}
	var err error
	if view.Status, err = l.Prove(ctx, pair, probe); err != nil {
		view.Error = err.Error()
	}
	return view
}

// failure is what is wrong with the token, as far as the answer to a probe says.
func (p *probeView) failure() error {
	switch {
	case p == nil || p.Status >= 200 && p.Status < 300:
		return nil
	case p.Error != "":
		return fmt.Errorf("%s could not be asked, so that nobody knows whether the token is taken; it is kept: %s", p.Call, p.Error)
	case p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%s was answered 401: the provider does not take the token that it gave; it is kept all the same: look at scopes, audience and the upstream's url", p.Call)
	}
	return fmt.Errorf("%s was answered %d; the tokens are kept", p.Call, p.Status)
}

func (c *commands) printLogin(title string, lifetime time.Duration, view loginView) {
	ends := "the provider does not say when its token ends"
	if view.Expires != nil {
		ends = "its token lives for " + config.Duration(lifetime.Round(time.Second)).String()
	}
	refresh := "with a refresh token"
	if !view.Renewable {
		refresh = "without a refresh token"
	}
	fmt.Fprintf(c.Stdout, "%s is logged in, %s; %s.\nTokens are kept in %s.\n", title, refresh, ends, view.Store)
	if view.Probe != nil && view.Probe.failure() == nil {
		fmt.Fprintf(c.Stdout, "%s was answered %d: the token is taken.\n", view.Probe.Call, view.Probe.Status)
	}
}

// withoutRefresh says what becomes of a login without a refresh token.
func withoutRefresh(expires *time.Time) string {
	const why = "Providers often give one only if asked: by a scope, such as offline_access, or by authorize_params, such as access_type = \"offline\" and prompt = \"consent\""
	if expires == nil {
		return "that is well if its tokens do not end; if they do, somebody has to log in again. " + why
	}
	return "somebody has to log in again when the token ends. " + why
}

// noteOtherState tells that the Outrider that runs does not see these tokens.
func (c *commands) noteOtherState(ctx context.Context, dir string) {
	n, err := c.neighbour(ctx)
	if err == nil && n != nil && n.stateDir != dir {
		c.note("the Outrider that runs keeps its tokens elsewhere, in %s: name its configuration with --config", n.stateDir)
	}
}
