package auth_test

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"outrider/policy/auth"
)

func TestPrivateKeysInEveryForm(t *testing.T) {
	ec := ecKey(elliptic.P256())
	sec1 := pemText("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ec)))
	for name, text := range map[string]string{
		"PKCS #1":           pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())),
		"PKCS #8, RSA":      pkcs8(rsaKey()),
		"PKCS #8, EC":       pkcs8(ec),
		"PKCS #8, Ed25519":  pkcs8(edKey()),
		"SEC 1":             sec1,
		"with parameters":   pemText("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + sec1,
		"below a remark":    "Bag Attributes: none\n" + pkcs8(ec),
		"without line end":  strings.TrimSpace(pkcs8(ec)),
		"of Windows":        strings.ReplaceAll(pkcs8(ec), "\n", "\r\n"),
		"of a variable":     strings.ReplaceAll(pkcs8(ec), "\n", `\n`),
		"after its own":     pemText("CERTIFICATE", certificate(t, ec)) + pkcs8(ec),
		"before its public": pkcs8(ec) + pemText("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ec.Public()))),
	} {
		if err := auth.CheckPrivateKey(text, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The words go on after the name of the setting.
func TestWhatIsNoPrivateKeyIsSaidInWords(t *testing.T) {
	small, p224 := must(rsa.GenerateKey(rand.Reader, 1024)), ecKey(elliptic.P224())
	for want, text := range map[string]string{
		`is not a PEM private key, which begins with "-----BEGIN PRIVATE KEY-----"`: canary,
		"is encrypted, and nobody is there to type its passphrase":                  pemText("ENCRYPTED PRIVATE KEY", []byte(canary)),
		"is encrypted, and nobody is there": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte(canary)})),
		"is a public key: the private one is needed":                 pemText("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(edKey().Public()))),
		"is a certificate: its private key is needed":                pemText("CERTIFICATE", []byte(canary)),
		"is in the form of OpenSSH: convert it with `ssh-keygen":     pemText("OPENSSH PRIVATE KEY", []byte(canary)),
		`cannot be read: its PEM block "RSA PRIVATE KEY" is damaged`: pemText("RSA PRIVATE KEY", []byte(canary)),
		`cannot be read: its PEM block "PRIVATE KEY" is damaged`:     pemText("PRIVATE KEY", []byte(canary)),
		"has 1024 bits: an RSA key must have at least 2048":          pkcs8(small),
		"is on another curve than P-256, P-384 and P-521":            pkcs8(p224),
		"is of a kind that signs no assertions":                      pkcs8(must(ecdh.X25519().GenerateKey(rand.Reader))),
	} {
		if err := auth.CheckPrivateKey(text, ""); err == nil || !strings.HasPrefix(err.Error(), want) || leaks(err.Error()) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := auth.CheckPrivateKey(pemText(canary, []byte(canary)), ""); err == nil || leaks(err.Error()) {
		t.Errorf("a block of an unknown type: %v", err)
	}
}

func TestAlgorithmSuitsTheKey(t *testing.T) {
	for algorithm, want := range map[string]string{
		"PS256": "", "RS512": "",
		"ES256": "does not sign with ES256: this key takes RS256, RS384, RS512, PS256, PS384, PS512",
		"none":  "does not sign with none: this key takes RS256, RS384, RS512, PS256, PS384, PS512",
	} {
		got := ""
		if err := auth.CheckPrivateKey(pkcs8(rsaKey()), algorithm); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", algorithm, got, want)
		}
	}
	for algorithm, text := range map[string]string{"ES384": pkcs8(ecKey(elliptic.P384())), "EdDSA": pkcs8(edKey())} {
		if err := auth.CheckPrivateKey(text, algorithm); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if err := auth.CheckPrivateKey(text, "ES256"); err == nil {
			t.Errorf("a key of %s signs with ES256", algorithm)
		}
	}
}

func FuzzPrivateKey(f *testing.F) {
	f.Add(pkcs8(edKey()))
	f.Add(pkcs8(ecKey(elliptic.P256())))
	f.Add(pemText("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())))
	f.Add(pemText("EC PRIVATE KEY", []byte("x")))
	f.Add(`-----BEGIN PRIVATE KEY-----\n`)
	f.Add(pemText("ENCRYPTED PRIVATE KEY", nil))
	f.Fuzz(func(t *testing.T, text string) {
		if err := auth.CheckPrivateKey(text, ""); err != nil && err.Error() == "" {
			t.Error("the error says nothing")
		}
		_ = auth.CheckCertificate(text, pkcs8(edKey()))
	})
}
