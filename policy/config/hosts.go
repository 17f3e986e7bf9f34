package config

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// readHost reads one of an upstream's hosts and gives it in lower case: "host",
// "host:port", "*.suffix" or "*.suffix:port". An IPv6 address has brackets only
// in front of a port.
func readHost(n node) (string, bool) {
	v, ok := readText(n)
	if !ok {
		return "", false
	}
	host, port := splitHost(strings.ToLower(v))
	if port != "" && (!validPort(port) || port[0] == '0') {
		n.fail("must have a port from 1 to 65535, or none")
		return "", false
	}
	below, wild := strings.CutPrefix(host, "*.")
	if wild && isIP(below) {
		n.fail("may have a wildcard only in front of a name: there is nothing below an address")
		return "", false
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Zone() == "" {
		host = ip.Unmap().String()
	} else if problem := hostProblem(below); problem != "" {
		n.fail(problem)
		return "", false
	}
	if port != "" {
		return net.JoinHostPort(host, port), true
	}
	return host, true
}

// splitHost takes "host:port" apart; without a port the whole is the host.
func splitHost(authority string) (host, port string) {
	host, port, err := net.SplitHostPort(authority)
	if err != nil || port == "" || strings.Contains(port, "/") {
		return strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]"), ""
	}
	return host, port
}

// hostProblem checks a name in lower case as DNS and its users write it: labels
// of at most 63 letters, digits, - and _, 253 in all (RFC 1035 §2.3.4; the
// underscore is no letter of host names, and yet it is found in them).
func hostProblem(host string) string {
	const form = `must be a host name, such as "api.example.com" or "*.example.com"`
	switch {
	case strings.Contains(host, "*"):
		return `may have a wildcard only as its first label, such as "*.example.com"`
	case strings.Contains(host, "/"):
		return form + ", without scheme and path"
	case strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }):
		return `must be written as it is in DNS ("xn--…")`
	case strings.HasSuffix(host, "."):
		return form + ", without a dot at the end"
	case len(host) > 253:
		return form
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(strings.ToLower(label)) {
			return form
		}
	}
	return ""
}

func validLabel(label string) bool {
	for i := range len(label) {
		c := label[i]
		if !isAlphanumeric(c) && c != '_' && (c != '-' || i == 0 || i == len(label)-1) {
			return false
		}
	}
	return label != "" && len(label) <= 63
}

// A claim is one host that one upstream names.
type claim struct {
	place    node   // where it is written
	upstream string // "upstream.github"
	host     string // as shown
	ports    []string
}

// overlapping reports hosts that two upstreams claim: the same name, the same
// wildcard, or one wildcard inside another. An exact name inside a wildcard of
// another upstream is no overlap: the exact name wins.
//
// A host without a port stands for the ports 80, 443 and that of the upstream's
// url; two claims overlap only where they share one.
func overlapping(n node, upstreams []Upstream) {
	claims := map[string][]claim{} // host without port → who claims it
	for i := range upstreams {
		u := &upstreams[i]
		for _, c := range claimsOf(n.child(u.Name), u) {
			name, _ := splitHost(c.host)
			reportOverlap(c, name, claims)
			claims[name] = append(claims[name], c)
		}
	}
	// A wildcard inside another: which of the two is read first depends on
	// names, so this has to wait until all are known.
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		rest, ok := strings.CutPrefix(name, "*.")
		for ok {
			if _, rest, ok = strings.Cut(rest, "."); ok {
				for _, c := range claims[name] {
					reportOverlap(c, "*."+rest, claims)
				}
			}
		}
	}
}

func reportOverlap(c claim, name string, claims map[string][]claim) {
	for _, other := range claims[name] {
		if other.upstream != c.upstream && slices.ContainsFunc(c.ports, func(p string) bool { return slices.Contains(other.ports, p) }) {
			c.place.log.add(Error{Key: c.place.path, Problem: `"` + c.host + `" of ` + c.upstream + ` overlaps "` + other.host + `" of ` +
				other.upstream + "; a host belongs to one upstream (hosts = [] leaves an upstream to its base URL alone)"})
			return
		}
	}
}

// claimsOf places each host where it was written; a host that follows from the
// url stands there.
func claimsOf(n node, u *Upstream) []claim {
	defaults := []string{"80", "443"}
	if u.URL != nil && u.URL.Port() != "" {
		defaults = append(defaults, u.URL.Port())
	}
	place := n.child("hosts")
	if !n.has("hosts") {
		place = n.child("url")
	}
	claims := make([]claim, len(u.Hosts))
	for i, host := range u.Hosts {
		claims[i] = claim{place, n.path, host, defaults}
		if _, port := splitHost(host); port != "" {
			claims[i].ports = []string{port}
		}
	}
	return claims
}
