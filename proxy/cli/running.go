package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"outrider/policy/config"
)

// A neighbour is an Outrider that runs already.
type neighbour struct {
	version  string
	config   string // path of its configuration
	listen   string // its main port
	stateDir string // with its certificate authority; "": none
}

// neighbour finds the Outrider at the admin address; nil when none answers there
// that is for everybody.
func (c *commands) neighbour(ctx context.Context) (*neighbour, error) {
	address, _, err := c.adminAddress()
	if err != nil {
		return nil, err
	}
	version, ok := askVersion(ctx, address)
	if !ok {
		return nil, nil
	}
	var view statusView
	if err := c.ask(ctx, "/api/status", nil, &view); err != nil {
		return nil, fmt.Errorf("asking the Outrider that runs: %w", err)
	}
	// One that belongs to a command goes away with it. Only who was told about it
	// may use it, as that command is and what it starts.
	if view.ForCommand && c.admin == "" && os.Getenv(adminVariable) == "" {
		return nil, nil
	}
	return &neighbour{version: version, config: view.Config, listen: view.Listen[""], stateDir: view.StateDir}, nil
}

// configVariable names the configuration.
const configVariable = "OUTRIDER_CONFIG"

// adminVariable names the admin address of the Outrider that is meant.
const adminVariable = "OUTRIDER_ADMIN"

// askVersion asks who is at an admin address. Health needs no key, so that this
// is answered by every Outrider, and by nobody else with our header.
func askVersion(ctx context.Context, address string) (version string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/healthz", nil)
	if err != nil {
		return "", false
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAt(ctx, address) },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", false
	}
	_ = resp.Body.Close()
	version = resp.Header.Get("Outrider-Version")
	return version, version != ""
}

// noteNeighbour tells what one would not expect of the Outrider that runs.
func (c *commands) noteNeighbour(n *neighbour, path string) {
	if n.version != version() {
		c.note("the Outrider that runs is of version %s, and this is %s", n.version, version())
	}
	if n.config != path {
		c.note("the Outrider that runs has another configuration: %s, and not %s", orBuiltIn(n.config), orBuiltIn(path))
	}
}

// sameConfig refuses a command by an Outrider that runs with another configuration than the one
// that was named for it: a program would get past what that one denies. Who names the admin
// address on the command line, too, means the one that runs. (exec puts it into the environment
// of what it starts, which must not be a way out.)
func (c *commands) sameConfig(n *neighbour, path string, data []byte) error {
	named := c.config != "" || os.Getenv(configVariable) != ""
	if !named || c.admin != "" || n.config == path {
		return nil
	}
	if its, err := os.ReadFile(n.config); err == nil && bytes.Equal(its, data) {
		return nil
	}
	return usageError{fmt.Errorf("an Outrider runs already, with the configuration %s, and not %s: leave --config and $%s out to use it, or name it with --admin, or give this one ports of its own (listen, admin)",
		orBuiltIn(n.config), path, configVariable)}
}

// note says something on stderr that is no error.
func (c *commands) note(format string, args ...any) {
	fmt.Fprintf(c.Stderr, "outrider: "+format+"\n", args...)
}

// A door is where clients are to go, and whom they have to trust there.
type door struct {
	listen string // host:port
	admin  string // address of its page; "": as configured
	key    string // access key; "": none
	trust  string // state directory with the certificate authority; "": TLS is not opened
	files  string // state directory for what clients are told by files; "": there is none
}

// door is that of the Outrider that runs, or of our configuration if n is nil.
func (c *commands) door(file *config.File, n *neighbour) (door, error) {
	d := door{listen: file.Listen}
	var err error
	if d.files, err = stateDir(file); err != nil && opensTLS(file) {
		return door{}, usageError{err}
	}
	if file.Forward.Intercept {
		d.trust = d.files
	}
	if n != nil {
		d.listen = n.listen
		if d.trust != "" {
			d.trust = n.stateDir
		}
	}
	if file.AccessKey != "" {
		if d.key, err = newSecrets().get(file.AccessKey); err != nil {
			return door{}, usageError{fmt.Errorf("access_key: %w", err)}
		}
	}
	return d, nil
}

// opensTLS reports whether there is a host whose TLS is to be opened.
func opensTLS(file *config.File) bool {
	for _, u := range file.Upstreams {
		if file.Forward.Intercept && u.Intercept && len(u.Hosts) > 0 {
			return true
		}
	}
	return false
}

// errSocket is said where HTTP_PROXY would have to name a socket.
var errSocket = errors.New("listen is a Unix socket, which no proxy variable can name: give it an address of loopback")

// reachable is host:port at which a listener is reached from this machine.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || strings.HasPrefix(listen, unixScheme) {
		return "", usageError{errSocket}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
