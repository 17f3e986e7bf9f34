package clients

import (
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Settings say what clients are to be told.
type Settings struct {
	Proxy   string // URL of the proxy, http://[user:key@]host:port
	NoProxy string // hosts that were reached directly before, as in NO_PROXY; they stay so

	// What to trust, as files. Without Root and Bundle nothing is said about trust.
	Root         string // our own root, PEM
	Bundle       string // our own root and those of the system, PEM
	CertDir      string // directory with our own root, named as OpenSSL looks for it; "": none
	Java         string // trust store for Java with our root and the system's, PKCS #12; "": none
	JavaPassword string // of that store

	// Dir is where files for those go who read no variable. They have names that
	// change with their content, so that callers with different environments do not
	// disturb each other. "": such clients are left out.
	Dir string

	// Environ is the environment that the variables will be added to; nil means
	// that of this process. What it says already is kept where it can be.
	Environ func(name string) string
}

// A Variable is one variable, with who reads it.
type Variable struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Readers string `json:"readers"`
}

// Variables are all variables for clients, in a fixed order. It writes the
// files that they name. Asked again in an environment that has them already, it
// gives the same.
func Variables(s Settings) ([]Variable, error) {
	d, err := newDesk(s)
	if err != nil {
		return nil, err
	}
	if err := d.writeFiles(); err != nil {
		return nil, err
	}
	var variables []Variable
	for _, e := range table {
		value := e.value(d)
		if value == "" {
			continue
		}
		for _, name := range e.names {
			variables = append(variables, Variable{name, value, e.readers})
		}
	}
	for _, e := range rootsTable {
		if d.bundle != "" {
			variables = append(variables, Variable{e.name, d.bundle, e.readers})
		}
	}
	return variables, nil
}

// A desk is what the rows of the table take their values from.
type desk struct {
	Settings
	proxy  *url.URL
	direct []string // hosts that are reached without the proxy
	bundle string   // Bundle, or one that also holds what the environment trusts already

	preload, wgetrc, phpDir string // files of our own; "": none
}

func newDesk(s Settings) (*desk, error) {
	proxy, err := url.Parse(s.Proxy)
	if err != nil || proxy.Scheme != "http" || proxy.Hostname() == "" || proxy.Port() == "" {
		return nil, fmt.Errorf("a proxy for clients must be http://host:port") // not its text, it may hold a key
	}
	if s.Environ == nil {
		s.Environ = os.Getenv
	}
	return &desk{Settings: s, proxy: proxy, direct: directHosts(s.NoProxy)}, nil
}

// writeFiles writes what some clients are told by files.
func (d *desk) writeFiles() (err error) {
	d.bundle = d.Bundle
	if d.Dir == "" {
		return nil
	}
	if d.bundle, err = d.mergedBundle(); err != nil {
		return err
	}
	if d.preload, err = writeNamed(d.Dir, "node-", "capture.cjs", capture, 0o644); err != nil {
		return err
	}
	if d.bundle == "" {
		return nil
	}
	if d.wgetrc, err = writeNamed(d.Dir, "wget-", "wgetrc", d.wgetrcText(), 0o600); err != nil {
		return err
	}
	d.phpDir, err = writeNamedDir(d.Dir, "php-", "outrider.ini", d.phpIni())
	return err
}

// existing is what the environment says already.
func (d *desk) existing(name string) string { return strings.TrimSpace(d.Environ(name)) }
