package intercept_test

import (
	"net/netip"
	"testing"

	"outrider/proxy/intercept"
)

// The host comes from whoever connects.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"api.example.test", "API.example.test.", "10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0", "1.2.3.4.5", "10.1.2.3.", "*.test", "..", "a\x00b", "bücher.test"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		name, address, err := intercept.Normalise(host)
		if err != nil {
			return
		}
		again, stillAddress, err := intercept.Normalise(name)
		if again != name || stillAddress != address || err != nil {
			t.Errorf("%q → %q → %q, %v", host, name, again, err)
		}
		if ip, err := netip.ParseAddr(name); (err == nil) != address || address && ip.String() != name {
			t.Errorf("%q → %q, address %v", host, name, address)
		}
	})
}
