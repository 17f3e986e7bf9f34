package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"outrider/policy/config"
	"outrider/proxy/clients"
	"outrider/proxy/intercept"
)

// doctorDomain is of a top-level name that is reserved for tests (RFC 6761
// section 6.2): no resolver knows it, so that no call arrives but by the proxy.
const doctorDomain = "doctor.outrider.test"

// A ward is where clients are examined: a provider, and a sidecar before it that
// knows a host for each call.
type ward struct {
	dir      string // scripts, and the state directory of the sidecar
	provider *demoProvider
	sidecar  *sidecar
	log      *demoLog
	env      []string
	self     []string          // the command that is the client in Go
	secret   *strings.Replacer // hides the access key
	notes    []string
}

// openWard starts everything, on free ports.
func (c *commands) openWard(ctx context.Context, self []string) (w *ward, err error) {
	_, _, file, err := c.file()
	if err != nil {
		return nil, err
	}
	state, err := stateDir(file)
	if err != nil {
		return nil, usageError{err}
	}
	real, err := c.door(file, nil)
	if err != nil {
		return nil, err
	}
	w = &ward{log: new(demoLog), self: self, secret: strings.NewReplacer()}
	if real.key != "" {
		w.secret = strings.NewReplacer(real.key, "REDACTED", url.UserPassword("", real.key).String()[1:], "REDACTED")
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "outrider-doctor-"); err != nil {
		return nil, err
	}
	if err := clients.WriteProbes(w.dir); err != nil {
		return nil, err
	}
	if w.provider, err = openProvider(); err != nil {
		return nil, err
	}
	borrowed := filepath.Join(w.dir, "state")
	if err := borrowRoot(state, borrowed); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		w.notes = append(w.notes, "the key of the root is not in "+state+", so this was tried with another root")
		state = borrowed
	}
	document := []byte(wardDocument(w.provider.url, borrowed, real.key))
	own, err := config.Parse("doctor", document)
	if err != nil {
		return nil, err
	}
	if w.sidecar, err = start(ctx, "", document, own, w.log); err != nil {
		return nil, err
	}
	variables, err := c.variables(door{listen: w.sidecar.addresses[""], key: real.key, trust: state, files: state})
	if err != nil {
		return nil, err
	}
	w.env = childEnvironment(os.Environ(), variables, file, false)
	return w, nil
}

// borrowRoot makes a state directory with the root of another one. An issuer is
// constrained to the names of a configuration, and is kept: made in the real
// state directory, one for our hosts would take the place of the one that the
// real configuration needs.
func borrowRoot(from, to string) error {
	if _, err := intercept.Open(from).Root(); err != nil {
		return fmt.Errorf("reading the local certificate authority: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(to, "ca"), 0o700); err != nil {
		return err
	}
	absolute, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	for _, name := range []string{"root.pem", "root.key"} {
		path := filepath.Join(absolute, "ca", name)
		if _, err := os.Stat(path); err != nil {
			return errors.Join(err, os.RemoveAll(to)) // the key may be kept elsewhere
		}
		if err := lend(path, filepath.Join(to, "ca", name)); err != nil {
			return err
		}
	}
	return nil
}

// lend makes a file appear under another name, as a link where that can be: a key
// that is not copied cannot be left lying about.
func lend(path, as string) error {
	if os.Symlink(path, as) == nil {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(as, data, 0o600)
}

// wardDocument is the configuration of the sidecar. It asks for the access key of
// the real one, if there is any, which not every client can be given. Each call has a host of its
// own, by which it is known even when nothing of it arrives but its CONNECT.
func wardDocument(provider, state, key string) string {
	var hosts []string
	for _, probe := range clients.Probes() {
		for _, scheme := range doctorSchemes {
			hosts = append(hosts, strconv.Quote(doctorLabel(probe.Client, scheme)+"."+doctorDomain))
		}
	}
	return fmt.Sprintf("listen = %q\nadmin = %q\nstate_dir = %q\naccess_key = %q\n"+
		"[egress]\nproxy = \"direct\"\n[telemetry]\nlog_level = \"warn\"\naccess_log = false\n"+
		"[upstream.doctor]\nurl = %q\nhosts = [%s]\n",
		freePort, freePort, state, key, provider, strings.Join(hosts, ", "))
}

var doctorSchemes = []string{"http", "https"}

var unlabelled = regexp.MustCompile("[^a-z0-9]+")

// doctorLabel names a call: in its host, and in its path.
func doctorLabel(client, scheme string) string {
	return unlabelled.ReplaceAllString(strings.ToLower(client), "-") + "-" + scheme
}

// close takes everything down. There is nothing in it that anybody waits for.
func (w *ward) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if w.sidecar != nil {
		_ = w.sidecar.stop(ctx)
	}
	if w.provider != nil {
		_ = w.provider.shut()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}
