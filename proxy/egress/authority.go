package egress

import "strings"

// key names an authority, and the way to it: where connections lead to.
type key struct {
	tls    bool
	tunnel bool   // plain HTTP by CONNECT, where the proxy would get absolute-form
	host   string // lower-case, with the port if it is not the scheme's own
	via    *Proxy // nil: direct
}

// forwarded reports that the proxy reads the requests itself, instead of
// passing bytes.
func (k key) forwarded() bool { return k.via != nil && !k.tls && !k.tunnel }

// addr is host:port, "" for no host.
func (k key) addr() string {
	if k.host == "" || hasColon(k.host) && !strings.HasSuffix(k.host, ":") {
		return k.host
	}
	return strings.TrimSuffix(k.host, ":") + schemePort(k.tls)
}

// hostKey is ascii, a host in the form of asciiHost, as a key has it: as a rule, a
// part of it. A port is taken off only where addr puts the same one back. What it
// returns is in the form of asciiHost, and its own hostKey.
func hostKey(ascii string, tls bool) string {
	bare, own := strings.CutSuffix(ascii, schemePort(tls))
	if !own {
		bare, own = strings.CutSuffix(ascii, ":")
	}
	if own && bare != "" && !hasColon(bare) {
		return lower(bare)
	}
	return lower(ascii)
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

// hasColon reports one outside of brackets, which a port follows.
func hasColon(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}
