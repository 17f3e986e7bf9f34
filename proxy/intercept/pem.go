package intercept

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
)

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY" // PKCS#8
)

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// block gives the first block of a kind. Others, and text between them, are
// passed over, as everybody who reads PEM does.
func block(data []byte, kind string) ([]byte, error) {
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == kind {
			return b.Bytes, nil
		}
	}
	return nil, errors.New("there is no PEM block of type " + kind)
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	der, err := block(data, pemCertificate)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// parseKey reads the key that belongs to cert.
func parseKey(data []byte, cert *x509.Certificate) (crypto.Signer, error) {
	der, err := block(data, pemKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(signer.Public()) {
		return nil, errors.New("the key is not the one of the certificate")
	}
	return signer, nil
}

// certificates gives all certificates of a PEM file, in their encoding.
func certificates(data []byte) [][]byte {
	var ders [][]byte
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == pemCertificate {
			ders = append(ders, b.Bytes)
		}
	}
	return ders
}
