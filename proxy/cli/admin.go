package cli

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"outrider/policy"
	"outrider/proxy"
	"outrider/proxy/admin"
	"outrider/proxy/alert"
	"outrider/proxy/handover"
	"outrider/proxy/intercept"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// root is the local certificate authority; nil: there is none that can be used.
func (s *sidecar) root() *x509.Certificate {
	dir, err := stateDir(s.file)
	if err != nil {
		return nil
	}
	root, err := intercept.Open(dir).Existing()
	if err != nil {
		return nil
	}
	return root
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
		Calls:   s.calls,
		Follow:  s.follower,
		Plan:    func() any { return plans(s.live.Load(), s.wayText) },
		Explain: func(ctx context.Context, method, url, connection string) (any, error) {
			return s.live.Load().Explain(ctx, method, url, connection)
		},
		Circuit: func(ctx context.Context, o admin.CircuitOrder) (any, error) {
			return s.live.Load().OrderCircuits(ctx, policy.CircuitOrder(o))
		},
		TestAlerts: func(ctx context.Context) (any, error) { return s.alarms.Test(ctx) },
		Reload:     s.reloader.Reload,
		Ready: func() error {
			if s.draining.Load() {
				return errors.New("draining")
			}
			return nil
		},
		Connections: handover.Handler{Set: s.live.Load},
		Outbox:      letters.Handler{Outbox: s.kept, Amend: s.amend},

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
	Version   string                       `json:"version"`
	Ready     bool                         `json:"ready"`
	Listen    map[string]string            `json:"listen"` // upstream → address; "" is the main port
	Upstreams []policy.UpstreamStatus      `json:"upstreams"`
	Traffic   map[string]telemetry.Traffic `json:"traffic"` // upstream → what its calls of late came to
	Capture   proxy.CaptureStatus          `json:"capture"`
	Authority string                       `json:"authority,omitempty"`      // the local certificate authority, once there is one
	Store     string                       `json:"store,omitempty"`          // of tokens and letters, once something is kept
	Outbox    *outbox.Standing             `json:"outbox,omitempty"`         // nil: there is none
	Warnings  []string                     `json:"warnings,omitempty"`       // what of it should not stay as it is
	Alerts    []alert.Alert                `json:"alerts,omitempty"`         // what lasts, the newest first
	Notified  []alert.TargetStatus         `json:"notified,omitempty"`       // those who are told of them
	HeldBack  int                          `json:"held_back,omitempty"`      // alerts, by quiet hours
	Lost      []telemetry.Loss             `json:"telemetry_lost,omitempty"` // what could not be exported
	Reload    *proxy.ReloadStatus          `json:"reload,omitempty"`
	Config    string                       `json:"config"`
	Started   time.Time                    `json:"started"`
	TraceURL  string                       `json:"trace_url,omitempty"` // where a trace can be looked at, with {trace_id} in it
	StateDir  string                       `json:"state_dir,omitempty"`
	// ForCommand says that it was started by exec, and ends with its command.
	ForCommand bool `json:"for_command,omitempty"`
}

func (s *sidecar) status() statusView {
	upstreams := s.states()
	return statusView{
		Version: version(), Ready: !s.draining.Load(), Listen: s.addresses,
		Upstreams: upstreams, Traffic: s.traffic(upstreams), Reload: s.reloader.Status(), Config: s.reloader.Path,
		Capture: s.server.Capture(), Authority: s.authority(), Store: s.storage.text(), Outbox: s.standing.standing(), Warnings: s.storage.warnings(), StateDir: s.stateDir(),
		Started: s.started, TraceURL: s.live.Load().File.Telemetry.TraceURL,
		ForCommand: s.forCommand.Load(), Alerts: s.alarms.Active(),
		Notified: s.alarms.Targets(), HeldBack: s.alarms.Held(), Lost: s.telemetry.Losses(),
	}
}

// calls lists the latest that a filter takes.
func (s *sidecar) calls(filter string) (any, error) {
	f, err := telemetry.ParseFilter(filter)
	if err != nil {
		return nil, err
	}
	return s.telemetry.Recent(f), nil
}

// follower follows the calls that a filter takes.
func (s *sidecar) follower(filter string) (admin.Follower, error) {
	f, err := telemetry.ParseFilter(filter)
	if err != nil {
		return nil, err
	}
	return follower{s.telemetry.Follow(f)}, nil
}

// follower is a telemetry.Follower, as the page wants it.
type follower struct{ *telemetry.Follower }

// callsAtATime is how many calls one event has at most: as many as somebody may read.
const callsAtATime = 500

// Next gives the calls as what they are written as.
func (f follower) Next(ctx context.Context) (calls any, lost uint64, err error) {
	return f.Follower.Next(ctx, callsAtATime)
}

// traffic is what calls of late came to, of each upstream that had one.
func (s *sidecar) traffic(upstreams []policy.UpstreamStatus) map[string]telemetry.Traffic {
	all := make(map[string]telemetry.Traffic)
	for _, u := range upstreams {
		if t, ok := s.telemetry.Traffic(u.Name); ok {
			all[u.Name] = t
		}
	}
	return all
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
