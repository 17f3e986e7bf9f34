package egress

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// A Guard decides which addresses may be dialled. It judges the address that
// is really being connected, after name resolution, so that a name which
// resolves differently the second time gains nothing. It is immutable.
//
// Through a proxy the address that we connect is the proxy's. The operator named
// it, so it may be any but one of our own listeners. The target is judged too,
// as far as that goes from here: the package's documentation has the rules.
type Guard struct {
	public *ssrf.Guardian // nil: any address
	allow  []netip.Prefix
	deny   func(netip.AddrPort) bool
}

// NewGuard permits public unicast addresses and those in allow, on any port.
// Refused otherwise is everything in the IANA special-purpose registries
// (loopback, private, link-local and with it cloud metadata, carrier-grade NAT,
// documentation, multicast, …), every IPv6 address outside of 2000::/3 (so the
// NAT64 prefixes 64:ff9b::/96 and 64:ff9b:1::/48), 6to4 and Teredo.
//
// deny names what is refused although allow has it: our own listeners, so that
// a call cannot be sent back into ourselves. It may be nil.
func NewGuard(allow []netip.Prefix, deny func(netip.AddrPort) bool) *Guard {
	g := NewOpenGuard(deny)
	for _, p := range allow {
		g.allow = append(g.allow, unmapPrefix(p))
	}
	g.public = ssrf.New(ssrf.WithAnyPort())
	return g
}

// NewOpenGuard permits every address except those that deny names. It is for
// configured upstreams: whoever wrote the configuration may well mean a private
// address, but never one of our own listeners.
func NewOpenGuard(deny func(netip.AddrPort) bool) *Guard {
	return &Guard{deny: deny}
}

// A DeniedError is the guard's refusal, wrapped in an [Error] of kind
// AddressDenied.
type DeniedError struct {
	Addr   netip.AddrPort // the address that would have been dialled
	Host   string         // what was refused instead if it is no address
	Reason string         // what it is
	Remedy string         // the setting that would allow it, "" if none does
}

// Error implements error.
func (e *DeniedError) Error() string {
	what := e.Host
	if what == "" {
		what = e.Addr.String()
	}
	s := what + " is " + e.Reason
	if e.Remedy != "" {
		s += "; " + e.Remedy + " would allow it"
	}
	return s
}

// Refusal tells the layers above that it was us who refused: the host was not
// asked, and is not to blame.
func (e *DeniedError) Refusal() (reason string, retryAfter time.Duration) {
	return "address-denied", 0
}

// open is the guard for what the operator named: it refuses our own listeners.
func (g *Guard) open() *Guard {
	if g == nil {
		return nil
	}
	return NewOpenGuard(g.deny)
}

// control is the hook of net.Dialer between socket and connect.
func (g *Guard) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return &faultError{kind: AddressDenied, text: "network " + network + " is not TCP"}
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &faultError{kind: AddressDenied, text: "address is not an IP address and port"}
	}
	return g.Check(ap)
}

// Check returns a *DeniedError if ap must not be dialled.
func (g *Guard) Check(ap netip.AddrPort) error {
	// An IPv4-mapped address dials IPv4; a zone names an interface, not an address.
	ip := ap.Addr().Unmap().WithZone("")
	ap = netip.AddrPortFrom(ip, ap.Port())
	if g.isOurs(ap) {
		return &DeniedError{Addr: ap, Reason: "a listener of Outrider itself"}
	}
	if g.public == nil || g.permits(ip) {
		return nil
	}
	return &DeniedError{Addr: ap, Reason: "not a public address", Remedy: "forward.allow_private"}
}

func (g *Guard) isOurs(ap netip.AddrPort) bool {
	if g.deny == nil {
		return false
	}
	if g.deny(ap) {
		return true
	}
	// Connecting to the unspecified address reaches loopback.
	if ap.Addr().IsUnspecified() {
		return g.deny(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), ap.Port())) ||
			g.deny(netip.AddrPortFrom(netip.IPv6Loopback(), ap.Port()))
	}
	return false
}

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// Azure's platform endpoint (DNS, health, instance secrets) has an address
	// from a public range: no registry lists it.
	azurePlatform = netip.AddrFrom4([4]byte{168, 63, 129, 16})
)

func (g *Guard) permits(ip netip.Addr) bool {
	for _, p := range g.allow {
		if !p.Contains(ip) {
			continue
		}
		// Who allows the NAT64 prefix allows the public IPv4 behind it, not
		// 64:ff9b::7f00:1 (RFC 6052 §3.1).
		if nat64.Contains(ip) {
			b := ip.As16()
			return g.permits(netip.AddrFrom4([4]byte(b[12:])))
		}
		return true
	}
	return ip != azurePlatform && g.public.SafeAddr(ip) == nil
}

// unmapPrefix rewrites ::ffff:10.0.0.0/104 as 10.0.0.0/8: addresses are
// compared unmapped.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}
