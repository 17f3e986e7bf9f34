package intercept

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// Trust are the files that make clients trust the authority. They are
// certificates only, and may be read by everybody who can reach the directory.
type Trust struct {
	Root         string // PEM: our root alone
	Bundle       string // PEM: the system's roots and ours
	CertDir      string // directory with our root under OpenSSL's hash name (<hash>.0)
	Java         string // PKCS12 trust store: the system's roots and ours
	JavaPassword string // "changeit"; Java has to be told, or it finds the store empty
}

// Trust writes the files where they are missing or old, and names them. A file
// that would not change is not touched. systemRoots names a PEM file to take
// the system's roots from; "" takes the system's own, on macOS, Windows and
// systems that have none Mozilla's. Bundle and Java are other files then, so that
// callers with different roots do not take them from each other.
func (a *Authority) Trust(systemRoots string) (Trust, error) {
	root, err := a.Root()
	if err != nil {
		return Trust{}, err
	}
	roots, err := a.systemRoots(systemRoots)
	if err != nil {
		return Trust{}, err
	}
	all := with(roots, root.Raw)
	store, err := javaStore(all, root.Raw)
	if err != nil {
		return Trust{}, fmt.Errorf("making the trust store for Java: %w", err)
	}
	hash, err := subjectHash(root.RawSubject)
	if err != nil {
		return Trust{}, fmt.Errorf("making OpenSSL's name for the root: %w", err)
	}
	files := a.files(systemRoots)
	for _, dir := range []string{a.trust(), files.CertDir, filepath.Dir(files.Bundle)} {
		if err := keepDir(dir); err != nil {
			return Trust{}, err
		}
	}
	own := encodeCertificate(root.Raw)
	for _, f := range []struct {
		path string
		data []byte
	}{
		{files.Root, own},
		{files.Bundle, concatenate(all)},
		{filepath.Join(files.CertDir, hash+".0"), own},
		{files.Java, store},
	} {
		if err := keepFile(f.path, f.data); err != nil {
			return Trust{}, err
		}
	}
	return files, forget(files.CertDir, hash+".0")
}

func (a *Authority) files(systemRoots string) Trust {
	whole := a.trust()
	if systemRoots != "" && !a.within(systemRoots) {
		name := sha256.Sum256([]byte(systemRoots))
		whole = filepath.Join(whole, "with-"+hex.EncodeToString(name[:4]))
	}
	return Trust{
		Root:         filepath.Join(a.trust(), "root.pem"),
		Bundle:       filepath.Join(whole, "bundle.pem"),
		CertDir:      filepath.Join(a.trust(), "certs"),
		Java:         filepath.Join(whole, "truststore.p12"),
		JavaPassword: javaPassword,
	}
}

// within reports whether a file is one that Trust has written.
func (a *Authority) within(file string) bool {
	if path, err := filepath.EvalSymlinks(file); err == nil {
		file = path
	}
	dir := a.trust()
	if path, err := filepath.EvalSymlinks(dir); err == nil {
		dir = path
	}
	inside, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(inside)
}

func concatenate(ders [][]byte) []byte {
	var b bytes.Buffer
	for _, der := range ders {
		b.Write(encodeCertificate(der))
	}
	return b.Bytes()
}

var hashName = regexp.MustCompile(`^[0-9a-f]{8}\.[0-9]+$`)

// forget removes the roots of an earlier authority, which would be trusted as
// long as they lie there.
func forget(dir, except string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading %s: %w", dir, err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != except && hashName.MatchString(name) {
			// Another process may be doing the same.
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("removing an old root: %w", err)
			}
		}
	}
	return nil
}
