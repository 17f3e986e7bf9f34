package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ConnectionOrigin reads the url of a connection: where its calls go, and alone its
// credential. It gives scheme, host and port, the scheme's own left out; the path is that
// of the upstream's url. What is wrong does not repeat the text. Whoever hands a connection
// over may have the name from its customer: where the hosts of the upstream have a
// wildcard, they say which names there can be.
func (u *Upstream) ConnectionOrigin(text string) (origin, problem string) {
	at, problem := parseURL(text)
	switch {
	case problem != "":
		return "", problem
	case at.Scheme == "http" && !loopback(net.JoinHostPort(at.Hostname(), "0")):
		return "", "must be https: the credential is sent there"
	case strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.ForceQuery:
		return "", "must be without path and query; the path of the upstream's url is put in front"
	case !u.covers(at):
		return "", "must be one of the upstream's hosts: " + strings.Join(u.Hosts, ", ")
	}
	host := authorityOf(at)
	if strings.Contains(host, ":") && host == at.Hostname() {
		host = "[" + host + "]"
	}
	return at.Scheme + "://" + strings.ToLower(host), ""
}

// covers reports whether a wildcard of the hosts, or a host beside it, stands for where a
// connection is. Hosts without a wildcard are those of the upstream, and say nothing of
// its connections.
func (u *Upstream) covers(at *url.URL) bool {
	host, port := strings.ToLower(at.Hostname()), at.Port()
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	if port == "" {
		port = defaultPorts[at.Scheme]
	}
	wild := false
	for _, entry := range u.Hosts {
		name, own := splitHost(entry)
		below, wildcard := strings.CutPrefix(name, "*")
		wild = wild || wildcard
		served := own == port || own == "" && (port == "80" || port == "443" || port == u.URL.Port())
		if served && (name == host || wildcard && strings.HasSuffix(host, below)) {
			return true
		}
	}
	return !wild
}
