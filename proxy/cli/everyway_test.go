//go:build unix

package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outrider/proxy/clients"
)

// certificateFor is a server's TLS for a name, and the file to trust it by.
func certificateFor(t *testing.T, name string) (server *tls.Config, root string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Everybody's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	above, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	below, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root.pem")
	writeFile(t, root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: above})))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{below}, PrivateKey: key}}}, root
}

// Every client that is installed comes by every way there is, told by its
// environment alone: to base URLs, by http:// and https:// through the proxy, to
// a host whose TLS is not opened, and past us where it is told to go directly.
func TestEveryClientComesByEveryWay(t *testing.T) {
	config := home(t, "")
	t.Setenv("KEY", "sesame")
	got := &ledger{}
	note := func(w http.ResponseWriter, r *http.Request) { got.note(r) }
	plain := upstream(t, note).Listener.Addr().String()
	server, root := certificateFor(t, "tunnelled.example.test")
	corp := newCorporate(t, tlsServer(t, server, note))
	r := launch(t, captured(plain)+fmt.Sprintf(`
[upstream.tunnelled]
url = "https://tunnelled.example.test"
intercept = false
proxy = %q
auth = { type = "bearer", token = "env:KEY" }
`, corp.URL))
	// What the application trusted before, it has to trust still.
	for _, name := range []string{"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"} {
		t.Setenv(name, root)
	}
	c := &commands{Process: Process{Stderr: t.Output()}, config: config}
	trust := r.file.StateDir
	r.trust() // made before anybody asks for it
	variables, err := c.variables(door{listen: r.addresses[""], trust: trust, files: trust})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OUTRIDER_TEST_BE", "1")
	w := &ward{dir: t.TempDir(), secret: strings.NewReplacer(), self: []string{os.Args[0], "-test.run=^TestBeOutrider$", "--", "doctor", "--call"}}
	w.env = childEnvironment(os.Environ(), variables, r.file, false)
	if err := clients.WriteProbes(w.dir); err != nil {
		t.Fatal(err)
	}

	ways := []struct{ name, url, authorization, corporate string }{
		{"base URL", r.url("/api/x"), "Bearer sesame", ""},
		{"http", "http://api.example.test/x", "Bearer sesame", ""},
		{"https, opened", "https://api.example.test/x", "Bearer sesame", ""},
		{"https, not opened", "https://tunnelled.example.test/x", "", "CONNECT tunnelled.example.test:443 "},
		{"directly, as NO_PROXY says", "http://" + plain + "/x", "", ""},
	}
	for _, p := range clients.Probes() {
		t.Run(p.Client, func(t *testing.T) {
			program, installed := w.find(t.Context(), p)
			if !installed {
				if os.Getenv("OUTRIDER_TEST_NO_SKIP") != "" {
					t.Fatal("is not installed; .ci/run names the package")
				}
				t.Skipf("%s is not installed; .ci/run names the package", p.Client)
			}
			for _, way := range ways {
				if p.Client == "PHP streams" && strings.HasPrefix(way.name, "directly") {
					continue // it is told its proxy in its code, and knows no NO_PROXY
				}
				got.take()
				corp.take()
				e := w.run(t.Context(), p.Command(p.Call, program, way.url, w.dir, w.self))
				entries := got.take()
				if len(entries) == 0 {
					t.Errorf("%s: nothing arrived; the client said %q", way.name, e.said)
				}
				for _, entry := range entries {
					if a := strings.Join(entry.header["Authorization"], ", "); a != way.authorization {
						t.Errorf("%s: Authorization is %q, want %q", way.name, a, way.authorization)
					}
				}
				if asked := strings.Join(corp.take(), ", "); !strings.HasPrefix(asked, way.corporate) || (way.corporate == "") != (asked == "") {
					t.Errorf("%s: the proxy on the way out was asked %q", way.name, asked)
				}
			}
		})
	}
}
