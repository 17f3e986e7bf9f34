package egress

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// lookupTimeout bounds the resolution of a name that a proxy will resolve again.
const lookupTimeout = 2 * time.Second

// checkTarget judges addr, host:port, which a proxy and not we will dial. An
// address is judged as ever. A name is looked up, and every address that it has
// must be permitted: which one the proxy takes, we do not see. A name that does
// not resolve here is for the proxy to judge, for in many corporate networks
// nothing outside resolves; and so is what it finds when it resolves the name
// by itself. An open guard looks nothing up.
func (g *Guard) checkTarget(ctx context.Context, addr string) error {
	if g == nil {
		return nil
	}
	if checkHostPort(addr) != nil {
		return &DeniedError{Host: addr, Reason: "not a host and a port"}
	}
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.ParseUint(port, 10, 16)
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.Check(netip.AddrPortFrom(ip, uint16(n)))
	}
	if g.public == nil {
		return nil
	}
	// The URL Standard decodes what is percent-encoded in a host (§3.5), the DNS
	// does not.
	if endsInNumber(host) || strings.IndexByte(host, '%') >= 0 {
		return &DeniedError{Host: host, Reason: "an address in a form that only some read as one"}
	}
	for _, ip := range lookup(ctx, host) {
		if err := g.Check(netip.AddrPortFrom(ip, uint16(n))); err != nil {
			return err
		}
	}
	return nil
}

// lookup is every address of a name, none if it does not resolve. localhost is
// loopback wherever it is resolved (RFC 6761 §6.3), so also at the proxy.
func lookup(ctx context.Context, host string) []netip.Addr {
	if isLocalhost(host) {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	return ips
}

func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// endsInNumber reports hosts like 127.1, 0x7f.0.0.1 and 2130706433: no name in
// the DNS, but an IPv4 address to inet_aton, which the proxy may well use (URL
// Standard §3.5).
func endsInNumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if isDigits(last) {
		return true
	}
	if len(last) < 2 || last[0] != '0' || last[1]|0x20 != 'x' {
		return false
	}
	for i := 2; i < len(last); i++ {
		if hexDigit(last[i]) < 0 {
			return false
		}
	}
	return true
}
