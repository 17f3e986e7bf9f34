package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy"
	"outrider/proxy/alarm"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// A sidecar is a running Outrider: every part, wired.
type sidecar struct {
	file      *config.File
	live      policy.Live
	telemetry *telemetry.Telemetry
	secrets   *secrets
	shortages shortages
	alarms    *alarm.Alarms
	server    *proxy.Server
	reloader  *proxy.Reloader
	listeners []opened // what serve takes calls from
	adminPort net.Listener
	admin     *http.Server
	own       []netip.AddrPort  // what we listen on, so that no call comes back to us
	addresses map[string]string // upstream → address of its port; "" is the main port
	adminAt   string
	started   time.Time
	draining  atomic.Bool

	forCommand atomic.Bool // started by exec

	storage *storage     // of tokens, of letters, and of how far quotas are spent
	quotas  *quotaKeeper // which has the latter survive a restart
	outbox  *outbox.Outbox
	sender  *sender // of its letters
	watch   *alarm.Watch

	standing *outboxWatch // how the outbox stands
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
	s := &sidecar{file: file, started: time.Now(), secrets: newSecrets(), addresses: make(map[string]string)}
	told := telemetrySettings(file)
	told.LogOutput, told.Ended = log, func(r *telemetry.Record, now time.Time) { s.alarms.Ended(r, now) }
	var err error
	s.telemetry, err = telemetry.New(ctx, told)
	if err != nil {
		return nil, usageError{fmt.Errorf("telemetry: %w", err)}
	}
	s.shortages.log = s.telemetry.Logger()
	s.alarms = alarm.New(alarm.Settings{Log: s.telemetry.Logger(), Secret: s.secrets.get, Ways: s.alertWays, Authority: s.root, Outbox: s.alarmingOutbox})
	s.storage = newStorage(file, s.secrets, s.telemetry.Logger())
	listeners, adminListener, err := s.listen()
	if err != nil {
		return nil, err
	}
	s.reloader = &proxy.Reloader{Path: path, Live: &s.live, Env: s.env(), Check: s.prepareFor, Ended: s.alarms.Reloaded, Log: s.telemetry.Logger()}
	if err := s.reloader.Load(data); err != nil {
		closeAll(listeners, adminListener)
		s.storage.close()
		return nil, usageError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	file.Upstreams = s.live.Load().File.Upstreams // which are the same: thousands are not to be in memory twice
	s.quotas = keepQuotas(ctx, quotasOf{&s.live}, s.storage, s.telemetry.Logger())
	s.outbox = s.newOutbox()
	s.sender = startSender(s.outbox, s.storage, s.telemetry.Logger())
	s.reloader.Changed = s.follow
	s.follow()
	s.telemetry.Watch(s.states)
	s.listeners, s.adminPort = listeners, adminListener
	return s, nil
}

// telemetrySettings are what a configuration says of telemetry.
func telemetrySettings(file *config.File) telemetry.Settings {
	t := file.Telemetry
	return telemetry.Settings{
		ServiceName: t.ServiceName, Version: version(), Endpoint: t.Endpoint, Sample: t.Sample,
		KeepErrors: t.KeepErrors, KeepSlow: t.KeepSlow,
		LogFormat: t.LogFormat, LogLevel: t.LogLevel, AccessLog: t.AccessLog, ExportLogs: t.ExportLogs,
	}
}

// serve takes the calls.
func (s *sidecar) serve() {
	s.server = proxy.New(proxy.Settings{
		Live: &s.live, Telemetry: s.telemetry, Outside: s.outside, Issuer: s.issuer,
		Outbox: s.outbox, Secret: s.secrets.get, Log: s.telemetry.Logger(),
	})
	for _, l := range s.listeners {
		s.server.Serve(l.Listener, l.upstream, l.listen)
	}
	s.telemetry.WatchProcess(s.process)
	s.standing = watchOutbox(s.kept)
	s.telemetry.WatchOutbox(s.standing.measured)
	s.serveAdmin(s.adminPort)
	s.watch = s.alarms.Watch(s.states)
}

// states are those of the upstreams now.
func (s *sidecar) states() []policy.UpstreamStatus { return s.live.Load().Status() }

// process is what belongs to no upstream now.
func (s *sidecar) process() telemetry.Process {
	p := telemetry.Process{Tunnels: s.server.Capture().Tunnels, Read: s.started, Alerts: make(map[string]int)}
	if last := s.reloader.Status(); last != nil {
		p.Read, p.Refused = last.Time, last.Error != ""
	}
	for _, r := range alarm.Rules() {
		p.Alerts[r.Name] = 0
	}
	for _, a := range s.alarms.Active() {
		p.Alerts[a.Rule]++
	}
	return p
}

// lastMoments is ctx, and if its time is over 5 s more; if it was cancelled nothing.
func lastMoments(ctx context.Context) context.Context {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx
	}
	more, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	context.AfterFunc(more, cancel)
	return more
}

// stop takes the sidecar down: readiness goes first, then no new calls, then
// those under way have until ctx ends.
func (s *sidecar) stop(ctx context.Context) error {
	s.draining.Store(true)
	s.standing.close() // for which a look of the alarms may wait
	s.watch.Close()
	s.sender.stop() // the grace is that of what is under way, letters among it
	err := s.server.Shutdown(ctx)
	_ = s.admin.Close()
	s.sender.close(ctx)
	if lost := s.live.Close(lastMoments(ctx)); lost != nil {
		s.telemetry.Logger().Warn("tokens may be lost with our end", "error", lost)
	}
	s.quotas.close(lastMoments(ctx))
	s.storage.close()
	s.telemetry.Flush() // what ended last may be an alert
	s.alarms.Close(lastMoments(ctx))
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if lost := s.telemetry.Shutdown(flush); lost != nil {
		// The calls are through: a collector that does not answer is no reason
		// to report that stopping failed.
		s.telemetry.Logger().Warn("the last spans could not be sent", "error", lost)
	}
	return err
}
