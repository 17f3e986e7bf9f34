package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy"
	"outrider/proxy/admin"
	"outrider/proxy/egress"
	"outrider/proxy/intercept"
	"outrider/proxy/telemetry"

	"github.com/google/uuid"
)

// A sidecar is a running Outrider: every part, wired.
type sidecar struct {
	file      *config.File
	live      policy.Live
	telemetry *telemetry.Telemetry
	secrets   *secrets
	server    *proxy.Server
	reloader  *proxy.Reloader
	listeners []opened // what serve takes calls from
	adminPort net.Listener
	admin     *http.Server
	own       []netip.AddrPort  // what we listen on, so that no call comes back to us
	addresses map[string]string // upstream → address of its port; "" is the main port
	adminAt   string
	draining  atomic.Bool

	forCommand atomic.Bool // started by exec
}

// opened are the listeners of a sidecar, before anything is served on them.
type opened struct {
	upstream string // "" for the main port
	listen   string
	net.Listener
}

// start brings a sidecar up: it answers when start returns.
func start(ctx context.Context, path string, data []byte, file *config.File, log io.Writer) (*sidecar, error) {
	s, err := prepare(ctx, path, data, file, log)
	if err == nil {
		s.serve()
	}
	return s, err
}

// prepare makes a sidecar that can be served: its addresses are taken, and who calls
// them waits.
func prepare(ctx context.Context, path string, data []byte, file *config.File, log io.Writer) (*sidecar, error) {
	s := &sidecar{file: file, secrets: newSecrets(), addresses: make(map[string]string)}
	t := file.Telemetry
	var err error
	s.telemetry, err = telemetry.New(ctx, telemetry.Settings{
		ServiceName: t.ServiceName, Version: version(), Endpoint: t.Endpoint, Sample: t.Sample,
		LogFormat: t.LogFormat, LogLevel: t.LogLevel, AccessLog: t.AccessLog, LogOutput: log,
	})
	if err != nil {
		return nil, usageError{fmt.Errorf("telemetry: %w", err)}
	}
	listeners, adminListener, err := s.listen()
	if err != nil {
		return nil, err
	}
	s.reloader = &proxy.Reloader{Path: path, Live: &s.live, Env: s.env(), Check: s.checkWay, Log: s.telemetry.Logger()}
	if err := s.reloader.Load(data); err != nil {
		closeAll(listeners, adminListener)
		return nil, usageError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	s.telemetry.Watch(func() []policy.UpstreamStatus { return s.live.Load().Status() })
	s.listeners, s.adminPort = listeners, adminListener
	return s, nil
}

// serve takes the calls.
func (s *sidecar) serve() {
	s.server = proxy.New(proxy.Settings{
		Live: &s.live, Telemetry: s.telemetry, Outside: s.outside, Issuer: s.issuer,
		Secret: s.secrets.get, Log: s.telemetry.Logger(),
	})
	for _, l := range s.listeners {
		s.server.Serve(l.Listener, l.upstream, l.listen)
	}
	s.serveAdmin(s.adminPort)
}

// listen opens every address. They are all open before the first call is
// taken, so that a port that is in use is an error at the start.
func (s *sidecar) listen() (listeners []opened, adminListener net.Listener, err error) {
	wanted := []opened{{listen: s.file.Listen}}
	for _, u := range s.file.Upstreams {
		if u.Listen != "" {
			wanted = append(wanted, opened{upstream: u.Name, listen: u.Listen})
		}
	}
	for _, l := range wanted {
		if l.Listener, err = listenAt(l.listen); err != nil {
			closeAll(listeners, nil)
			return nil, nil, fmt.Errorf("opening listen %s: %w", l.listen, err)
		}
		listeners = append(listeners, l)
		s.addresses[l.upstream] = shownAddress(l)
		s.owns(l.Listener)
	}
	if adminListener, err = listenAt(s.file.Admin); err != nil {
		closeAll(listeners, nil)
		return nil, nil, fmt.Errorf("opening admin %s: %w", s.file.Admin, err)
	}
	s.adminAt = shownAddress(adminListener)
	s.owns(adminListener)
	return listeners, adminListener, nil
}

func (s *sidecar) owns(l net.Listener) {
	if address, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
		s.own = append(s.own, address)
	}
}

