package intercept_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/intercept"
)

func TestRootIsOfThisMachineAndConstrainedToIssuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		root, other := rootOf(t, intercept.Open(t.TempDir())), rootOf(t, intercept.Open(t.TempDir()))
		if root.Subject.String() == other.Subject.String() || root.SerialNumber.Cmp(other.SerialNumber) == 0 {
			t.Errorf("two roots are alike: %s, %x", root.Subject, root.SerialNumber)
		}
		if !strings.HasPrefix(root.Subject.CommonName, "Outrider local CA ") || len(root.Subject.CommonName) > 64 || root.Subject.Organization[0] != "Outrider" {
			t.Errorf("subject %s", root.Subject)
		}
		if key, ok := root.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("key %T, want one on P-256", root.PublicKey)
		}
		if !root.IsCA || root.MaxPathLen != 1 || root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(root.SubjectKeyId) == 0 {
			t.Errorf("CA %v, path length %d, usage %b, key ID %x", root.IsCA, root.MaxPathLen, root.KeyUsage, root.SubjectKeyId)
		}
		if !root.NotBefore.Equal(now.Add(-time.Hour)) || !root.NotAfter.Equal(now.AddDate(10, 0, 0)) {
			t.Errorf("valid %s to %s", root.NotBefore, root.NotAfter)
		}
	})
}

func TestOpenAndExistingTouchNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	root, err := intercept.Open(dir).Existing()
	if root != nil || err != nil {
		t.Errorf("got %v, %v", root, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

func TestStateDirectoryIsLeftAsItIs(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	rootOf(t, intercept.Open(dir))
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o750 && runtime.GOOS != "windows" {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
}

func TestEverybodyGetsTheSameRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	roots := make([]*x509.Certificate, 50)
	var wg sync.WaitGroup
	for i := range roots {
		wg.Go(func() { roots[i], _ = intercept.Open(dir).Root() })
	}
	wg.Wait()
	for _, root := range roots {
		if root == nil || !root.Equal(roots[0]) {
			t.Fatalf("got %v and %v", root, roots[0])
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func TestEveryProcessGetsTheSameRoot(t *testing.T) {
	if dir := os.Getenv("OUTRIDER_TEST_ROOT"); dir != "" {
		root := rootOf(t, intercept.Open(dir))
		if err := os.WriteFile(filepath.Join(dir, os.Getenv("OUTRIDER_TEST_NAME")), root.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	names := []string{"one", "two", "three", "four"}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEveryProcessGetsTheSameRoot$")
			again.Env = append(os.Environ(), "OUTRIDER_TEST_ROOT="+dir, "OUTRIDER_TEST_NAME="+name)
			if out, err := again.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	root := rootOf(t, intercept.Open(dir))
	for _, name := range names {
		if !bytes.Equal(read(t, filepath.Join(dir, name)), root.Raw) {
			t.Errorf("process %s has another root", name)
		}
	}
}

// Whoever can read a key can be the authority, and whoever can write the
// directory can put their own there.
func TestWhatOthersCanGetAtIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	for _, c := range []struct {
		path string
		mode fs.FileMode
		mend string
	}{
		{"ca/root.key", 0o640, "chmod 600"},
		{"ca/root.key", 0o602, "chmod 600"},
		{"ca/issuer.pem", 0o604, "chmod 600"},
		{"ca/issuer.pem", 0o620, "chmod 600"},
		{"ca", 0o702, "chmod go-w"},
		{"ca", 0o720, "chmod go-w"},
	} {
		dir := t.TempDir()
		a := intercept.Open(dir)
		issuerFor(t, a, "api.example.test")
		path := filepath.Join(dir, c.path)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := a.Root()
		says(t, err, path, c.mend+" "+path)
		_, err = a.Issuer([]string{"api.example.test"})
		says(t, err, path, c.mend+" "+path)
	}
}

// People have installed the root: whatever became of the files, they are told,
// and nothing is replaced.
func TestADamagedAuthorityIsNeverReplaced(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, ca string)
		says   []string
	}{
		{"no certificate", func(t *testing.T, ca string) { os.Remove(filepath.Join(ca, "root.pem")) }, []string{"root.pem", "remove"}},
		{"not PEM", func(t *testing.T, ca string) { write(t, filepath.Join(ca, "root.pem"), []byte("?")) }, []string{"root.pem", "no PEM block", "remove"}},
		{"key not PEM", func(t *testing.T, ca string) { write(t, filepath.Join(ca, "root.key"), []byte("?")) }, []string{"root.key", "no PEM block", "remove"}},
		{"another key", func(t *testing.T, ca string) {
			other := t.TempDir()
			rootOf(t, intercept.Open(other))
			write(t, filepath.Join(ca, "root.key"), read(t, filepath.Join(other, "ca", "root.key")))
		}, []string{"root.key", "not the one of the certificate", "remove"}},
		{"a leaf for a root", func(t *testing.T, ca string) {
			leaf, _, _ := intercept.Forge(issuerFor(t, intercept.Open(t.TempDir()), "a.test"), "a.test")
			write(t, filepath.Join(ca, "root.pem"), leaf)
		}, []string{"root.pem", "not the certificate of an authority", "remove"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			a := intercept.Open(dir)
			rootOf(t, a)
			c.damage(t, filepath.Join(dir, "ca"))
			before, _ := os.ReadFile(filepath.Join(dir, "ca", "root.pem"))
			_, err := a.Issuer([]string{"api.example.test"})
			says(t, err, append(c.says, filepath.Join(dir, "ca"))...)
			if after, _ := os.ReadFile(filepath.Join(dir, "ca", "root.pem")); !bytes.Equal(before, after) {
				t.Error("the root was replaced")
			}
		})
	}
}

func TestAnExpiredRootSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := intercept.Open(t.TempDir())
		root := rootOf(t, a)
		time.Sleep(time.Until(root.NotAfter) + time.Second)
		_, err := a.Root()
		says(t, err, "root.pem expired on 2010-01-01", "remove")
	})
}
