package config

import (
	"net"
	"net/url"
	"strings"
)

// The words that egress.proxy knows beside URLs and references.
const (
	ProxyEnvironment = "environment" // what HTTPS_PROXY, HTTP_PROXY and NO_PROXY of our own process say
	ProxyDirect      = "direct"      // none
)

// readProxy reads where our own connections go through. Its messages do not
// repeat the text, since people put passwords into the URLs of proxies.
func readProxy(n node) (string, bool) {
	const form = `must be "environment", "direct", a URL such as "http://proxy.example.com:3128", or a reference to one, "env:NAME"`
	s, ok := n.raw.(string)
	if !ok || s == "" {
		n.deny(form)
		return "", false
	}
	if s == ProxyEnvironment || s == ProxyDirect {
		return s, true
	}
	if Reference(s).Scheme() != "" {
		if problem := referenceProblem(s); problem != "" {
			n.deny(problem)
			return "", false
		}
		return s, true
	}
	u, problem := parseURL(s)
	switch {
	case problem == problemUserinfo:
		n.deny(`must not hold a user name or password: put the whole URL into a secret, proxy = "env:NAME"`)
	case problem != "":
		n.deny(form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		n.deny("must be a URL without path and query")
	default:
		return s, true
	}
	return "", false
}

// readOwnProxy is readProxy for an upstream, where empty means that of the file.
func readOwnProxy(n node) (string, bool) {
	if n.raw == "" {
		return "", true
	}
	return readProxy(n)
}

// noProxy reads a list of hosts into the form of the variable NO_PROXY.
func noProxy(key string) field[Egress] {
	read := list(key, func(l *[]string) *[]string { return l }, readText, directProblem)
	return field[Egress]{key: key, read: func(n node, e *Egress) {
		var hosts []string
		read.read(n, &hosts)
		e.NoProxy = strings.Join(hosts, ",")
	}}
}

// directProblem checks what stands in NO_PROXY. Who applies it takes anything for the name
// of a host, so that a URL would be no error, and never be one that is called.
func directProblem(v string) string {
	const form = `must be a host, a ".suffix", an address or a network, such as "10.0.0.0/8"`
	if _, _, err := net.ParseCIDR(v); err == nil || v == "*" {
		return ""
	}
	host, port := splitHost(strings.TrimSuffix(strings.ToLower(v), ":"))
	name, below := strings.CutPrefix(host, "*.")
	if !below {
		name = strings.TrimPrefix(host, ".")
	}
	// A name of letters beyond ASCII is turned into that of DNS, and a dot at its end stays.
	name = strings.TrimSuffix(strings.Map(func(r rune) rune {
		if r >= 0x80 {
			return 'x'
		}
		return r
	}, name), ".")
	switch {
	case strings.Contains(v, "/"):
		return form + ", without scheme and path"
	case port != "" && (!validPort(port) || port[0] == '0'):
		return "must have a port from 1 to 65535, or none"
	case port == "" && strings.HasPrefix(v, "["):
		return form + "; an address has brackets only in front of a port"
	case net.ParseIP(host) != nil:
		return ""
	case isIP(name) || hostProblem(name) != "":
		return form
	}
	return ""
}

// inheritEgress gives the upstreams that name no proxy of their own the file's.
func inheritEgress(f *File) {
	for i := range f.Upstreams {
		if u := &f.Upstreams[i]; u.Egress.Proxy == "" {
			u.Egress = f.Egress
		}
	}
}

// URL is the proxy's URL where it is written in the document itself.
func (e Egress) URL() (*url.URL, bool) {
	if e.Proxy == ProxyEnvironment || e.Proxy == ProxyDirect || Reference(e.Proxy).Scheme() != "" {
		return nil, false
	}
	u, problem := parseURL(e.Proxy)
	return u, problem == ""
}