// ours reports whether an address is one that we listen on.
func (s *sidecar) ours(address netip.AddrPort) bool {
	ip := address.Addr().Unmap()
	for _, own := range s.own {
		if own.Port() != address.Port() {
			continue
		}
		if at := own.Addr().Unmap(); at == ip || at.IsUnspecified() && (ip.IsLoopback() || ip.IsUnspecified() || onInterface(ip)) {
			return true
		}
	}
	return false
}

func onInterface(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Unmap() == ip {
			return true
		}
	}
	return false
}

func closeAll(listeners []opened, others ...net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, l := range others {
		if l != nil {
			_ = l.Close()
		}
	}
}

// env is the outside world, for the policies.
func (s *sidecar) env() policy.Env {
	return policy.Env{
		Transport: func(u *config.Upstream) (http.RoundTripper, error) {
			way, err := s.way(u.Egress)
			if err != nil {
				return nil, &settingError{"proxy", err}
			}
			transport, err := egress.New(egress.Settings{
				CAFile: u.CAFile, ClientCert: u.ClientCert, ClientKey: u.ClientKey,
				Guard: egress.NewOpenGuard(s.ours), Proxy: way,
			})
			if err != nil {
				return nil, err
			}
			return traced{s.telemetry.Transport(transport), transport}, nil
		},
		Jitter:  jitter,
		NewKey:  newKey,
		Secret:  s.secrets.get,
		Observe: s.telemetry.Observe,
	}
}

func jitter(max time.Duration) time.Duration {
	if max <= 0 {
		return 0
	}
	return mathrand.N(max)
}

// newKey mints an idempotency key: a UUID, version 7 (RFC 9562).
func newKey() string {
	if key, err := uuid.NewV7(); err == nil {
		return key.String()
	}
	return uuid.NewString()
}

// traced is a transport with spans, which can still give its connections back.
type traced struct {
	http.RoundTripper
	wire *egress.Transport
}

func (t traced) CloseIdleConnections() { t.wire.CloseIdleConnections() }

// outside is the guarded way to hosts that no upstream names.
func (s *sidecar) outside(file *config.File) (proxy.Outside, error) {
	way, err := s.way(file.Egress)
	if err != nil {
		return proxy.Outside{}, fmt.Errorf("egress.proxy: %w", err)
	}
	guard := egress.NewGuard(file.Forward.AllowPrivate, s.ours)
	transport, err := egress.New(egress.Settings{Guard: guard, Proxy: way})
	if err != nil {
		return proxy.Outside{}, err
	}
	return proxy.Outside{
		Transport: traced{s.telemetry.Transport(transport), transport},
		Dial:      egress.Dialer{Guard: guard, Proxy: way}.Dial,
		DialUpstream: func(ctx context.Context, u *config.Upstream, network, address string) (net.Conn, error) {
			way, err := s.way(u.Egress)
			if err != nil {
				return nil, err
			}
			return egress.Dialer{Guard: egress.NewOpenGuard(s.ours), Proxy: way}.Dial(ctx, network, address)
		},
	}, nil
}

// way is the proxy, if any, that our own connections go through.
func (s *sidecar) way(e config.Egress) (egress.ProxyFunc, error) {
	switch {
	case e.Proxy == config.ProxyEnvironment:
		return egress.EnvironmentProxy(os.Getenv, s.ours)
	case e.Proxy == config.ProxyDirect, e.Proxy == "":
		return nil, nil
	}
	raw := e.Proxy
	if ref := config.Reference(raw); ref.Scheme() != "" {
		var err error
		if raw, err = s.secrets.get(ref); err != nil {
			return nil, err
		}
	}
	var except []string
	if e.NoProxy != "" {
		except = strings.Split(e.NoProxy, ",")
	}
	return egress.FixedProxy(raw, except)
}

// checkWay finds out whether the proxy for hosts that no upstream names can be
// used. Those of the upstreams are seen when they are compiled.
func (s *sidecar) checkWay(file *config.File) error {
	if _, err := s.way(file.Egress); err != nil {
		return fmt.Errorf("egress.proxy: %w", err)
	}
	return nil
}

// A settingError is what is wrong with one setting of an upstream.
type settingError struct {
	key string
	err error
}

func (e *settingError) Error() string { return e.key + ": " + e.err.Error() }

