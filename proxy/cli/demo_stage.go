package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"outrider/policy/config"
	"outrider/proxy/intercept"
	"outrider/proxy/simulator"
)

// The sides of a demo.
const (
	demoPlain    = "plain client"
	demoOutrider = "through Outrider"
)

// A demoStage is what a demo runs on: a provider for each side, so that their
// counters and quotas are apart, and a sidecar before one of them.
type demoStage struct {
	dir     string // the files of the tokens
	sides   [2]*demoSide
	sidecar *sidecar
	log     *demoLog
}

// A demoSide is one of the two who make the calls.
type demoSide struct {
	name     string
	provider *demoProvider
	keyFile  string
	http     *http.Client // never through a proxy of the environment
	base     string       // of all upstreams, for the side of Outrider; "" for the other
	proxied  *http.Client // with Outrider as its proxy, and trusting it
}

// openStage starts everything on free ports of loopback.
func openStage(ctx context.Context, scenes []demoScene) (stage *demoStage, err error) {
	s := &demoStage{log: new(demoLog)}
	defer func() {
		if err != nil {
			_ = s.close(ctx) // the first error is the one to tell
		}
	}()
	if s.dir, err = os.MkdirTemp("", "outrider-demo-"); err != nil {
		return nil, err
	}
	for i, name := range []string{demoPlain, demoOutrider} {
		provider, err := openProvider()
		if err != nil {
			return nil, err
		}
		s.sides[i] = &demoSide{
			name: name, provider: provider, keyFile: filepath.Join(s.dir, fmt.Sprintf("token-%d", i)),
			http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		}
	}
	side := s.sides[1]
	state, refresh := filepath.Join(s.dir, "state"), filepath.Join(s.dir, "refresh-token")
	if err := os.WriteFile(refresh, []byte(side.provider.Grant("demo", "").RefreshToken), 0o600); err != nil {
		return nil, err
	}
	document := []byte(demoDocument(scenes, side.provider.url, refresh, state))
	file, err := config.Parse("demo", document)
	if err != nil {
		return nil, err
	}
	if s.sidecar, err = start(ctx, "", document, file, s.log); err != nil {
		return nil, err
	}
	side.base = "http://" + s.sidecar.addresses[""] + "/"
	side.proxied, err = demoProxied(s.sidecar.addresses[""], state)
	return s, err
}

// demoProxied is a client as outrider exec would have it: its proxy is Outrider,
// whose authority it trusts.
func demoProxied(address, state string) (*http.Client, error) {
	root, err := intercept.Open(state).Root()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: address}),
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}}, nil
}

// demoDocument is the configuration of the sidecar: an upstream for each scene.
func demoDocument(scenes []demoScene, provider, refresh, state string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstate_dir = %q\n", state)
	b.WriteString("egress = { proxy = \"direct\" }\n" +
		"[telemetry]\nlog_level = \"warn\"\nlog_format = \"text\"\naccess_log = false\n")
	for _, scene := range scenes {
		hosts := "[]"
		if scene.host != "" {
			hosts = fmt.Sprintf("[%q]", scene.host)
		}
		fmt.Fprintf(&b, "[upstream.%s]\nurl = %q\nhosts = %s\ntimeout = %q\n%s\n", scene.name, provider, hosts, demoDeadline, scene.policy)
		if scene.token {
			fmt.Fprintf(&b, "auth = { type = \"oauth2\", grant = \"refresh_token\", token_url = \"%s/oauth/token?old=dies&lifetime=%s\", "+
				"client_id = \"demo\", refresh_token = %q }\n", provider, demoLifetime, "file:"+refresh)
		}
	}
	return b.String()
}

// close takes everything down. What the sidecar still has to export is sent.
func (s *demoStage) close(ctx context.Context) error {
	var errs []error
	for _, side := range s.sides {
		if side != nil {
			side.http.CloseIdleConnections()
			if side.proxied != nil {
				side.proxied.CloseIdleConnections()
			}
		}
	}
	if s.sidecar != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		errs = append(errs, s.sidecar.stop(ctx))
	}
	for _, side := range s.sides {
		if side != nil {
			errs = append(errs, side.provider.shut())
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// A demoProvider is a simulator on a port of its own.
type demoProvider struct {
	*simulator.Simulator
	url   string
	ended chan error
}

func openProvider() (*demoProvider, error) {
	sim, err := simulator.New(simulator.Settings{Seed: 1})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &demoProvider{Simulator: sim, url: "http://" + listener.Addr().String(), ended: make(chan error, 1)}
	go func() { p.ended <- sim.Serve(listener) }() // ends with Close, in shut
	return p, nil
}

func (p *demoProvider) shut() error { return errors.Join(p.Close(), <-p.ended) }

// newToken gets a token from the provider and puts it into the file of the side,
// as an agent for secrets would.
func (s *demoSide) newToken(ctx context.Context, lifetime time.Duration) error {
	address := s.provider.url + "/oauth/token?lifetime=" + lifetime.String()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"demo"}, "client_secret": {"demo"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer); err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	if answer.Token == "" {
		return fmt.Errorf("getting a token: the provider answered %s", resp.Status)
	}
	next := s.keyFile + ".next" // renamed: nobody reads half a token
	if err := os.WriteFile(next, []byte(answer.Token+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.keyFile)
}

// A demoLog keeps what the sidecar warns of, out of the way.
type demoLog struct {
	mu sync.Mutex
	b  strings.Builder
}

// demoLogSize bounds a demoLog; what comes after it is dropped.
const demoLogSize = 1 << 20

func (l *demoLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < demoLogSize {
		l.b.Write(p)
	}
	return len(p), nil
}

func (l *demoLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
