package framing

import (
	"bytes"
	"net/netip"
)

// checkHost accepts uri-host [ ":" port ] (RFC 9110 §7.2).
func checkHost(b []byte) *Error {
	host, port, err := splitPort(b)
	if err != nil {
		return err
	}
	if len(host) == 0 {
		return errHost
	}
	if len(port) > 0 && !portNumber(port) {
		return errPort
	}
	return nil
}

// checkConnect accepts authority-form: uri-host ":" port, where the port must be
// a number other than 0 (RFC 9112 §3.2.3, RFC 9110 §9.3.6).
func checkConnect(b []byte) *Error {
	host, port, err := splitPort(b)
	switch {
	case err != nil:
		return err
	case len(host) == 0 || len(port) == 0:
		return errConnect
	case !portNumber(port) || port[0] == '0':
		return errPort
	}
	return nil
}

// splitPort splits an authority without userinfo and checks its host. An empty
// host is left to the caller.
func splitPort(b []byte) (host, port []byte, err *Error) {
	end := bytes.IndexByte(b, ':')
	if len(b) > 0 && b[0] == '[' {
		switch end = literal(b); end {
		case 0:
			return nil, nil, errHost
		case len(b):
			end = -1
		}
	} else if bytes.IndexByte(b, '@') >= 0 {
		return nil, nil, errUserinfo
	}
	if end < 0 {
		host = b
	} else {
		host, port = b[:end], b[end+1:]
	}
	if len(host) > 0 && host[0] != '[' && !all(host, name) {
		return nil, nil, errHost
	}
	return host, port, nil
}

// literal is the length of the IPv6 address in brackets that b begins with and nothing but a
// port follows; 0 if there is none.
func literal(b []byte) int {
	end := bytes.IndexByte(b, ']') + 1
	if end == 0 || !ipv6(b[1:end-1]) || end < len(b) && b[end] != ':' {
		return 0
	}
	return end
}

// ipv6 reports whether b is an IPv6 address without a zone: a zone means
// something only on the machine that wrote it (RFC 6874 §1).
func ipv6(b []byte) bool {
	// The longest form is eight groups of four, or six and a dotted IPv4 address.
	if len(b) > 45 {
		return false
	}
	a, err := netip.ParseAddr(string(b))
	return err == nil && a.Is6() && a.Zone() == ""
}

// portNumber reports whether b is a decimal number that fits 16 bits, in its one
// spelling: "0443" is the port 443 to whoever connects, and another one to
// whoever compares.
func portNumber(b []byte) bool {
	if len(b) > 1 && b[0] == '0' {
		return false
	}
	n := 0
	for _, x := range b {
		if x < '0' || x > '9' {
			return false
		}
		if n = n*10 + int(x-'0'); n > 0xffff {
			return false
		}
	}
	return len(b) > 0
}