func (e *settingError) Unwrap() error { return e.err }

// Key names the setting.
func (e *settingError) Key() string { return e.key }

// issuer gives the certificates under which the TLS of clients is opened. The
// local authority is made when it is needed first: who calls base URLs alone
// needs none, and may have no place for it.
func (s *sidecar) issuer(names []string) (proxy.Issuer, error) {
	dir, err := stateDir(s.file)
	if err != nil {
		return nil, err
	}
	return intercept.Open(dir).Issuer(names)
}

// authority describes the local certificate authority, "" before its first use.
func (s *sidecar) authority() string {
	dir, err := stateDir(s.file)
	if err != nil {
		return ""
	}
	root, err := intercept.Open(dir).Existing()
	switch {
	case err != nil:
		return "cannot be used: " + err.Error()
	case root == nil:
		return ""
	}
	return fmt.Sprintf("%s, valid until %s, in %s", root.Subject.CommonName, root.NotAfter.Format(time.DateOnly), dir)
}

func (s *sidecar) serveAdmin(listener net.Listener) {
	handler := admin.New(admin.Settings{
		Version: version(),
		Status:  func() any { return s.status() },
		Calls:   func() any { return s.telemetry.Recent() },
		Explain: func(method, url string) (any, error) { return s.live.Load().Explain(method, url) },
		Reload:  s.reloader.Reload,
		Ready: func() error {
			if s.draining.Load() {
				return errors.New("draining")
			}
			return nil
		},
		Metrics:   s.telemetry.MetricsHandler(),
		AccessKey: s.accessKey,
		Hosts:     []string{hostOnly(s.file.Admin)},
	})
	s.admin = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.telemetry.Logger().Handler(), slog.LevelDebug)}
	go func() { _ = s.admin.Serve(listener) }() // ends with admin.Close, in stop
}

// accessKey is what the admin port asks for; "" is nothing. A key that is
// configured and cannot be read must not open the port: then nobody knows it.
func (s *sidecar) accessKey() string {
	ref := s.live.Load().File.AccessKey
	if ref == "" {
		return ""
	}
	key, err := s.secrets.get(ref)
	if err != nil {
		return rand.Text()
	}
	return key
}

// hostOnly is the host of an address; a socket has none.
func hostOnly(address string) string {
	if strings.HasPrefix(address, unixScheme) {
		return ""
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}

// statusView is what status, the page and the health check see.
type statusView struct {
	Version   string                  `json:"version"`
	Ready     bool                    `json:"ready"`
	Listen    map[string]string       `json:"listen"` // upstream → address; "" is the main port
	Upstreams []policy.UpstreamStatus `json:"upstreams"`
	Capture   proxy.CaptureStatus     `json:"capture"`
	Authority string                  `json:"authority,omitempty"` // the local certificate authority, once there is one
	Reload    *proxy.ReloadStatus     `json:"reload,omitempty"`
	Config    string                  `json:"config"`
	StateDir  string                  `json:"state_dir,omitempty"`
	// ForCommand says that it was started by exec, and ends with its command.
	ForCommand bool `json:"for_command,omitempty"`
}

func (s *sidecar) status() statusView {
	return statusView{
		Version: version(), Ready: !s.draining.Load(), Listen: s.addresses,
		Upstreams: s.live.Load().Status(), Reload: s.reloader.Status(), Config: s.reloader.Path,
		Capture: s.server.Capture(), Authority: s.authority(), StateDir: s.stateDir(),
		ForCommand: s.forCommand.Load(),
	}
}

// stateDir is where our authority is, for those who have to trust it; "" where
// there is no place for one.
func (s *sidecar) stateDir() string {
	dir, err := stateDir(s.file)
	if err != nil {
		return ""
	}
	return dir
}

// stop takes the sidecar down: readiness goes first, then no new calls, then
// those under way have until ctx ends.
func (s *sidecar) stop(ctx context.Context) error {
	s.draining.Store(true)
	err := s.server.Shutdown(ctx)
	_ = s.admin.Close()
	s.live.Load().Close()
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if lost := s.telemetry.Shutdown(flush); lost != nil {
		// The calls are through: a collector that does not answer is no reason
		// to report that stopping failed.
		s.telemetry.Logger().Warn("the last spans could not be sent", "error", lost)
	}
	return err
}
