package intercept

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"outrider/proxy/statefile"
)

// An Authority is a local certificate authority, kept in a directory. It holds
// no state of its own: each method reads what it needs, so several processes
// can share the directory. It is safe for concurrent use.
type Authority struct {
	dir string
}

// Open names the local authority that is kept in dir (the state directory). It
// touches nothing.
func Open(dir string) *Authority {
	return &Authority{dir: dir}
}

// Root gives the root certificate; it creates the authority at the first use,
// and dir with it. Whoever comes at the same time, from this process or another
// one, gets the same root. What is there and cannot be used is an error that
// says what to do, never a reason for a new root: people have installed the old one.
func (a *Authority) Root() (*x509.Certificate, error) {
	root, err := a.Existing()
	if root != nil || err != nil {
		return root, err
	}
	if err := a.create(); err != nil {
		return nil, err
	}
	return a.readRoot()
}

// Existing gives the root certificate if there is one, and creates nothing
// (nil, nil when there is none).
func (a *Authority) Existing() (*x509.Certificate, error) {
	entries, err := os.ReadDir(a.ca())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", a.ca(), err)
	}
	return a.readRoot()
}

// create makes the directory of the authority. It is complete before it gets
// its name, and only the first of several gets it.
func (a *Authority) create() error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w", err)
	}
	fresh, err := os.MkdirTemp(a.dir, ".ca-")
	if err != nil {
		return fmt.Errorf("making the local authority: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }() // is gone already, unless something went wrong
	if err := writeRoot(fresh, time.Now()); err != nil {
		return fmt.Errorf("making the local authority: %w", err)
	}
	if err := os.Rename(fresh, a.ca()); err != nil {
		if root, other := a.Existing(); root != nil || other != nil {
			return other // somebody was faster: theirs is as good as ours
		}
		return fmt.Errorf("making the local authority: %w", err)
	}
	return statefile.SyncDir(a.dir)
}

// readRoot reads the certificate, and refuses to go on with an authority that
// others could have tampered with.
func (a *Authority) readRoot() (*x509.Certificate, error) {
	if err := unwritable(a.ca()); err != nil {
		return nil, err
	}
	for _, path := range []string{a.rootKey(), a.issuer()} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the root's key may be offline, the issuer not made yet
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if err := statefile.Private(path, info.Mode(), aKey); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(a.rootCert())
	if err != nil {
		return nil, a.unusable("reading the root certificate: %w", err)
	}
	root, err := parseCertificate(data)
	if err != nil {
		return nil, a.unusable("reading %s: %w", a.rootCert(), err)
	}
	if err := a.judge(root, time.Now()); err != nil {
		return nil, err
	}
	return root, nil
}

// judge refuses a root that no client would accept a chain to.
func (a *Authority) judge(root *x509.Certificate, now time.Time) error {
	switch {
	case !root.IsCA || root.KeyUsage&x509.KeyUsageCertSign == 0:
		return a.unusable("reading %s: it is not the certificate of an authority", a.rootCert())
	case now.After(root.NotAfter):
		return a.unusable("the root certificate %s expired on %s", a.rootCert(), root.NotAfter.Format(time.DateOnly))
	case now.Before(root.NotBefore):
		return fmt.Errorf("the root certificate %s is not valid before %s: is the clock right?",
			a.rootCert(), root.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// unusable adds the only way out of an authority that cannot be mended.
func (a *Authority) unusable(format string, args ...any) error {
	return fmt.Errorf(format+". To start over, remove %s (after outrider ca untrust, where the system trusts it); every client then has to trust a new root",
		append(args, a.ca())...)
}

func (a *Authority) ca() string       { return filepath.Join(a.dir, "ca") }
func (a *Authority) rootCert() string { return filepath.Join(a.ca(), rootCertName) }
func (a *Authority) rootKey() string  { return filepath.Join(a.ca(), rootKeyName) }
func (a *Authority) issuer() string   { return filepath.Join(a.ca(), "issuer.pem") }
func (a *Authority) trust() string    { return filepath.Join(a.dir, "trust") }

const (
	rootCertName = "root.pem"
	rootKeyName  = "root.key"
)
