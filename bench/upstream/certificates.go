package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificates are files: what the upstreams show, and by what they are trusted.
type Certificates struct {
	Roots string // the certificate of the authority
	Chain string // that of localhost, and the authority's
	Key   string // the key of the first
}

// newCertificates makes an authority that lives for a day, and a certificate of localhost
// (ECDSA P-256, as most of the web has).
func newCertificates(dir string) (Certificates, error) {
	files := Certificates{Roots: filepath.Join(dir, "roots.pem"), Chain: filepath.Join(dir, "chain.pem"), Key: filepath.Join(dir, "key.pem")}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	day := x509.Certificate{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	root, leaf := day, day
	root.SerialNumber, root.Subject = big.NewInt(1), pkix.Name{CommonName: "the authority of a benchmark"}
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.SerialNumber, leaf.Subject = big.NewInt(2), pkix.Name{CommonName: "localhost"}
	leaf.DNSNames, leaf.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	rootDER, err := x509.CreateCertificate(rand.Reader, &root, &root, rootKey.Public(), rootKey)
	if err != nil {
		return files, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, &leaf, &root, key.Public(), rootKey)
	if err != nil {
		return files, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return files, err
	}
	rootPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	leafPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for path, content := range map[string][]byte{files.Roots: rootPEM, files.Chain: append(leafPEM, rootPEM...), files.Key: keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return files, err
		}
	}
	return files, nil
}
