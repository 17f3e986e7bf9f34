package intercept

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"outrider/proxy/statefile"
)

// fitting gives the issuer on disk if it may be used for s, and else a new one,
// which it writes there.
func (a *Authority) fitting(s scope, now time.Time) (pair, error) {
	root, err := a.Root()
	if err != nil {
		return pair{}, err
	}
	found, err := a.readPair()
	if err != nil {
		return pair{}, err
	}
	reason := misfit(found.cert, root, s, now)
	if reason == "" && !found.old(now) {
		return found, nil
	}
	made, err := a.issue(root, s, now)
	if err != nil && reason == "" {
		return found, nil // old, but still good, whatever is in the way of another
	}
	if errors.Is(err, fs.ErrNotExist) {
		return pair{}, fmt.Errorf("a new issuer is needed, because %s, and that takes the key of the root, which is not there: "+
			"put it back as %s until the next start", reason, a.rootKey())
	}
	return made, err
}

// readPair reads the issuer on disk; the zero pair means that there is none.
func (a *Authority) readPair() (pair, error) {
	data, err := statefile.ReadSecret(a.issuer(), aKey)
	if errors.Is(err, fs.ErrNotExist) {
		return pair{}, nil
	}
	if err != nil {
		return pair{}, err
	}
	cert, err := parseCertificate(data)
	if err == nil {
		key, wrong := parseKey(data, cert)
		if wrong == nil {
			return pair{cert: cert, key: key}, nil
		}
		err = wrong
	}
	return pair{}, fmt.Errorf("reading %s: %w. Remove the file, and the root issues a new one", a.issuer(), err)
}

// misfit says why an issuer cannot be used, or nothing.
func misfit(issuer, root *x509.Certificate, s scope, now time.Time) string {
	switch {
	case issuer == nil:
		return "there is none yet"
	case issuer.CheckSignatureFrom(root) != nil:
		return "another root issued the one on disk"
	case !s.fits(issuer):
		return "the one on disk is for other names: " + difference(constraints(issuer), s.names)
	case !now.Before(issuer.NotAfter):
		return "the one on disk expired on " + issuer.NotAfter.Format(time.DateOnly)
	case now.Before(issuer.NotBefore):
		return "the one on disk is not valid before " + issuer.NotBefore.Format(time.RFC3339) + " (was the clock wrong?)"
	}
	return ""
}

// difference says what became of before.
func difference(before, after []string) string {
	var changes []string
	for _, name := range after {
		if !slices.Contains(before, name) {
			changes = append(changes, name+" is new")
		}
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			changes = append(changes, name+" is gone")
		}
	}
	return strings.Join(changes, ", ")
}

// issue makes an issuer and writes it. This is the only use of the root's key.
// Where there is none the error is fs.ErrNotExist.
func (a *Authority) issue(root *x509.Certificate, s scope, now time.Time) (pair, error) {
	data, err := statefile.ReadSecret(a.rootKey(), aKey)
	if err != nil {
		return pair{}, err
	}
	key, err := parseKey(data, root)
	if err != nil {
		return pair{}, a.unusable("reading %s: %w", a.rootKey(), err)
	}
	made, file, err := newPair(root, key, s, now)
	if err != nil {
		return pair{}, fmt.Errorf("making an issuer: %w", err)
	}
	return made, writeFile(a.issuer(), file, 0o600)
}
