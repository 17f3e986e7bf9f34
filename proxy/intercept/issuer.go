package intercept

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"sync"
	"time"
)

// issuerYears is the life of an issuer: long enough that the root's key is
// rarely needed, short enough that a stolen issuer is not for ever.
const issuerYears = 1

// renewEvery is how long a failed renewal is not tried again.
const renewEvery = time.Hour

// An Issuer mints leaves for the hosts that it is constrained to. It is safe
// for concurrent use.
type Issuer struct {
	authority *Authority
	scope     scope

	// One key serves all leaves: another for each would make minting dearer, and
	// as they would all lie in this same memory, one is as safe as many.
	leafKey *ecdsa.PrivateKey

	mu     sync.Mutex // held while minting, which is computation, and while renewing, which is rare
	pair   pair
	retry  time.Time // no renewal is tried before
	leaves cache
	minted int // for tests
}

// Issuer gives an issuer whose certificate is constrained to names
// ("api.github.com", "*.myshopify.com" for all names below it, "10.1.2.3"; no
// ports). It takes the one on disk if that is constrained to the same names and
// has more than a third of its life left, and otherwise makes one, for which it
// needs the root's key. Without that key, or a disk to write to, what is on disk is
// used until it expires, as long as the names are the same.
func (a *Authority) Issuer(names []string) (*Issuer, error) {
	scope, err := newScope(names)
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	pair, err := a.fitting(scope, time.Now())
	if err != nil {
		return nil, err
	}
	return &Issuer{authority: a, scope: scope, leafKey: key, pair: pair}, nil
}

// Names gives the names that the issuer is constrained to: in lower case,
// sorted, each once.
func (i *Issuer) Names() []string {
	return slices.Clone(i.scope.names)
}

// Certificate gives a certificate for host, a DNS name or an IP address, with
// the issuer's behind it. It is minted once and kept; it must not be modified.
// A host outside of [Issuer.Names] is a *[NotPermittedError].
func (i *Issuer) Certificate(host string) (*tls.Certificate, error) {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	// Mostly host is written as it is kept. Only names that were permitted are.
	if leaf := i.leaves.get(host, now); leaf != nil {
		return leaf, nil
	}
	name, address, err := i.scope.permit(host)
	if err != nil {
		return nil, err
	}
	if leaf := i.leaves.get(name, now); leaf != nil {
		return leaf, nil
	}
	if err := i.renew(now); err != nil {
		return nil, err
	}
	leaf, err := i.mint(name, address, now)
	if err != nil {
		return nil, fmt.Errorf("minting a certificate for %s: %w", name, err)
	}
	// A quarter of its life is left when the next one is minted.
	i.leaves.put(name, leaf, now.Add(leaf.Leaf.NotAfter.Sub(now)/4*3))
	return leaf, nil
}

// renew replaces an issuer that has become old while we run. While the old one
// is valid it is no harm if that does not succeed: the root's key may be offline.
func (i *Issuer) renew(now time.Time) error {
	if !i.pair.old(now) || now.Before(i.retry) && i.pair.valid(now) {
		return nil
	}
	i.retry = now.Add(renewEvery)
	pair, err := i.authority.fitting(i.scope, now)
	switch {
	case err == nil:
		i.pair = pair
	case !i.pair.valid(now):
		return err
	}
	return nil
}

// A pair is an issuer's certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// old says that no more than a third of the life is left, or that it has not
// begun: the clock was wrong when the issuer was made.
func (p pair) old(now time.Time) bool {
	return p.cert.NotAfter.Sub(now) <= p.cert.NotAfter.Sub(p.cert.NotBefore)/3 || now.Before(p.cert.NotBefore)
}

func (p pair) valid(now time.Time) bool {
	return !now.Before(p.cert.NotBefore) && now.Before(p.cert.NotAfter)
}

// newPair makes an issuer.
func newPair(root *x509.Certificate, rootKey crypto.Signer, s scope, now time.Time) (pair, []byte, error) {
	key, err := newKey()
	if err != nil {
		return pair{}, nil, err
	}
	short, err := shortID(&key.PublicKey)
	if err != nil {
		return pair{}, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return pair{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Outrider issuer " + short, Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              earlier(now.AddDate(issuerYears, 0, 0), root.NotAfter),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true, // leaves only
	}
	s.constrain(template)
	der, err := x509.CreateCertificate(rand.Reader, template, root, &key.PublicKey, rootKey)
	if err != nil {
		return pair{}, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, nil, err
	}
	secret, err := encodeKey(key)
	return pair{cert: cert, key: key}, append(encodeCertificate(der), secret...), err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
