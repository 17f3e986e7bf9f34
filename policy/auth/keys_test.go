package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash"
	"math/big"
	"strings"
	"sync"
	"testing"
)

// rsaKey, ecKey and edKey make each key once: that takes long.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) })
)

func ecKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(curve, rand.Reader))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(key crypto.PrivateKey) string {
	return pemText("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
}

// An assertion is a JWT, taken apart.
type assertion struct {
	header, claims map[string]any
	signed         string // what the signature is over
	signature      []byte
}

func parseAssertion(t *testing.T, text string) assertion {
	t.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", text)
	}
	a := assertion{signed: parts[0] + "." + parts[1]}
	var err error
	for i, to := range []any{&a.header, &a.claims} {
		var data []byte
		if data, err = base64.RawURLEncoding.DecodeString(parts[i]); err == nil {
			err = json.Unmarshal(data, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if a.signature, err = base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		t.Fatal(err)
	}
	return a
}

// verify looks at the signature as RFC 7518 §3 says, and not by the library that made
// it.
func (a assertion) verify(t *testing.T, key crypto.PublicKey) {
	t.Helper()
	algorithm, _ := a.header["alg"].(string)
	hashes := map[string]struct {
		id  crypto.Hash
		new func() hash.Hash
	}{"256": {crypto.SHA256, sha256.New}, "384": {crypto.SHA384, sha512.New384}, "512": {crypto.SHA512, sha512.New}}
	h := hashes[algorithm[2:]]
	var digest []byte
	if h.new != nil {
		sum := h.new()
		sum.Write([]byte(a.signed))
		digest = sum.Sum(nil)
	}
	var ok bool
	switch key := key.(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(algorithm, "PS") {
			ok = rsa.VerifyPSS(key, h.id, digest, a.signature, nil) == nil
		} else {
			ok = strings.HasPrefix(algorithm, "RS") && rsa.VerifyPKCS1v15(key, h.id, digest, a.signature) == nil
		}
	case *ecdsa.PublicKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		ok = len(a.signature) == 2*size &&
			ecdsa.Verify(key, digest, new(big.Int).SetBytes(a.signature[:size]), new(big.Int).SetBytes(a.signature[size:]))
	case ed25519.PublicKey:
		ok = algorithm == "EdDSA" && ed25519.Verify(key, []byte(a.signed), a.signature)
	}
	if !ok {
		t.Errorf("the signature by %s is wrong", algorithm)
	}
}
