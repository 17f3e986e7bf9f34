package intercept

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	rootYears    = 10
	organization = "Outrider"

	// backdate is how far the clock of a client may be behind ours.
	backdate = time.Hour

	// maxName is the longest common name, in bytes (RFC 5280 appendix A,
	// ub-common-name).
	maxName = 64
)

// writeRoot makes a root and writes it and its key into dir.
func writeRoot(dir string, now time.Time) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := newRoot(key, now)
	if err != nil {
		return err
	}
	secret, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, rootKeyName), secret, 0o600); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, rootCertName), encodeCertificate(der), 0o644)
}

func newRoot(key *ecdsa.PrivateKey, now time.Time) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	name, err := rootName(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name, Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(rootYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // issuers, and nothing below them
	}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

// rootName tells roots apart where people see them: in a system's store, by
// machine; and for programs, which look up a root by its name, by key.
func rootName(public *ecdsa.PublicKey) (string, error) {
	short, err := shortID(public)
	if err != nil {
		return "", err
	}
	const prefix = "Outrider local CA "
	host, _ := os.Hostname() // a name less for people, no reason to stop
	if host == "" {
		return prefix + short, nil
	}
	room := maxName - len(prefix) - len(" ") - len(short)
	host = strings.ToValidUTF8(host[:min(len(host), room)], "")
	return prefix + host + " " + short, nil
}

// shortID names a key in eight hex digits.
func shortID(public any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:4]), nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newSerial gives 128 random bits, so that no two certificates of an issuer
// ever have the same (RFC 5280 §4.1.2.2).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128))
}
