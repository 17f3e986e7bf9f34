package intercept

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// javaPassword protects nothing, the store is public. But Java passes over
// certificates that it cannot decrypt, so it is needed
// (javax.net.ssl.trustStorePassword).
const javaPassword = pkcs12.DefaultPassword

// javaStore encodes roots as a trust store for Java, in the one format that
// every Java from 8 on reads. The newer algorithms need 8u301 or 11.0.12, and
// would protect the secrecy of certificates that are public.
//
// The salts come from the roots: the same roots are the same bytes, so that it
// can be seen whether the file has to be written.
func javaStore(roots [][]byte, ours []byte) ([]byte, error) {
	seed := sha256.Sum256(bytes.Join(roots, nil))
	var entries []pkcs12.TrustStoreEntry
	for _, der := range roots {
		alias := "outrider"
		if !bytes.Equal(der, ours) {
			alias = javaAlias(der)
		}
		// The encoder reads no more of a certificate than its encoding, and a
		// root that Go cannot parse is still one to Java.
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: &x509.Certificate{Raw: der}, FriendlyName: alias})
	}
	return pkcs12.LegacyDES.WithRand(rand.NewChaCha8(seed)).EncodeTrustStoreEntries(entries, javaPassword)
}

// javaAlias names a root in the store: to Java, two entries of one name are one.
// Java has its aliases in lower case.
func javaAlias(der []byte) string {
	sum := sha256.Sum256(der)
	short := hex.EncodeToString(sum[:4])
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return short
	}
	name := cert.Subject.CommonName
	if name == "" && len(cert.Subject.OrganizationalUnit) > 0 {
		name = cert.Subject.OrganizationalUnit[0]
	}
	return fmt.Sprintf("%s [%s]", strings.ToLower(strings.Map(ascii, name)), short)
}

// ascii spares us the question which characters an alias may have.
func ascii(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}
