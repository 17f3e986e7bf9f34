package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that reads nothing any more does not hold up who closes the connection.
func TestFarewellIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"api.test"}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		root, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(root)

		near, far := net.Pipe()
		server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		shaken := make(chan error)
		go func() { shaken <- server.Handshake() }()
		client := secured(near, &tls.Config{RootCAs: roots, ServerName: "api.test"})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = client.Read(make([]byte, 1)) }() // of session tickets
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_ = client.Close()
		if took := time.Since(began); took != farewell {
			t.Errorf("closing took %v, want %v", took, farewell)
		}
	})
}
