package intercept

import (
	"context"
	"time"
)

// Minted tells how many leaves were really made, Kept how many are kept.
func Minted(i *Issuer) int { return i.minted }
func Kept(i *Issuer) int   { return len(i.leaves.entries) }

// KeptUntil tells when the leaf of a host that is kept is to be replaced.
func KeptUntil(i *Issuer, host string) time.Time {
	return i.leaves.entries[host].Value.(*entry).until
}

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

// PlanAt plans for the system below root.
func PlanAt(a *Authority, root, goos string, install bool) (Plan, error) {
	to := removing
	if install {
		to = installing
	}
	return a.plan(root, goos, to)
}

// PlanOf has one step that ends with err.
func PlanOf(err error) Plan {
	fail := func(context.Context) error { return err }
	return Plan{Steps: []Step{{Text: "fail", run: fail}}, again: "sudo outrider ca trust"}
}
