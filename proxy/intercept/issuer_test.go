package intercept_test

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/intercept"
)

const day = 24 * time.Hour

// above gives the certificate of the issuer of a leaf for host.
func above(t testing.TB, i *intercept.Issuer, host string) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(leafFor(t, i, host).Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIssuerIsConstrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		i := issuerFor(t, intercept.Open(t.TempDir()), "*.MyShopify.com", "api.github.com", "API.github.com.", "10.1.2.3", "::ffff:10.1.2.3", "2001:DB8::1")
		if want := []string{"*.myshopify.com", "10.1.2.3", "2001:db8::1", "api.github.com"}; !slices.Equal(i.Names(), want) {
			t.Errorf("names %q, want %q", i.Names(), want)
		}
		c := above(t, i, "api.github.com")
		if want := []string{".myshopify.com", "api.github.com"}; !slices.Equal(c.PermittedDNSDomains, want) || !c.PermittedDNSDomainsCritical {
			t.Errorf("permitted names %q, want %q, critical", c.PermittedDNSDomains, want)
		}
		if ips := c.PermittedIPRanges; len(ips) != 2 || ips[0].String() != "10.1.2.3/32" || ips[1].String() != "2001:db8::1/128" || len(c.ExcludedIPRanges) != 0 {
			t.Errorf("permitted addresses %v, excluded %v", ips, c.ExcludedIPRanges)
		}
		if !c.IsCA || !c.MaxPathLenZero || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
			t.Errorf("CA %v, path length %d, usage %v", c.IsCA, c.MaxPathLen, c.ExtKeyUsage)
		}
		if !c.NotBefore.Equal(now.Add(-time.Hour)) || !c.NotAfter.Equal(now.AddDate(1, 0, 0)) {
			t.Errorf("valid %s to %s", c.NotBefore, c.NotAfter)
		}
	})
}

func TestKindsOfNamesWithoutAnyAreClosed(t *testing.T) {
	names := above(t, issuerFor(t, intercept.Open(t.TempDir()), "api.github.com"), "api.github.com")
	if len(names.ExcludedIPRanges) != 2 || names.ExcludedIPRanges[0].String() != "0.0.0.0/0" || names.ExcludedIPRanges[1].String() != "::/0" {
		t.Errorf("excluded addresses %v", names.ExcludedIPRanges)
	}
	addresses := above(t, issuerFor(t, intercept.Open(t.TempDir()), "10.1.2.3"), "10.1.2.3")
	if !slices.Equal(addresses.PermittedDNSDomains, []string{"outrider.invalid"}) {
		t.Errorf("permitted names %v", addresses.PermittedDNSDomains)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	a := intercept.Open(filepath.Join(t.TempDir(), "state"))
	_, err := a.Issuer(nil)
	says(t, err, "at least one name")
	_, err = a.Issuer([]string{"fine.test", "host:443", "*.10.1.2.3", "a.*.test", "", "bücher.test", "fe80::1%eth0", "*."})
	says(t, err, `"host:443"`, `"*.10.1.2.3"`, `"a.*.test"`, `""`, `"bücher.test"`, "xn--", "zone", `"*."`)
}

func TestIssuerIsReusedWhileItFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		root := rootOf(t, a)
		first := above(t, issuerFor(t, a, "a.test", "b.test"), "a.test")
		time.Sleep(243 * day)
		if again := above(t, issuerFor(t, a, "B.test", "a.test"), "a.test"); !again.Equal(first) {
			t.Error("the same names, and another issuer")
		}
		if more := above(t, issuerFor(t, a, "a.test", "b.test", "c.test"), "a.test"); more.Equal(first) {
			t.Error("more names, and the same issuer")
		}
		if !rootOf(t, a).Equal(root) {
			t.Error("the root changed")
		}
	})
}

func TestIssuerIsReplacedWhenAThirdOfItsLifeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		first := above(t, issuerFor(t, a, "a.test"), "a.test")
		time.Sleep(245 * day) // of 366: the bubble's first year is a leap year
		if again := above(t, issuerFor(t, a, "a.test"), "a.test"); again.Equal(first) {
			t.Error("it is still used")
		}
	})
}

func TestIssuerDoesNotOutliveItsRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		root := rootOf(t, a)
		time.Sleep(time.Until(root.NotAfter) - 10*day)
		if c := above(t, issuerFor(t, a, "a.test"), "a.test"); !c.NotAfter.Equal(root.NotAfter) {
			t.Errorf("valid until %s, the root until %s", c.NotAfter, root.NotAfter)
		}
	})
}

