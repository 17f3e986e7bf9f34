package intercept

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"time"
)

// leafLife is short because a leaf is cheap, and nothing revokes one.
const leafLife = 24 * time.Hour

// mint makes the certificate of one host. name is permitted and normalised.
func (i *Issuer) mint(name string, address bool, now time.Time) (*tls.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              earlier(now.Add(leafLife), i.pair.cert.NotAfter),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	// The names that count are the alternative ones. The common name is for
	// people, and not for addresses: where there is no DNS name beside it,
	// OpenSSL and GnuTLS hold "10.1.2.3" for one, which is then not permitted.
	if address {
		template.IPAddresses = []net.IP{net.ParseIP(name)}
	} else {
		template.DNSNames = []string{name}
		if len(name) <= maxName {
			template.Subject.CommonName = name
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.pair.cert, &i.leafKey.PublicKey, i.pair.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	i.minted++
	return &tls.Certificate{
		Certificate: [][]byte{der, i.pair.cert.Raw},
		PrivateKey:  i.leafKey,
		Leaf:        leaf,
	}, nil
}
