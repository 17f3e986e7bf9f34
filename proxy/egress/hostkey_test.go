package egress

import "testing"

// FuzzHostKey: the host of a key is in its form already. A call that has it is not asked for it.
func FuzzHostKey(f *testing.F) {
	for _, host := range []string{"api.test", "API.test:443", "api.test:80:80", "[::1]:", "[fe80::1%25EN0]", "bücher.test", ":443", "a::443", "a!b:80"} {
		f.Add(host, true)
		f.Add(host, false)
	}
	f.Fuzz(func(t *testing.T, host string, tls bool) {
		ascii, err := asciiHost(host)
		if err != nil {
			return
		}
		key := hostKey(ascii, tls)
		if again, err := asciiHost(key); again != key || err != nil || hostKey(again, tls) != key {
			t.Errorf("of %q: %q, and of that %q, %q (%v)", host, key, again, hostKey(again, tls), err)
		}
	})
}
