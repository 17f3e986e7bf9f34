package intercept_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/intercept"
)

func TestLeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		a := intercept.Open(t.TempDir())
		i := issuerFor(t, a, "api.example.test", "10.1.2.3")
		c := leafFor(t, i, "API.example.test")
		leaf := c.Leaf
		if !slices.Equal(leaf.DNSNames, []string{"api.example.test"}) || len(leaf.IPAddresses) != 0 || leaf.Subject.CommonName != "api.example.test" || leaf.Subject.Organization[0] != "Outrider" {
			t.Errorf("names %q, addresses %v, subject %s", leaf.DNSNames, leaf.IPAddresses, leaf.Subject)
		}
		if !leaf.NotBefore.Equal(now.Add(-time.Hour)) || !leaf.NotAfter.Equal(now.Add(24*time.Hour)) {
			t.Errorf("valid %s to %s", leaf.NotBefore, leaf.NotAfter)
		}
		if leaf.IsCA || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || len(leaf.CRLDistributionPoints)+len(leaf.OCSPServer) != 0 {
			t.Errorf("CA %v, usage %v, CRLs %v, OCSP %v", leaf.IsCA, leaf.ExtKeyUsage, leaf.CRLDistributionPoints, leaf.OCSPServer)
		}
		issuer := above(t, i, "api.example.test")
		if len(c.Certificate) != 2 || len(leaf.AuthorityKeyId) == 0 || !bytes.Equal(leaf.AuthorityKeyId, issuer.SubjectKeyId) || !bytes.Equal(issuer.AuthorityKeyId, rootOf(t, a).SubjectKeyId) {
			t.Errorf("chain of %d, key IDs %x → %x", len(c.Certificate), leaf.AuthorityKeyId, issuer.SubjectKeyId)
		}
		address := leafFor(t, i, "10.1.2.3").Leaf
		if len(address.DNSNames) != 0 || len(address.IPAddresses) != 1 || !address.IPAddresses[0].Equal(net.IPv4(10, 1, 2, 3)) || address.Subject.CommonName != "" {
			t.Errorf("names %q, addresses %v, subject %s", address.DNSNames, address.IPAddresses, address.Subject)
		}
		if address.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			t.Error("two leaves with one serial number")
		}
	})
}

func TestLongHostHasNoCommonName(t *testing.T) {
	host := strings.Repeat("a", 60) + ".test"
	a := intercept.Open(t.TempDir())
	c := leafFor(t, issuerFor(t, a, host), host)
	if c.Leaf.Subject.CommonName != "" {
		t.Errorf("common name %q", c.Leaf.Subject.CommonName)
	}
	if err := verify(rootOf(t, a), c.Certificate, host); err != nil {
		t.Error(err)
	}
}

// crypto/tls on both sides, by name and by address.
func TestClientsTakeTheLeaf(t *testing.T) {
	a := intercept.Open(t.TempDir())
	i := issuerFor(t, a, "*.example.test", "::1", "10.1.2.3")
	roots := x509.NewCertPool()
	roots.AddCert(rootOf(t, a))
	for _, host := range []string{"a.example.test", "a.b.example.test", "::1", "10.1.2.3"} {
		near, far := net.Pipe()
		go tls.Server(far, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate(host) }}).Handshake()
		if err := tls.Client(near, &tls.Config{ServerName: host, RootCAs: roots}).Handshake(); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// This is the point of the constraints: the issuer's key, stolen, is worth
// nothing for another host.
func TestAStolenIssuerIsWorthNothingElsewhere(t *testing.T) {
	cases := []struct {
		names, good, bad []string
	}{
		{[]string{"api.example.test"}, []string{"api.example.test"}, []string{"evil.test", "example.test", "evilapi.example.test", "10.1.2.3", "::1"}},
		{[]string{"*.example.test"}, []string{"a.example.test", "a.b.example.test"}, []string{"example.test", "evilexample.test"}},
		{[]string{"10.1.2.3"}, []string{"10.1.2.3"}, []string{"10.1.2.4", "evil.test", "::1"}},
		{[]string{"2001:db8::1", "api.example.test"}, []string{"2001:db8::1", "api.example.test"}, []string{"2001:db8::2", "10.1.2.3", "evil.test"}},
	}
	for _, c := range cases {
		a := intercept.Open(t.TempDir())
		root, i := rootOf(t, a), issuerFor(t, a, c.names...)
		check := func(t *testing.T, verify func(leaf, issuer []byte, host string) (permitted bool, said string)) {
			for _, host := range slices.Concat(c.good, c.bad) {
				leaf, issuer, err := intercept.Forge(i, host)
				if err != nil {
					t.Fatal(err)
				}
				permitted, said := verify(leaf, issuer, host)
				if want := slices.Contains(c.good, host); permitted != want {
					t.Errorf("names %v, host %s: permitted %v, want %v: %s", c.names, host, permitted, want, said)
				}
			}
		}
		t.Run("crypto/x509", func(t *testing.T) {
			check(t, func(leaf, issuer []byte, host string) (bool, string) {
				err := verify(root, [][]byte{der(leaf), der(issuer)}, host)
				var invalid x509.CertificateInvalidError
				if err != nil && (!errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName) {
					t.Errorf("%s is refused for another reason: %v", host, err)
				}
				return err == nil, fmt.Sprint(err)
			})
		})
		t.Run("openssl", func(t *testing.T) {
			run := openssl(t)
			rootFile := writePEM(t, "root.pem", root.Raw)
			check(t, func(leaf, issuer []byte, host string) (bool, string) {
				dir := t.TempDir()
				out, err := run("verify", "-x509_strict", "-CAfile", rootFile, "-untrusted", write(t, filepath.Join(dir, "issuer.pem"), issuer), write(t, filepath.Join(dir, "leaf.pem"), leaf))
				if err != nil && !strings.Contains(out, "subtree violation") {
					t.Errorf("%s is refused for another reason: %s", host, out)
				}
				return err == nil, out
			})
		})
	}
}

