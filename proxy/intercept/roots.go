package intercept

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// rootFiles are where systems keep their roots as one file, most specific first.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch, Gentoo, Alpine
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL, older
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/usr/local/share/certs/ca-root-nss.crt",            // FreeBSD
	"/usr/local/etc/ssl/cert.pem",                       // FreeBSD
	"/etc/openssl/certs/ca-certificates.crt",            // NetBSD
	"/etc/ssl/cert.pem",                                 // Alpine, OpenBSD
}

// systemRoots gives the roots that clients of this system trust, each once, in
// their encoding: those in file, or, if that is "", in the first that is found.
func (a *Authority) systemRoots(file string) ([][]byte, error) {
	// A process that we started has our own bundle for its roots. Read back,
	// it would keep for ever what the system has long dropped.
	if file != "" && !a.within(file) {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the system's roots: %w", err)
		}
		roots := unique(certificates(data))
		if len(roots) == 0 {
			return nil, fmt.Errorf("reading the system's roots: there is no certificate in %s", file)
		}
		return roots, nil
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return embeddedRoots(), nil // their roots are in no file that is kept up to date
	}
	return findRoots(rootFiles), nil
}

// findRoots reads the first of files that has roots. An image without any, such
// as our own, has the embedded ones.
func findRoots(files []string) [][]byte {
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			if roots := unique(certificates(data)); len(roots) > 0 {
				return roots
			}
		}
	}
	return embeddedRoots()
}

// embeddedRoots gives Mozilla's list, as it was when we were built. A root that
// Mozilla trusts for old certificates only is in it: no file can say that, and
// distributions leave it in as well.
func embeddedRoots() [][]byte {
	var roots [][]byte
	for root := range bundle.Roots() {
		roots = append(roots, root.Certificate)
	}
	return roots
}

// unique keeps the first of several equals.
func unique(ders [][]byte) [][]byte {
	var kept [][]byte
	seen := make(map[string]bool) // DER → true
	for _, der := range ders {
		if !seen[string(der)] {
			seen[string(der)] = true
			kept = append(kept, der)
		}
	}
	return kept
}

// with adds our root, unless the system has it already.
func with(roots [][]byte, ours []byte) [][]byte {
	if slices.ContainsFunc(roots, func(der []byte) bool { return bytes.Equal(der, ours) }) {
		return roots
	}
	return append(slices.Clip(roots), ours)
}
