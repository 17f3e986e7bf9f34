package egress

import "strings"

// key names an authority, and the way to it: where connections lead to.
type key struct {
	tls    bool
	host   string // lower-case, with the port if it is not the scheme's own
	via    *Proxy // nil: direct
	tunnel bool   // plain HTTP by CONNECT, where the proxy would get absolute-form
}

// forwarded reports that the proxy reads the requests itself, instead of
// passing bytes.
func (k key) forwarded() bool { return k.via != nil && !k.tls && !k.tunnel }

// addr is host:port, "" for no host.
func (k key) addr() string {
	if k.host == "" || hasPort(k.host) {
		return k.host
	}
	return k.host + schemePort(k.tls)
}

// hostKey is ascii, a host in the form of asciiHost, as a key has it: a part of
// it, as a rule. Ports are taken off only where addr puts them back.
func hostKey(ascii string, tls bool) string {
	host := strings.TrimSuffix(ascii, ":")
	if bare, own := strings.CutSuffix(host, schemePort(tls)); own && bare != "" && !hasPort(bare) {
		host = bare
	}
	return lower(host)
}

// authorityOf is host as lower-case host:port in ASCII, with the scheme's port
// if it has none.
func authorityOf(host string, tls bool) (string, error) {
	ascii, err := asciiHost(host)
	return key{tls: tls, host: hostKey(ascii, tls)}.addr(), err
}

func schemePort(tls bool) string {
	if tls {
		return ":443"
	}
	return ":80"
}

// hasPort: the port is what follows the last colon outside of brackets.
func hasPort(host string) bool {
	colon := strings.LastIndexByte(host, ':')
	return colon > strings.LastIndexByte(host, ']') && colon < len(host)-1
}