func TestOneMintForAll(t *testing.T) {
	i := issuerFor(t, intercept.Open(t.TempDir()), "api.example.test")
	leaves := make([]*tls.Certificate, 200)
	var wg sync.WaitGroup
	for n := range leaves {
		wg.Go(func() {
			leaves[n], _ = i.Certificate([]string{"api.example.test", "API.example.test", "api.example.test."}[n%3])
		})
	}
	wg.Wait()
	for _, leaf := range leaves {
		if leaf == nil || leaf != leaves[0] {
			t.Fatal("not everybody got the same")
		}
	}
	if n := intercept.Minted(i); n != 1 {
		t.Errorf("%d were minted", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	i := issuerFor(t, intercept.Open(t.TempDir()), "*.example.test")
	first := leafFor(t, i, "first.example.test")
	for n := range 10_000 {
		leafFor(t, i, fmt.Sprintf("n%d.example.test", n))
		if n%1000 == 0 && leafFor(t, i, "first.example.test") != first {
			t.Fatal("what is in use was dropped")
		}
	}
	if n := intercept.Kept(i); n != 1024 {
		t.Errorf("%d are kept", n)
	}
}

func TestLeafIsReplacedWhenAQuarterOfItsLifeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := issuerFor(t, intercept.Open(t.TempDir()), "api.example.test")
		first := leafFor(t, i, "api.example.test")
		time.Sleep(18*time.Hour - time.Nanosecond)
		if leafFor(t, i, "api.example.test") != first {
			t.Error("replaced early")
		}
		time.Sleep(time.Nanosecond)
		if leafFor(t, i, "api.example.test") == first {
			t.Error("not replaced")
		}
		if n := intercept.Kept(i); n != 1 {
			t.Errorf("%d are kept", n)
		}
	})
}

func TestLeafDoesNotOutliveItsIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		root := rootOf(t, a)
		time.Sleep(time.Until(root.NotAfter) - time.Hour)
		if leaf := leafFor(t, issuerFor(t, a, "a.test"), "a.test").Leaf; !leaf.NotAfter.Equal(root.NotAfter) {
			t.Errorf("valid until %s, the root until %s", leaf.NotAfter, root.NotAfter)
		}
	})
}

// The monotonic clock of a machine stands still while it sleeps: a laptop that was
// opened after a weekend went on to show the leaf of Friday, which had expired, for
// as much of 18 hours as it had been awake before. What is compared has to be what
// clients compare.
func TestLeafAgesWhileTheMachineSleeps(t *testing.T) {
	i := issuerFor(t, intercept.Open(t.TempDir()), "api.example.test")
	leafFor(t, i, "api.example.test")
	if until := intercept.KeptUntil(i, "api.example.test"); until != until.Round(0) {
		t.Errorf("kept until %s, which is not on the wall clock alone", until)
	}
}

// A machine whose clock was ahead for a while, and was put right, had leaves that no
// client took ("not yet valid") until that time had come, and an issuer of the kind
// for up to eight months, restarts or not.
func TestClockThatWasAhead(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	var i *intercept.Issuer
	synctest.Test(t, func(t *testing.T) {
		rootOf(t, a)
		time.Sleep(30 * day)
		i = issuerFor(t, a, "api.example.test")
		leafFor(t, i, "api.example.test")
	})
	synctest.Test(t, func(t *testing.T) { // 30 days back
		for name, i := range map[string]*intercept.Issuer{"running": i, "started anew": issuerFor(t, a, "api.example.test")} {
			if err := verify(rootOf(t, a), leafFor(t, i, "api.example.test").Certificate, "api.example.test"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestClockThatWasAheadAndTheRootKeyOffline(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	var i *intercept.Issuer
	synctest.Test(t, func(t *testing.T) {
		rootOf(t, a)
		time.Sleep(30 * day)
		i = issuerFor(t, a, "api.example.test")
	})
	key := filepath.Join(dir, "ca", "root.key")
	os.Rename(key, key+".offline")
	synctest.Test(t, func(t *testing.T) {
		_, err := i.Certificate("api.example.test")
		says(t, err, "not valid before 2000-01-3", "was the clock wrong?", key, "put it back")
		_, err = a.Issuer([]string{"api.example.test"})
		says(t, err, "not valid before 2000-01-3", key, "put it back")
	})
}
