package intercept_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"outrider/proxy/intercept"

	"software.sslmate.com/src/go-pkcs12"
)

func trustOf(t *testing.T, a *intercept.Authority, systemRoots string) intercept.Trust {
	t.Helper()
	files, err := a.Trust(systemRoots)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// systemOf makes a file of n roots of other authorities.
func systemOf(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	for range n {
		fmt.Fprintln(&b, "# text, as in Fedora's file")
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: rootOf(t, intercept.Open(t.TempDir())).Raw})
	}
	return write(t, filepath.Join(t.TempDir(), "system.pem"), b.Bytes())
}

func TestFilesAreForTheirReaders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a := intercept.Open(dir)
	issuerFor(t, a, "api.example.test")
	if _, err := a.Trust(""); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		".": 0o700, "ca": 0o700, "ca/root.pem": 0o644, "ca/root.key": 0o600, "ca/issuer.pem": 0o600,
		"trust": 0o755, "trust/root.pem": 0o644, "trust/bundle.pem": 0o644, "trust/certs": 0o755, "trust/truststore.p12": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func TestBundleHasTheSystemsRootsAndOurs(t *testing.T) {
	a := intercept.Open(t.TempDir())
	system := systemOf(t, 3)
	files := trustOf(t, a, system)
	ours := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootOf(t, a).Raw})
	if !bytes.Equal(read(t, files.Root), ours) {
		t.Error("the root is not our root")
	}
	if bundle := read(t, files.Bundle); countPEM(bundle) != 4 || !bytes.Contains(bundle, ours) {
		t.Errorf("%d roots in the bundle, ours among them: %v", countPEM(bundle), bytes.Contains(bundle, ours))
	}
	// Where the root was installed, the system's file has it already.
	installed := slices.Concat(read(t, system), ours, ours)
	if bundle := read(t, trustOf(t, a, write(t, system, installed)).Bundle); countPEM(bundle) != 4 {
		t.Errorf("%d roots in the bundle", countPEM(bundle))
	}
}

