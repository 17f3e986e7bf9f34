package intercept

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// nowhere is the one DNS name that an issuer without DNS names is permitted: an
// empty list would permit all. RFC 6761 keeps .invalid from ever being a host.
const nowhere = "outrider.invalid"

// A NotPermittedError says that an issuer does not vouch for a host, because
// it is not one of its names.
type NotPermittedError struct {
	Host string
}

// Error implements error.
func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("%q is not one of the names that TLS is terminated for", e.Host)
}

// A scope is the set of names that an issuer may vouch for. It is immutable.
type scope struct {
	names   []string        // as given, in lower case, sorted, each once
	exact   map[string]bool // DNS name or address → true
	domains []string        // ".myshopify.com" for "*.myshopify.com"
}

// newScope reads "api.github.com", "*.myshopify.com" and "10.1.2.3". It reports
// all mistakes at once.
func newScope(names []string) (scope, error) {
	if len(names) == 0 {
		return scope{}, errors.New("an issuer needs at least one name that it is constrained to")
	}
	s := scope{exact: make(map[string]bool)}
	var errs []error
	for _, given := range names {
		suffix, wild := strings.CutPrefix(given, "*.")
		name, address, err := normalise(suffix)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("name %q: %w", given, err))
		case wild && address:
			errs = append(errs, fmt.Errorf("name %q: an address has no wildcard", given))
		case wild:
			s.domains = append(s.domains, "."+name)
			s.names = append(s.names, "*."+name)
		default:
			s.exact[name] = true
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	return s, errors.Join(errs...)
}

// permit gives host in the form that certificates have it.
func (s scope) permit(host string) (name string, address bool, err error) {
	name, address, err = normalise(host)
	if err != nil {
		return "", false, &NotPermittedError{Host: host}
	}
	if s.exact[name] {
		return name, address, nil
	}
	for _, domain := range s.domains {
		if !address && strings.HasSuffix(name, domain) {
			return name, false, nil
		}
	}
	return "", false, &NotPermittedError{Host: host}
}

// constrain writes the scope into a certificate's name constraints.
//
// The form is the tightest that is understood everywhere. OpenSSL 3.0, GnuTLS
// 3.7, NSS 3.87, Java 17 and crypto/x509 agree that ".x.test" permits a.x.test
// and b.a.x.test, and not x.test. RFC 5280 §4.2.1.10 itself has the leading dot
// only for URIs, and would have "x.test", which permits one name more.
func (s scope) constrain(c *x509.Certificate) {
	c.PermittedDNSDomainsCritical = true
	c.PermittedDNSDomains, c.PermittedIPRanges, c.ExcludedIPRanges = nil, nil, nil
	for _, name := range s.names {
		if ip, err := netip.ParseAddr(name); err == nil {
			c.PermittedIPRanges = append(c.PermittedIPRanges, network(ip, ip.BitLen()))
		} else {
			c.PermittedDNSDomains = append(c.PermittedDNSDomains, strings.TrimPrefix(name, "*"))
		}
	}
	if len(c.PermittedDNSDomains) == 0 {
		c.PermittedDNSDomains = []string{nowhere}
	}
	// A kind of name without any constraint is permitted as a whole, and there
	// is no address that is nobody's. With one that is permitted, of either
	// version, the others are not.
	if len(c.PermittedIPRanges) == 0 {
		c.ExcludedIPRanges = []*net.IPNet{network(netip.IPv4Unspecified(), 0), network(netip.IPv6Unspecified(), 0)}
	}
}

func network(ip netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}
}

// constraints gives the names that a certificate is constrained to, as
// [newScope] would have them.
func constraints(c *x509.Certificate) []string {
	var names []string
	for _, domain := range c.PermittedDNSDomains {
		switch {
		case domain == nowhere:
		case strings.HasPrefix(domain, "."):
			names = append(names, "*"+domain)
		default:
			names = append(names, domain)
		}
	}
	for _, ip := range c.PermittedIPRanges {
		names = append(names, ip.IP.String())
	}
	slices.Sort(names)
	return names
}

// fits says whether c is constrained to exactly this scope.
func (s scope) fits(c *x509.Certificate) bool {
	var want x509.Certificate
	s.constrain(&want)
	return c.PermittedDNSDomainsCritical &&
		slices.Equal(c.PermittedDNSDomains, want.PermittedDNSDomains) &&
		slices.EqualFunc(c.PermittedIPRanges, want.PermittedIPRanges, equalNetworks) &&
		slices.EqualFunc(c.ExcludedIPRanges, want.ExcludedIPRanges, equalNetworks)
}

func equalNetworks(a, b *net.IPNet) bool { return a.String() == b.String() }
