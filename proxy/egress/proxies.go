package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// A ProxyFunc chooses the proxy for a target, of which it gets scheme and
// host:port; nil is a direct connection. It is asked for each call, so it is
// quick, and gives the same *Proxy each time: connections are pooled by it.
type ProxyFunc func(target *url.URL) *Proxy

// FixedProxy sends everything through the proxy raw (see [ParseProxy]), except
// what noProxy names: hosts, .domains, addresses and prefixes, each with a port
// or without, or "*", as in NO_PROXY. localhost and loopback addresses are
// always called directly. raw "" is no proxy at all.
func FixedProxy(raw string, noProxy []string) (ProxyFunc, error) {
	if raw == "" {
		return nil, nil
	}
	p, err := ParseProxy(raw)
	if err != nil {
		return nil, err
	}
	return choose(p, p, strings.Join(noProxy, ",")), nil
}

// EnvironmentProxy reads, once, HTTP_PROXY for http targets, HTTPS_PROXY for
// https targets and tunnels, ALL_PROXY for what is missing of these, and
// NO_PROXY; of each the lower-case form first. Without any it returns nil. An
// error names the variable, not its value.
//
// A proxy that ours has is Outrider itself, whose user has set HTTP_PROXY and
// started it in the same shell: it is left out. This looks at literal addresses
// and localhost; another name for us is refused when it is dialled, if the
// guard denies our listeners. ours may be nil.
func EnvironmentProxy(getenv func(string) string, ours func(netip.AddrPort) bool) (ProxyFunc, error) {
	env := environment(getenv)
	http, err := env.proxy("HTTP_PROXY", ours)
	if err != nil {
		return nil, err
	}
	https, err := env.proxy("HTTPS_PROXY", ours)
	if err != nil {
		return nil, err
	}
	if http == nil && https == nil {
		return nil, nil
	}
	_, noProxy := env.get("NO_PROXY")
	return choose(http, https, noProxy), nil
}

type environment func(string) string

// get is a variable, and the name under which it was found.
func (env environment) get(name string) (found, value string) {
	for _, n := range []string{strings.ToLower(name), name} {
		// Who runs as a CGI program gets HTTP_PROXY from the field Proxy of
		// whatever client (httpoxy, CVE-2016-5385 and others).
		if n == "HTTP_PROXY" && env("REQUEST_METHOD") != "" {
			continue
		}
		if v := strings.TrimSpace(env(n)); v != "" {
			return n, v
		}
	}
	return "", ""
}

// proxy is the proxy that the variable or else ALL_PROXY names, nil for none.
func (env environment) proxy(name string, ours func(netip.AddrPort) bool) (*Proxy, error) {
	name, raw := env.get(name)
	if raw == "" {
		name, raw = env.get("ALL_PROXY")
	}
	if raw == "" {
		return nil, nil
	}
	p, err := ParseProxy(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.isOne(ours) {
		return nil, nil
	}
	return p, nil
}

// isOne reports that the proxy is one of our own listeners.
func (p *Proxy) isOne(ours func(netip.AddrPort) bool) bool {
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return false
	}
	hosts := []string{host}
	if isLocalhost(host) {
		hosts = []string{"127.0.0.1", "::1"}
	}
	guard := NewOpenGuard(ours)
	for _, h := range hosts {
		ap, err := netip.ParseAddrPort(net.JoinHostPort(h, port))
		if err != nil {
			continue
		}
		if _, denied := errors.AsType[*DeniedError](guard.Check(ap)); denied {
			return true
		}
	}
	return false
}

// choose applies NO_PROXY as Go programs do. That library gets the URLs without
// credentials: it only decides.
func choose(http, https *Proxy, noProxy string) ProxyFunc {
	cfg := httpproxy.Config{NoProxy: noProxy}
	if http != nil {
		cfg.HTTPProxy = http.String()
	}
	if https != nil {
		cfg.HTTPSProxy = https.String()
	}
	proxied := cfg.ProxyFunc()
	return func(target *url.URL) *Proxy {
		if u, err := proxied(target); u == nil || err != nil {
			return nil // it has no error but that of CGI, which is not asked for
		}
		if target.Scheme == "https" {
			return https
		}
		return http
	}
}
