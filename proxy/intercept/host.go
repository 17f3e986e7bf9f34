package intercept

import (
	"errors"
	"net/netip"
	"strings"
)

// normalise gives a DNS name or an IP address as it is compared and certified:
// in lower case, without the dot of the DNS root; an address in its shortest
// form, and IPv4 as IPv4.
func normalise(host string) (name string, address bool, err error) {
	host = strings.TrimSuffix(host, ".") // before all else: "10.1.2.3." is no DNS name either
	if mayBeAddress(host) {
		if ip, err := netip.ParseAddr(host); err == nil {
			if ip.Zone() != "" {
				return "", false, errors.New("a certificate is for an address without a zone")
			}
			return ip.Unmap().String(), true, nil
		}
	}
	name = strings.ToLower(host)
	if len(name) > 253 {
		return "", false, errors.New("a host name has at most 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return "", false, err
		}
	}
	return name, false, nil
}

// mayBeAddress spares names the parsing, whose error costs an allocation.
func mayBeAddress(host string) bool {
	if host == "" {
		return false
	}
	last := host[len(host)-1]
	return '0' <= last && last <= '9' || strings.Contains(host, ":")
}

// checkLabel takes letters, digits and hyphens (RFC 1123 §2.1), and underscores,
// which are in use inside of networks.
func checkLabel(label string) error {
	if label == "" || len(label) > 63 {
		return errors.New("a part of a host name has 1 to 63 characters")
	}
	for i := range len(label) {
		switch c := label[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c >= 0x80:
			return errors.New(`a host name is written as it is in DNS ("xn--…")`)
		default:
			return errors.New("it is neither a host name nor an IP address")
		}
	}
	return nil
}
