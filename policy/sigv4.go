package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"outrider/policy/auth"
	"outrider/policy/config"
)

// sigv4 makes the source of a credential that signs requests. For what its hosts do
// not tell there has to be a setting; a wildcard is looked at host by host, when it is
// called.
func (c *compiler) sigv4(u *config.Upstream, key string, p *config.Policy) auth.Source {
	cfg := p.Auth
	for _, host := range destinations(u, cfg) {
		scope := auth.ScopeOf(host)
		for _, part := range []struct{ key, set, told, such string }{
			{"region", cfg.Region, scope.Region, "eu-west-1"},
			{"service", cfg.Service, scope.Service, "execute-api"},
		} {
			if part.set == "" && part.told == "" {
				c.fail(key+"."+part.key, fmt.Errorf("is missing: the host %s does not tell it; such as %q", host, part.such))
			}
		}
	}
	settings := auth.SigV4Settings{
		AccessKeyID:     c.secret(key+".access_key_id", cfg.AccessKeyID),
		SecretAccessKey: c.secret(key+".secret_access_key", cfg.SecretAccessKey),
		SessionToken:    c.secret(key+".session_token", cfg.SessionToken),
		Scope:           auth.Scope{Region: cfg.Region, Service: cfg.Service},
		ReplayBody:      p.ReplayBody, Placeholder: u.Placeholder(), Origin: cfg.Origin,
	}
	settings.Refused = func() {
		if c.env.Refused != nil {
			for _, ref := range []config.Reference{cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken} {
				c.env.Refused(ref)
			}
		}
	}
	source, err := auth.NewSigV4(settings)
	c.fail(key, err)
	return source
}

// destinations are the hosts that calls with a credential go to, as far as they are
// written in the configuration.
func destinations(u *config.Upstream, a config.Auth) []string {
	if _, host, own := strings.Cut(a.Origin, "://"); own {
		return []string{host}
	}
	hosts := []string{u.URL.Host}
	if !hostCovered(u.Hosts, u.URL) {
		return hosts // the others are names for it
	}
	for _, host := range u.Hosts {
		if !strings.HasPrefix(host, "*.") && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// SigningScope says for people for which region and service the requests of an
// upstream are signed.
func SigningScope(u *config.Upstream, a config.Auth) string {
	hosts := destinations(u, a)
	for _, host := range u.Hosts {
		if rest, ok := strings.CutPrefix(host, "*"); ok { // tells what any two names below it agree on
			hosts = append(hosts, "a"+rest, "b"+rest)
		}
	}
	scope := auth.ScopeOf(hosts[0])
	for _, host := range hosts {
		next := auth.ScopeOf(host)
		scope.Region, scope.Service = common(scope.Region, next.Region), common(scope.Service, next.Service)
	}
	return "region " + cmp.Or(a.Region, scope.Region) + ", service " + cmp.Or(a.Service, scope.Service)
}

// common is a part of a scope that two hosts have in common.
func common(one, other string) string {
	if one == "" || one != other {
		return "of each host"
	}
	return one
}