func TestFilesThatWouldNotChangeAreNotTouched(t *testing.T) {
	a := intercept.Open(t.TempDir())
	system := systemOf(t, 1)
	files := trustOf(t, a, system)
	stat := func(path string) fs.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	all := []string{files.Root, files.Bundle, files.Java}
	var before []fs.FileInfo
	for _, path := range all {
		before = append(before, stat(path))
	}
	trustOf(t, a, system)
	for i, path := range all {
		if !os.SameFile(before[i], stat(path)) {
			t.Errorf("%s was written again", path)
		}
	}
	other, err := os.ReadFile(systemOf(t, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(system, other, 0o600); err != nil {
		t.Fatal(err)
	}
	trustOf(t, a, system)
	for i, path := range all {
		if changed := !os.SameFile(before[i], stat(path)); changed != (path != files.Root) {
			t.Errorf("the system has other roots, and %s changed: %v", path, changed)
		}
	}
}

// Programs that we start have SSL_CERT_FILE from us, and may start us again.
func TestOurOwnBundleIsNotTheSystems(t *testing.T) {
	a := intercept.Open(t.TempDir())
	first := trustOf(t, a, systemOf(t, 1))
	again := trustOf(t, a, first.Bundle)
	if n := countPEM(read(t, again.Bundle)); n < 50 {
		t.Errorf("%d roots: the bundle was made of another", n)
	}
}

// A company's roots that one caller named were gone from under its children when
// another caller, who named none, came.
func TestCallersKeepTheirRoots(t *testing.T) {
	a := intercept.Open(t.TempDir())
	with := trustOf(t, a, systemOf(t, 1))
	before := read(t, with.Bundle)
	without := trustOf(t, a, "")
	if without.Bundle == with.Bundle || without.Java == with.Java || !bytes.Equal(read(t, with.Bundle), before) {
		t.Errorf("%s was taken over", with.Bundle)
	}
	if without.Root != with.Root || without.CertDir != with.CertDir {
		t.Error("there are two roots")
	}
}

func TestTheRootOfAnEarlierAuthorityIsForgotten(t *testing.T) {
	dir := t.TempDir()
	system := systemOf(t, 1)
	files := trustOf(t, intercept.Open(dir), system)
	before, _ := os.ReadDir(files.CertDir)
	os.RemoveAll(filepath.Join(dir, "ca"))
	trustOf(t, intercept.Open(dir), system)
	after, _ := os.ReadDir(files.CertDir)
	if len(before) != 1 || len(after) != 1 || before[0].Name() == after[0].Name() {
		t.Errorf("first %v, then %v", before, after)
	}
	if n := countPEM(read(t, files.Bundle)); n != 2 {
		t.Errorf("%d roots in the bundle", n)
	}
}

func TestTrustNeedsRootsWhereItIsToldTo(t *testing.T) {
	a := intercept.Open(t.TempDir())
	missing := filepath.Join(t.TempDir(), "missing.pem")
	_, err := a.Trust(missing)
	says(t, err, "reading the system's roots", missing)
	empty := write(t, filepath.Join(t.TempDir(), "empty.pem"), nil)
	_, err = a.Trust(empty)
	says(t, err, "no certificate in "+empty)
}

func TestFirstFileWithRootsIsTheSystems(t *testing.T) {
	missing, empty := filepath.Join(t.TempDir(), "missing"), write(t, filepath.Join(t.TempDir(), "empty"), nil)
	if n := len(intercept.FindRoots([]string{missing, empty, systemOf(t, 2), systemOf(t, 3)})); n != 2 {
		t.Errorf("%d roots, want 2", n)
	}
	if n := len(intercept.FindRoots([]string{missing, empty})); n < 100 {
		t.Errorf("%d roots embedded", n)
	}
}

func TestTrustDirectoryThatOthersCanChangeIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	a := intercept.Open(dir)
	files := trustOf(t, a, "")
	if err := os.Chmod(files.CertDir, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := a.Trust("")
	says(t, err, files.CertDir, "chmod go-w")
}

func TestOpenSSLFindsTheRoot(t *testing.T) {
	run := openssl(t)
	a := intercept.Open(t.TempDir())
	files := trustOf(t, a, "")
	leaf, issuer, err := intercept.Forge(issuerFor(t, a, "a.test"), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	leafFile, issuerFile := write(t, filepath.Join(t.TempDir(), "leaf"), leaf), write(t, filepath.Join(t.TempDir(), "issuer"), issuer)
	for _, by := range [][]string{{"-CAfile", files.Root, "-no-CApath"}, {"-CAfile", files.Bundle, "-no-CApath"}, {"-CApath", files.CertDir, "-no-CAfile"}} {
		if out, err := run(slices.Concat([]string{"verify"}, by, []string{"-untrusted", issuerFile, leafFile})...); err != nil {
			t.Errorf("%v: %v\n%s", by, err, out)
		}
	}
}

// The hash is of a canonical form, so the roots of the web, in their variety,
// are the better test, with some names that none of them has.
func TestSubjectHashIsOpenSSLs(t *testing.T) {
	run := openssl(t)
	roots := intercept.FindRoots(nil)
	for _, value := range []asn1.RawValue{
		{Tag: asn1.TagUTF8String, Bytes: []byte("  Two \t Spaces  ÄÖÜ ")},
		{Tag: asn1.TagBMPString, Bytes: []byte{0, 'B', 0, ' ', 0, ' ', 1, 0x41}},
		{Tag: asn1.TagT61String, Bytes: []byte("T61 \xe4")},
		{Tag: asn1.TagIA5String, Bytes: []byte("IA5@Example.TEST")},
	} {
		roots = append(roots, rootNamed(t, value))
	}
	for _, root := range roots {
		cert, err := x509.ParseCertificate(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := intercept.SubjectHash(cert.RawSubject)
		if err != nil {
			t.Errorf("%s: %v", cert.Subject, err)
		}
		want, err := run("x509", "-noout", "-hash", "-in", writePEM(t, "root.pem", root))
		if err != nil || got != strings.TrimSpace(want) {
			t.Errorf("%s: %s, OpenSSL says %s (%v)", cert.Subject, got, want, err)
		}
	}
}

func rootNamed(t *testing.T, value asn1.RawValue) []byte {
	t.Helper()
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type attributeSET []attribute
	name, err := asn1.Marshal([]attributeSET{
		{{asn1.ObjectIdentifier{2, 5, 4, 3}, value}, {asn1.ObjectIdentifier{2, 5, 4, 11}, asn1.RawValue{Tag: asn1.TagPrintableString, Bytes: []byte("Unit")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: name, Subject: pkix.Name{}}
	root, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestJavaStoreHasAllRoots(t *testing.T) {
	a := intercept.Open(t.TempDir())
	files := trustOf(t, a, systemOf(t, 3))
	certs, err := pkcs12.DecodeTrustStore(read(t, files.Java), files.JavaPassword)
	if err != nil {
		t.Fatal(err)
	}
	if len(certs) != 4 || !slices.ContainsFunc(certs, rootOf(t, a).Equal) {
		t.Errorf("%d roots, ours among them: %v", len(certs), slices.ContainsFunc(certs, rootOf(t, a).Equal))
	}
}

func TestJavaReadsItsStore(t *testing.T) {
	keytool := tool(t, "keytool", "apt-get install -y openjdk-17-jre-headless")
	a := intercept.Open(t.TempDir())
	files := trustOf(t, a, "")
	out, err := keytool("-list", "-keystore", files.Java, "-storepass", files.JavaPassword)
	want := fmt.Sprintf("contains %d entries", countPEM(read(t, files.Bundle)))
	if err != nil || !strings.Contains(out, want) || !strings.Contains(out, "\noutrider, ") || !strings.Contains(out, "trustedCertEntry") {
		t.Errorf("%v; want %q and the alias outrider in\n%s", err, want, out)
	}
}

// Processes that start together find the same old root, and one of them could not
// remove what the other had removed: it took that for a failure.
func TestAnOldRootIsForgottenByAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	system := systemOf(t, 1)
	files := trustOf(t, a, system)
	for round := range 4 {
		for n := range 20 {
			write(t, filepath.Join(files.CertDir, fmt.Sprintf("%08x.0", round*100+n)), nil)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := a.Trust(system); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}
