package intercept

import "time"

// Minted tells how many leaves were really made, Kept how many are kept.
func Minted(i *Issuer) int { return i.minted }
func Kept(i *Issuer) int   { return len(i.leaves.entries) }

// Forge makes what only a thief of the issuer's key would: a leaf for any host.
// It gives leaf and issuer, in PEM.
func Forge(i *Issuer, host string) (leaf, issuer []byte, err error) {
	name, address, err := normalise(host)
	if err != nil {
		return nil, nil, err
	}
	c, err := i.mint(name, address, time.Now())
	if err != nil {
		return nil, nil, err
	}
	return encodeCertificate(c.Certificate[0]), encodeCertificate(c.Certificate[1]), nil
}

var (
	Normalise   = normalise
	FindRoots   = findRoots
	SubjectHash = subjectHash
)