// An issuer that is used for longer than it lives renews itself: nobody
// restarts a sidecar once a year.
func TestIssuerRenewsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		root := rootOf(t, a)
		i := issuerFor(t, a, "a.test")
		first := above(t, i, "a.test")
		time.Sleep(400 * day)
		leaf := leafFor(t, i, "a.test")
		if err := verify(root, leaf.Certificate, "a.test"); err != nil || above(t, i, "a.test").Equal(first) {
			t.Errorf("after its life: %v", err)
		}
	})
}

func TestRootKeyCanBeOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := intercept.Open(dir)
		i := issuerFor(t, a, "a.test", "b.test")
		first := above(t, i, "a.test")
		key := filepath.Join(dir, "ca", "root.key")
		os.Rename(key, key+".offline")

		if again := above(t, issuerFor(t, a, "a.test", "b.test"), "a.test"); !again.Equal(first) {
			t.Error("another issuer")
		}
		_, err := a.Issuer([]string{"a.test", "c.test"})
		says(t, err, "c.test is new", "b.test is gone", key, "put it back")

		// Old is no reason to stop, expired is.
		time.Sleep(365 * day)
		if again := above(t, issuerFor(t, a, "a.test", "b.test"), "a.test"); !again.Equal(first) {
			t.Error("another issuer")
		}
		leafFor(t, i, "a.test")
		time.Sleep(2 * day)
		_, err = i.Certificate("a.test")
		says(t, err, "expired on 2001-01-01", key, "put it back")

		os.Rename(key+".offline", key)
		if again := above(t, i, "a.test"); again.Equal(first) {
			t.Error("the same issuer, although it is expired")
		}
	})
}

func TestAnIssuerThatCannotBeReadIsNamed(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	issuerFor(t, a, "a.test")
	path := filepath.Join(dir, "ca", "issuer.pem")
	good := read(t, path)
	for _, bad := range [][]byte{nil, []byte("?"), good[:len(good)/2], slices.Concat(good[:700], []byte("!"), good[700:])} {
		write(t, path, bad)
		_, err := a.Issuer([]string{"a.test"})
		says(t, err, path, "Remove the file")
	}
	os.Remove(path)
	issuerFor(t, a, "a.test")
}

// Who brings a root of their own need not know of the issuer beside it.
func TestAnIssuerOfAnotherRootIsReplaced(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	a := intercept.Open(dir)
	issuerFor(t, a, "a.test")
	theirs := rootOf(t, intercept.Open(other))
	for _, name := range []string{"root.pem", "root.key"} {
		write(t, filepath.Join(dir, "ca", name), read(t, filepath.Join(other, "ca", name)))
	}
	if err := verify(theirs, leafFor(t, issuerFor(t, a, "a.test"), "a.test").Certificate, "a.test"); err != nil {
		t.Error(err)
	}
}

func TestHostsOutsideOfTheNamesAreRefused(t *testing.T) {
	i := issuerFor(t, intercept.Open(t.TempDir()), "api.github.com", "*.myshopify.com", "10.1.2.3")
	for _, host := range []string{"evil.test", "github.com", "x.api.github.com", "myshopify.com", "evilmyshopify.com", ".myshopify.com", "10.1.2.4", "::1", "", ".", "*.myshopify.com", "a b.myshopify.com", "a.myshopify.com:443"} {
		_, err := i.Certificate(host)
		var refused *intercept.NotPermittedError
		if !errors.As(err, &refused) || refused.Host != host {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"API.GitHub.com", "api.github.com.", "a.myshopify.com", "a.b.myshopify.com", "10.1.2.3", "::ffff:10.1.2.3"} {
		if _, err := i.Certificate(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// A disk that is full or read-only kept a start from using an issuer that had four
// months to go, while whoever had started earlier went on with it.
func TestAnOldIssuerThatCannotBeReplacedIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := intercept.Open(dir)
		first := above(t, issuerFor(t, a, "a.test"), "a.test")
		key := filepath.Join(dir, "ca", "root.key")
		os.Remove(key)
		os.Mkdir(key, 0o700) // it can be opened, and not be read, by root neither
		time.Sleep(300 * day)
		if again := above(t, issuerFor(t, a, "a.test"), "a.test"); !again.Equal(first) {
			t.Error("another issuer")
		}
		_, err := a.Issuer([]string{"b.test"})
		says(t, err, "reading "+key)
		time.Sleep(66 * day)
		_, err = a.Issuer([]string{"a.test"})
		says(t, err, "reading "+key)
	})
}
