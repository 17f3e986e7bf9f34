package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// CheckPrivateKey says what is wrong with a private key as it is configured, or with
// the algorithm that it is to sign with; "" is the one that suits it. Its errors show
// nothing of the text, and go on after the name of the setting: "is encrypted".
func CheckPrivateKey(text, algorithm string) error {
	key, err := parsePrivateKey(text)
	if err == nil {
		_, err = signingMethod(key, algorithm)
	}
	return err
}

// keyForms maps the type of a PEM block to who reads the private key in it: PKCS #8
// (RFC 5958), PKCS #1 (RFC 8017), SEC 1 (RFC 5915).
var keyForms = map[string]func(der []byte) (any, error){
	"PRIVATE KEY":     x509.ParsePKCS8PrivateKey,
	"RSA PRIVATE KEY": func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
	"EC PRIVATE KEY":  func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
}

// noKeys maps the type of a PEM block to why it is no private key of ours.
var noKeys = map[string]string{
	"ENCRYPTED PRIVATE KEY": encrypted,
	"OPENSSH PRIVATE KEY":   "is in the form of OpenSSH: convert it with `ssh-keygen -p -m PKCS8 -f FILE`",
	"PUBLIC KEY":            "is a public key: the private one is needed",
	"RSA PUBLIC KEY":        "is a public key: the private one is needed",
	"CERTIFICATE":           "is a certificate: its private key is needed",
}

const encrypted = "is encrypted, and nobody is there to type its passphrase: decrypt it with `openssl pkey -in FILE`"

// parsePrivateKey reads the first private key of a PEM text. What may stand around it,
// such as its certificate and EC PARAMETERS, is passed over.
func parsePrivateKey(text string) (crypto.Signer, error) {
	why := `is not a PEM private key, which begins with "-----BEGIN PRIVATE KEY-----"`
	for block, rest := pem.Decode(pemBytes(text)); block != nil; block, rest = pem.Decode(rest) {
		parse, known := keyForms[block.Type]
		switch {
		case block.Headers["DEK-Info"] != "": // RFC 1421, as old versions of OpenSSL write it
			why = encrypted
		case known:
			key, err := parse(block.Bytes)
			if err != nil { // it may show bytes of the key
				return nil, fmt.Errorf("cannot be read: its PEM block %q is damaged, or holds another kind of key", block.Type)
			}
			return suitable(key)
		case noKeys[block.Type] != "":
			why = noKeys[block.Type]
		}
	}
	return nil, errors.New(why)
}

// pemBytes undoes what variables of the environment do to line ends: \n, as two
// characters.
func pemBytes(text string) []byte {
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, `\n`, "\n")
	}
	return []byte(text)
}

// leastRSA is the size from which an RSA key may sign (RFC 7518 §3.3), in bits.
const leastRSA = 2048

// suitable refuses keys with which no assertion is signed.
func suitable(key any) (crypto.Signer, error) {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < leastRSA {
			return nil, fmt.Errorf("has %d bits: an RSA key must have at least %d (RFC 7518 section 3.3)", bits, leastRSA)
		}
		return key, nil
	case *ecdsa.PrivateKey:
		if _, known := curveMethods[key.Curve.Params().Name]; !known {
			return nil, errors.New("is on another curve than P-256, P-384 and P-521")
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("is of a kind that signs no assertions: it must be RSA, EC or Ed25519")
}

// rsaMethods are those of an RSA key; the first is the default.
var rsaMethods = []jwt.SigningMethod{
	jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
	jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
}

// curveMethods maps the name of a curve to the one algorithm that goes with it
// (RFC 7518 §3.4).
var curveMethods = map[string]jwt.SigningMethod{
	"P-256": jwt.SigningMethodES256, "P-384": jwt.SigningMethodES384, "P-521": jwt.SigningMethodES512,
}

// signingMethod is how a key signs.
func signingMethod(key crypto.Signer, algorithm string) (jwt.SigningMethod, error) {
	methods := []jwt.SigningMethod{jwt.SigningMethodEdDSA}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		methods = rsaMethods
	case *ecdsa.PrivateKey:
		methods = []jwt.SigningMethod{curveMethods[key.Curve.Params().Name]}
	}
	if algorithm == "" {
		return methods[0], nil
	}
	i := slices.IndexFunc(methods, func(m jwt.SigningMethod) bool { return m.Alg() == algorithm })
	if i < 0 {
		return nil, fmt.Errorf("does not sign with %s: this key takes %s", algorithm, algorithms(methods))
	}
	return methods[i], nil
}

func algorithms(methods []jwt.SigningMethod) string {
	names := make([]string, len(methods))
	for i, method := range methods {
		names[i] = method.Alg()
	}
	return strings.Join(names, ", ")
}
