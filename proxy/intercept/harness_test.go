package intercept_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outrider/proxy/intercept"
)

func rootOf(t testing.TB, a *intercept.Authority) *x509.Certificate {
	t.Helper()
	root, err := a.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func issuerFor(t testing.TB, a *intercept.Authority, names ...string) *intercept.Issuer {
	t.Helper()
	issuer, err := a.Issuer(names)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func leafFor(t testing.TB, i *intercept.Issuer, host string) *tls.Certificate {
	t.Helper()
	leaf, err := i.Certificate(host)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// verify is what a client does, at the time that it is now (in a bubble, too).
func verify(root *x509.Certificate, chain [][]byte, host string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	for _, der := range chain[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: between, CurrentTime: time.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}

// tool gives a program, or skips the test where it is not installed; where
// nothing may be skipped it fails.
func tool(t *testing.T, name, install string) func(args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("OUTRIDER_TEST_NO_SKIP") != "":
		t.Fatalf("%s is not installed: %s", name, install)
	default:
		t.Skipf("%s is not installed: %s", name, install)
	}
	return func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
		return string(out), err
	}
}

func openssl(t *testing.T) func(args ...string) (string, error) {
	return tool(t, "openssl", "apt-get install -y openssl")
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writePEM(t testing.TB, name string, der []byte) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func countPEM(data []byte) int { return bytes.Count(data, []byte("BEGIN CERTIFICATE")) }

// says checks that an error has everything in it that its reader needs.
func says(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one that says %q", parts)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q\ndoes not say %q", err, part)
		}
	}
}

func der(data []byte) []byte {
	b, _ := pem.Decode(data)
	return b.Bytes
}
