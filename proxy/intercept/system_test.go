package intercept_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"outrider/proxy/intercept"
)

// systemWith makes a system below a directory: the directory that roots go to,
// and a command that says into the file "ran" what it was told.
func systemWith(t *testing.T, anchors, command string) (root string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the command is a shell script")
	}
	root = t.TempDir()
	path := filepath.Join(root, command)
	for _, dir := range []string{filepath.Join(root, anchors), filepath.Dir(path)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho ran \"$@\" >> " + filepath.Join(root, "ran") + "\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func planFor(t *testing.T, a *intercept.Authority, root string, install bool) intercept.Plan {
	t.Helper()
	plan, err := intercept.PlanAt(a, root, "linux", install)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func texts(p intercept.Plan) string {
	var all []string
	for _, step := range p.Steps {
		all = append(all, step.Text)
	}
	return strings.Join(all, "; ")
}

func TestRootIsInstalledAndRemoved(t *testing.T) {
	for _, c := range []struct {
		system, anchors, command string
		suffix, ran              string
	}{
		{"Debian, Ubuntu or Alpine", "usr/local/share/ca-certificates", "usr/sbin/update-ca-certificates", ".crt", "ran\nran\nran --fresh\nran --fresh\n"},
		{"Fedora or RHEL", "etc/pki/ca-trust/source/anchors", "usr/bin/update-ca-trust", ".pem", "ran extract\nran extract\nran extract\nran extract\n"},
		{"SUSE", "etc/pki/trust/anchors", "usr/sbin/update-ca-certificates", ".pem", "ran\nran\nran\nran\n"},
		{"Arch", "etc/ca-certificates/trust-source/anchors", "usr/bin/update-ca-trust", ".crt", "ran\nran\nran\nran\n"},
	} {
		t.Run(c.system, func(t *testing.T) {
			root := systemWith(t, c.anchors, c.command)
			dir := t.TempDir()
			a := intercept.Open(dir)
			rootOf(t, a)
			install := planFor(t, a, root, true)
			command := filepath.Join(root, c.command)
			if install.System != c.system || !strings.HasPrefix(texts(install), "copy "+filepath.Join(dir, "ca", "root.pem")+" to ") || !strings.Contains(texts(install), "; run "+command) {
				t.Errorf("on %s: %s", install.System, texts(install))
			}
			anchors := func() []string {
				found, _ := filepath.Glob(filepath.Join(root, c.anchors, "*"))
				return found
			}
			if len(anchors()) != 0 {
				t.Fatal("a plan that was not run did something")
			}
			run(t, install)
			run(t, install) // again, as after an interruption
			found := anchors()
			if len(found) != 1 || !strings.HasPrefix(filepath.Base(found[0]), "outrider-") || filepath.Ext(found[0]) != c.suffix {
				t.Fatalf("installed as %v", found)
			}
			if !bytes.Equal(read(t, found[0]), read(t, filepath.Join(dir, "ca", "root.pem"))) {
				t.Error("another certificate was installed")
			}
			if info, _ := os.Stat(found[0]); info.Mode().Perm() != 0o644 {
				t.Errorf("mode %04o", info.Mode().Perm())
			}
			remove := planFor(t, a, root, false)
			run(t, remove)
			run(t, remove)
			if len(anchors()) != 0 {
				t.Errorf("left behind: %v", anchors())
			}
			if got := string(read(t, filepath.Join(root, "ran"))); got != c.ran {
				t.Errorf("%s was run as %q, want %q", c.command, got, c.ran)
			}
		})
	}
}

func run(t *testing.T, p intercept.Plan) {
	t.Helper()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Debian's own script, on a system of its own: it has options for its directories.
func TestDebiansProgramsTrustTheRoot(t *testing.T) {
	const real = "/usr/sbin/update-ca-certificates"
	if _, err := os.Stat(real); err != nil {
		t.Skip("this is not Debian: ", err)
	}
	if !bytes.Contains(read(t, real), []byte("--localcertsdir")) {
		t.Skip("this is another script than Debian's")
	}
	verify := openssl(t)
	root := systemWith(t, "usr/local/share/ca-certificates", "usr/sbin/update-ca-certificates")
	for _, dir := range []string{"etc/ssl/certs", "usr/share/ca-certificates", "hooks"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "conf"), nil)
	script := `#!/bin/sh
exec ` + real + ` --certsconf "` + root + `/conf" --certsdir "` + root + `/usr/share/ca-certificates" \
	--localcertsdir "` + root + `/usr/local/share/ca-certificates" --etccertsdir "` + root + `/etc/ssl/certs" --hooksdir "` + root + `/hooks" "$@"
`
	if err := os.WriteFile(filepath.Join(root, "usr/sbin/update-ca-certificates"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	// A system without any root is none: the script leaves its file as it was.
	write(t, filepath.Join(root, "usr/local/share/ca-certificates/other.crt"), read(t, systemOf(t, 1)))
	a := intercept.Open(t.TempDir())
	leaf, issuer, err := intercept.Forge(issuerFor(t, a, "a.test"), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	leafFile, issuerFile := write(t, filepath.Join(t.TempDir(), "leaf"), leaf), write(t, filepath.Join(t.TempDir(), "issuer"), issuer)
	trusted := func() bool {
		_, file := verify("verify", "-no-CApath", "-CAfile", filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), "-untrusted", issuerFile, leafFile)
		_, dir := verify("verify", "-no-CAfile", "-CApath", filepath.Join(root, "etc/ssl/certs"), "-untrusted", issuerFile, leafFile)
		if (file == nil) != (dir == nil) {
			t.Errorf("by file: %v; by directory: %v", file, dir)
		}
		return file == nil
	}
	run(t, planFor(t, a, root, true))
	if !trusted() {
		t.Error("it is installed and not trusted")
	}
	run(t, planFor(t, a, root, false))
	if trusted() {
		t.Error("it is removed and still trusted")
	}
}

func TestMacOSHasItsOwnCommand(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	rootOf(t, a)
	plan, err := intercept.PlanAt(a, "/", "darwin", true)
	want := "run /usr/bin/security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain " + filepath.Join(dir, "ca", "root.pem")
	if err != nil || texts(plan) != want {
		t.Errorf("%v: %q, want %q", err, texts(plan), want)
	}
	plan, err = intercept.PlanAt(a, "/", "darwin", false)
	if err != nil || !strings.Contains(texts(plan), "remove-trusted-cert -d") || !strings.Contains(texts(plan), "delete-certificate -Z ") {
		t.Errorf("%v: %q", err, texts(plan))
	}
}

func TestUnknownSystemIsToldTheCertificate(t *testing.T) {
	dir := t.TempDir()
	a := intercept.Open(dir)
	rootOf(t, a)
	_, err := intercept.PlanAt(a, t.TempDir(), "linux", true)
	says(t, err, "not known", filepath.Join(dir, "ca", "root.pem"))
}

// sudo has another home, and with it another state directory: an authority
// that came to be there would be trusted, and used by nobody.
func TestPlanMakesNoAuthority(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	_, err := intercept.Open(dir).TrustPlan()
	says(t, err, "no local authority in "+dir)
	_, err = intercept.Open(dir).UntrustPlan()
	says(t, err, "no local authority in "+dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

func TestPlanStopsAtTheFirstError(t *testing.T) {
	root := systemWith(t, "usr/local/share/ca-certificates", "usr/sbin/update-ca-certificates")
	dir := t.TempDir()
	a := intercept.Open(dir)
	rootOf(t, a)
	plan := planFor(t, a, root, true)
	os.RemoveAll(filepath.Join(dir, "ca"))
	says(t, plan.Run(t.Context()), "reading the root certificate", "root.pem")
	if _, err := os.Stat(filepath.Join(root, "ran")); !os.IsNotExist(err) {
		t.Error("the command was run nevertheless")
	}
}

func TestFailedCommandShowsWhatItSaid(t *testing.T) {
	root := systemWith(t, "usr/local/share/ca-certificates", "usr/sbin/update-ca-certificates")
	os.WriteFile(filepath.Join(root, "usr/sbin/update-ca-certificates"), []byte("#!/bin/sh\necho the disk is full >&2; exit 3\n"), 0o755)
	a := intercept.Open(t.TempDir())
	rootOf(t, a)
	plan := planFor(t, a, root, true)
	says(t, plan.Run(t.Context()), "running ", "update-ca-certificates", "exit status 3", "the disk is full")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the user lost patience"))
	says(t, plan.Run(ctx), "the user lost patience")
}

// (A test that runs as root is denied nothing, so the denial is made up.)
func TestWithoutRootTheErrorSaysHow(t *testing.T) {
	err := intercept.PlanOf(&fs.PathError{Op: "open", Path: "/etc/x", Err: fs.ErrPermission}).Run(t.Context())
	says(t, err, "needs root: sudo outrider ca trust", "/etc/x")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v is not about permission", err)
	}
}
