package clients

import (
	"net/netip"
	"slices"
	"strings"
)

// thisMachine is what is never asked for through a proxy, in the forms that all
// clients understand: plain names and addresses, no networks and no wildcards.
var thisMachine = []string{"localhost", "127.0.0.1", "::1"}

// directHosts adds this machine to what was reached directly before.
func directHosts(before string) []string {
	var hosts []string
	for _, host := range append(strings.FieldsFunc(before, isSeparator), thisMachine...) {
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func isSeparator(r rune) bool { return r == ',' || r == ' ' || r == '\t' }

// nonProxyHosts says the same to Java, which knows a * at the beginning or at the
// end of a host, and no networks.
func nonProxyHosts(hosts []string) string {
	var patterns []string
	add := func(pattern string) {
		if !slices.Contains(patterns, pattern) {
			patterns = append(patterns, pattern)
		}
	}
	for _, host := range hosts {
		for _, pattern := range javaPatterns(host) {
			add(pattern)
		}
	}
	add("127.*") // Java's own default, which a list of ours takes the place of
	add("[::1]")
	return strings.Join(patterns, "|")
}

func javaPatterns(host string) []string {
	if network, err := netip.ParsePrefix(host); err == nil {
		return javaNetwork(network)
	}
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if address.Is6() {
			return []string{"[" + address.String() + "]"}
		}
		return []string{address.String()}
	}
	name, port, hasPort := strings.Cut(host, ":")
	if hasPort && port != "" {
		host = name // Java matches the host alone
	}
	switch {
	case strings.HasPrefix(host, "*"):
		return []string{host}
	case strings.HasPrefix(host, "."):
		return []string{"*" + host}
	}
	return []string{host, "*." + host} // a plain name covers what is below it
}

// javaNetwork is a network that ends at a dot; Java can say no other.
func javaNetwork(network netip.Prefix) []string {
	parts := strings.Split(network.Masked().Addr().String(), ".")
	bits := network.Bits()
	if !network.Addr().Is4() || bits == 0 || bits%8 != 0 {
		return nil
	}
	if bits == 32 {
		return []string{network.Addr().String()}
	}
	return []string{strings.Join(parts[:bits/8], ".") + ".*"}
}
