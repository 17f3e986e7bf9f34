package egress_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"outrider/proxy/egress"
)

func TestGuardPermitsPublicUnicastOnly(t *testing.T) {
	g := egress.NewGuard(nil, nil)
	for _, addr := range []string{
		// This host, loopback, private, shared, link-local with the metadata
		// services of the clouds.
		"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"100.64.0.1", "100.100.100.200", "100.127.255.255", "169.254.169.254", "169.254.0.23", "169.254.170.2",
		// Assigned to protocols, documentation, benchmarks, relays.
		"192.0.0.1", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255",
		"192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1",
		// Multicast, reserved, broadcast.
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		// Azure's platform.
		"168.63.129.16",
		// IPv6: unspecified, loopback, unique local with AWS metadata,
		// link-local, site-local, multicast, discard, documentation, SRv6.
		"::", "::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
		"2001:db8::1", "3fff::1", "5f00::1",
		// IPv4 inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1",
		"64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::7f00:1",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", "2001:0:7f00:1::", "2001::1", "2001:0:53aa:64c:0:5601:8101:101",
		// Benchmarks, ORCHID, AMT, AS112, protocol assignments.
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:3::1", "2001:4:112::1", "2620:4f:8000::1", "2001:1::1",
	} {
		err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(addr), 443))
		var denied *egress.DeniedError
		if !errors.As(err, &denied) {
			t.Errorf("%s is permitted (%v)", addr, err)
			continue
		}
		plain := netip.MustParseAddr(addr).Unmap().WithZone("").String()
		if s := denied.Error(); !strings.Contains(s, plain) || !strings.Contains(s, "forward.allow_private") {
			t.Errorf("%s: %q names neither the address nor the setting", addr, s)
		}
	}
	for _, addr := range []string{
		"8.8.8.8", "1.1.1.1", "140.82.121.4", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.0.1.1",
		"198.17.255.255", "198.20.0.1", "223.255.255.255", "168.63.129.17", "::ffff:8.8.8.8",
		"2606:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2001:200::1", "2400:cb00::1",
	} {
		for _, port := range []uint16{22, 80, 443, 8443} {
			if err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(addr), port)); err != nil {
				t.Errorf("%s:%d: %v", addr, port, err)
			}
		}
	}
}

func TestGuardAllowsWhatItIsTold(t *testing.T) {
	g := egress.NewGuard([]netip.Prefix{
		netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16"),
		netip.MustParsePrefix("::ffff:192.168.7.0/120"), netip.MustParsePrefix("64:ff9b::/96"),
	}, nil)
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "fd12::1": true, "fd13::1": false,
		"192.168.7.9": true, "192.168.8.9": false,
		// NAT64 is a way to the public IPv4, not to what IPv4 refuses.
		"64:ff9b::808:808": true, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::a01:203": true, "64:ff9b:1::1": false,
	} {
		if err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(addr), 80)); (err == nil) != want {
			t.Errorf("%s: %v, want permitted %v", addr, err, want)
		}
	}
}

func TestOwnListenersAreRefusedAlways(t *testing.T) {
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	deny := func(ap netip.AddrPort) bool { return ap.Port() == 8080 && ap.Addr().IsLoopback() }
	for name, g := range map[string]*egress.Guard{
		"open": egress.NewOpenGuard(deny), "allows everything": egress.NewGuard(everything, deny),
	} {
		for addr, want := range map[string]bool{
			"127.0.0.1:8080": false, "[::1]:8080": false, "[::ffff:127.0.0.1]:8080": false, "0.0.0.0:8080": false, "[::]:8080": false,
			"127.0.0.1:8081": true, "10.0.0.1:8080": true, "169.254.169.254:80": true,
		} {
			err := g.Check(netip.MustParseAddrPort(addr))
			if (err == nil) != want {
				t.Errorf("%s: %s: %v, want permitted %v", name, addr, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "allow_private") {
				t.Errorf("%s: no setting allows it: %v", name, err)
			}
		}
	}
}

// The address is judged at the connect, by whatever name it goes.
func TestDialledAddressIsTheCheckedOne(t *testing.T) {
	s := serve(t, answer(hello))
	_, port, _ := net.SplitHostPort(s.addr)
	guard := egress.NewGuard(nil, nil)
	tr := newTransport(t, egress.Settings{Guard: guard})
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		for _, scheme := range []string{"http", "https"} {
			_, err := tr.RoundTrip(newRequest(t, "GET", scheme+"://"+host+":"+port+"/", nil))
			wantError(t, err, egress.AddressDenied, false)
			if !strings.Contains(err.Error(), "forward.allow_private") {
				t.Errorf("%v", err)
			}
		}
		_, err := egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", strings.Trim(host, "[]")+":"+port)
		if host[0] == '[' {
			_, err = egress.Dialer{Guard: guard}.Dial(context.Background(), "tcp", host+":"+port)
		}
		wantError(t, err, egress.AddressDenied, false)
	}
	if n := s.accepted.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
	for _, g := range []*egress.Guard{nil, egress.NewOpenGuard(nil), egress.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)} {
		get(t, newTransport(t, egress.Settings{Guard: g}), "http://"+s.addr+"/")
		c, err := egress.Dialer{Guard: g}.Dial(context.Background(), "tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(*net.TCPConn); !ok {
			t.Errorf("%T cannot be spliced", c)
		}
		c.Close()
	}
}
