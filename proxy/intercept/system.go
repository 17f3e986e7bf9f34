package intercept

import (
	"crypto/sha1" //nolint:gosec // G505: the keychain's name for a certificate, not a protection
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// A store is the way of one family of systems to keep the roots that all its
// programs trust: a directory to copy into, and a command that reads it.
type store struct {
	name    string
	anchors string   // directory for roots of one's own
	command string   // makes the files that programs read
	update  []string // its arguments after a root was added
	fresh   []string // its arguments after a root was removed
	suffix  string   // without which it passes a file over
}

var stores = []store{
	{name: "Debian, Ubuntu or Alpine", anchors: "/usr/local/share/ca-certificates", command: "update-ca-certificates", fresh: []string{"--fresh"}, suffix: ".crt"},
	{name: "Fedora or RHEL", anchors: "/etc/pki/ca-trust/source/anchors", command: "update-ca-trust", update: []string{"extract"}, fresh: []string{"extract"}, suffix: ".pem"},
	{name: "SUSE", anchors: "/etc/pki/trust/anchors", command: "update-ca-certificates", suffix: ".pem"},
	{name: "Arch", anchors: "/etc/ca-certificates/trust-source/anchors", command: "update-ca-trust", suffix: ".crt"},
}

// commandDirs are where such commands are; with sudo they may be outside of PATH.
var commandDirs = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// TrustPlan says how this system's store would come to trust the root, for all
// users and their programs. There has to be an authority: one that came to be
// here would, under sudo, easily be that of root instead of the user's.
func (a *Authority) TrustPlan() (Plan, error) {
	return a.plan("/", runtime.GOOS, installing)
}

// UntrustPlan says how this system's store would forget the root again. It is
// the same whether the root is installed, half removed or not there.
func (a *Authority) UntrustPlan() (Plan, error) {
	return a.plan("/", runtime.GOOS, removing)
}

type purpose string

const (
	installing purpose = "trust"
	removing   purpose = "untrust"
)

// plan looks at the system below the directory root.
func (a *Authority) plan(root, goos string, to purpose) (Plan, error) {
	cert, err := a.Existing()
	if err != nil {
		return Plan{}, err
	}
	if cert == nil {
		return Plan{}, fmt.Errorf("there is no local authority in %s: name the state directory of the user who has one, or make one with outrider ca path", a.dir)
	}
	// Root has a home, and with it a state directory, of its own.
	p := Plan{again: "sudo outrider ca " + string(to) + " --state-dir " + strconv.Quote(a.dir)}
	if goos == "darwin" {
		p.System, p.Steps = "macOS", a.keychain(cert, to)
		return p, nil
	}
	for _, s := range stores {
		if command := s.find(root); command != "" {
			p.System = s.name
			p.Steps, err = s.steps(root, command, a.rootCert(), cert, to)
			return p, err
		}
	}
	return Plan{}, fmt.Errorf("the store of this system is not known: the certificate to %s by its own means is %s",
		to, a.rootCert())
}

// find gives the path of the store's command if the system below root has both
// the command and the directory.
func (s store) find(root string) string {
	if info, err := os.Stat(filepath.Join(root, s.anchors)); err != nil || !info.IsDir() {
		return ""
	}
	for _, dir := range commandDirs {
		path := filepath.Join(root, dir, s.command)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}

func (s store) steps(root, command, from string, cert *x509.Certificate, to purpose) ([]Step, error) {
	short, err := shortID(cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("naming the root: %w", err)
	}
	anchor := filepath.Join(root, s.anchors, "outrider-"+short+s.suffix)
	if to == installing {
		return []Step{copyStep(from, anchor), commandStep(append([]string{command}, s.update...)...)}, nil
	}
	return []Step{removeStep(anchor), commandStep(append([]string{command}, s.fresh...)...)}, nil
}

// keychain is the way of macOS, which has a command and no directory.
func (a *Authority) keychain(cert *x509.Certificate, to purpose) []Step {
	const security, system = "/usr/bin/security", "/Library/Keychains/System.keychain"
	if to == installing {
		return []Step{commandStep(security, "add-trusted-cert", "-d", "-r", "trustRoot", "-k", system, a.rootCert())}
	}
	sum := sha1.Sum(cert.Raw) //nolint:gosec // G401: see the import
	return []Step{
		commandStep(security, "remove-trusted-cert", "-d", a.rootCert()),
		commandStep(security, "delete-certificate", "-Z", strings.ToUpper(hex.EncodeToString(sum[:])), system),
	}
}
