package policy

import (
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// An End is when a credential is of no use any more, and nothing but somebody can mend that:
// one that is refreshed has none.
type End struct {
	Credential string    // "default", the match of a rule, or a connection: as events have it as their Key
	What       string    // what ends: "token", "refresh token"
	At         time.Time // when
	Begun      time.Time // since when it is in use, as far as is known; zero: it is not
	Source     string    // who says so
	Login      string    // the command by which somebody mends it; "": the configuration has to have another value
}

// Who says when something ends.
const (
	saidByConfiguration = "expires in the configuration"
	saidByToken         = "the token itself"
	saidByProvider      = "the provider"
)

// dated is a source that knows when its secret ends.
type dated interface{ Ends() time.Time }

// Ends lists what is known of the ends of the upstream's credentials, those of connections
// among them that are in use here.
func (u *Upstream) Ends() []End {
	var ends []End
	add := func(e End) {
		if !e.At.IsZero() {
			ends = append(ends, e)
		}
	}
	static := func(name string, cfg config.Auth, source auth.Source) {
		add(End{Credential: name, What: "credential", At: cfg.Expires, Source: saidByConfiguration, Login: loginCommand(u.Config.Name, name, cfg)})
		if d, ok := source.(dated); ok {
			add(End{Credential: name, What: "token", At: d.Ends(), Source: saidByToken})
		}
	}
	told := make(map[string]bool)
	for _, plan := range u.Plans() {
		if !told[plan.Credential] {
			told[plan.Credential] = true
			static(plan.Credential, plan.Policy.Auth, plan.source)
		}
	}
	for _, named := range u.Config.Named {
		static(ConnectionCredential(named.Name), named.Auth, u.named[named.Name])
	}
	for name, c := range u.credentials {
		add(lapse(name, c.source.Status(), c.login))
	}
	for name, source := range u.connections.sources() {
		name = ConnectionCredential(name)
		add(lapse(name, source.Status(), loginCommand(u.Config.Name, name, u.Config.Auth)))
	}
	for name, at := range u.seen.tokens.first(time.Now()) {
		add(End{Credential: name, What: "token", At: at, Source: saidByProvider})
	}
	return ends
}

// leastLapse is the shortest lifetime of a refresh token whose end somebody is told of: one
// that lives for less is a session, and ends each night.
const leastLapse = 24 * time.Hour

// lapse is the end of a refresh token.
func lapse(name string, s auth.OAuth2Status, login string) End {
	if s.Lapses.IsZero() || s.Lapses.Sub(s.Obtained) < leastLapse {
		return End{}
	}
	return End{Credential: name, What: "refresh token", At: s.Lapses, Begun: s.Obtained, Source: saidByProvider, Login: login}
}
