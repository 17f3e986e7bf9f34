package alarm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// quotaExhausted is a quota that no waiting brings back: the provider wants money, or the
// day to end.
var quotaExhausted = alert.Rule{Name: "quota-exhausted", Severity: alert.Critical}

// Settings say what alarms are told with. None may be nil.
type Settings struct {
	Log *slog.Logger
	// Secret reads a notification URL, or the secret that messages are signed with.
	Secret func(config.Reference) (string, error)
	// Ways are the ways to those whom a configuration has notified: source, transport and dialer.
	Ways func(*config.File) (alert.Settings, error)
	// Authority is the local certificate authority; it gives nil where there is none that
	// can be used.
	Authority func() *x509.Certificate
	// Outbox is what is known of the letters that are kept, which may be some time old unless
	// it is asked for anew; false: there are none, and none are taken.
	Outbox func(anew bool) (Outbox, bool)
}

// Alarms turn what they learn into alerts, and tell them: in the log, and to the
// notification URLs of the configuration that is live. Its methods may be called at the
// same time.
type Alarms struct {
	settings Settings
	book     *alert.Book
	curfew   *alert.Curfew
	circuits *circuitAlerts
	calls    *callCounts
	quiet    *quietCounts
	volumes  *volumes
	tls      refusedHosts

	looking sync.Mutex // guards the state of looks
	looks   []look

	mu       sync.Mutex
	live     *policy.Set // whose alerts are kept; nil: none yet
	set      config.Alerts
	egress   config.Egress
	notifier *alert.Notifier // nil: nobody is notified
	former   sync.WaitGroup  // of notifiers that send what they have, and are no more
	ctx      context.Context // governs those: ends when Close waits no longer
	cancel   context.CancelFunc
}

// New makes alarms that know of nothing yet. Close has to be called.
func New(settings Settings) *Alarms {
	a := &Alarms{settings: settings, calls: newCallCounts(), quiet: newQuietCounts(), volumes: newVolumes()}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.curfew = alert.NewCurfew(a.notify)
	a.book = alert.NewBook(a.tell)
	a.circuits = newCircuitAlerts(a.book)
	a.looks = a.allLooks()
	return a
}

// tell logs an alert and hands it on. It does not wait.
func (a *Alarms) tell(told alert.Alert) {
	attrs := []slog.Attr{slog.String("rule", told.Rule), slog.String("subject", told.Subject),
		slog.String("title", told.Title), slog.String("detail", told.Detail), slog.Time("since", told.Since)}
	for _, more := range []struct{ key, value string }{{"action", told.Action}, {"trace_id", told.Trace}} {
		if more.value != "" {
			attrs = append(attrs, slog.String(more.key, more.value))
		}
	}
	if told.Calls > 0 {
		attrs = append(attrs, slog.Int("calls", told.Calls))
	}
	switch {
	case told.Ended != nil:
		a.settings.Log.LogAttrs(context.Background(), slog.LevelInfo, "alert is over", attrs...)
	case told.Severity == alert.Warning:
		a.settings.Log.LogAttrs(context.Background(), slog.LevelWarn, "alert", attrs...)
	default:
		a.settings.Log.LogAttrs(context.Background(), slog.LevelError, "alert", attrs...)
	}
	a.curfew.Tell(told)
}

// notify has an alert sent to whom the configuration names.
func (a *Alarms) notify(told alert.Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.notifier != nil {
		a.notifier.Notify(told)
	}
}

// Observe learns from an event what is wrong, and what is over. trace is that of the call
// to which it happened; "": to none. It does not wait.
func (a *Alarms) Observe(trace string, e policy.Event) {
	switch e.Kind {
	case policy.EventConnection: // it is another one, or none
		a.book.Resolve(subjectOf(e.Upstream, policy.ConnectionCredential(e.Key)), credentialRules...)
	case policy.EventFound:
		a.book.Resolve(subjectOf(e.Upstream, e.Key), credentialRules...)
	case policy.EventRefresh:
		a.refreshed(e)
	case policy.EventExhausted:
		a.book.Raise(quotaExhausted, alert.Trouble{
			Subject: quotaSubject(e.Upstream, e.Key), Trace: trace,
			Title:  "Quota of " + e.Upstream + " exhausted: " + e.Reason,
			Detail: "the provider refuses the calls of " + e.Key + ", and no waiting helps soon",
			Action: "See to the plan, or the bill, at the provider. The alert ends with the first call that it takes.",
		})
	case policy.EventReplenished:
		a.book.Resolve(quotaSubject(e.Upstream, e.Key), quotaExhausted)
	case policy.EventEmpty:
		a.book.Raise(resultsEmpty, emptyTrouble(e.Upstream, e.Empty, trace))
	case policy.EventFilled:
		a.book.Resolve(marked(e.Upstream, resultsMark, e.Key), resultsEmpty)
	case policy.EventNotice:
		a.book.Raise(providerNotice, noticeTrouble(e.Upstream, *e.Notice, trace))
	case policy.EventCircuit:
		a.circuits.changed(trace, e)
	}
}

// Ended learns from how a call has ended just now: which trouble it met, and what many of
// them say together. It does not wait.
func (a *Alarms) Ended(r *telemetry.Record, now time.Time) {
	if r.Upstream == "" {
		return
	}
	a.calls.count(r, now)
	a.handshakes(r, now)
	a.quietly(r, now)
	a.volumes.count(r, now)
	if met := a.metBy(r); met != nil {
		a.book.Meet(r.TraceID, met)
	}
}

// metBy tells the alerts that a call has met; nil: it met none.
func (a *Alarms) metBy(r *telemetry.Record) func(alert.Alert) bool {
	of := func(rules []alert.Rule, subject string) func(alert.Alert) bool {
		return func(a alert.Alert) bool { return isOneOf(rules, a.Rule) && strings.HasPrefix(a.Subject, subject) }
	}
	switch {
	case r.Problem == "credential-unavailable":
		return a.metCredential(r)
	case r.Problem == "circuit-open":
		return metCircuit(r)
	case a.calls.failed(r):
		return of([]alert.Rule{errorsHigh}, callsSubject(r.Upstream))
	case r.Class == policy.ClassExhausted:
		return of([]alert.Rule{quotaExhausted}, quotaSubject(r.Upstream, ""))
	case r.Class == policy.ClassThrottled:
		return of([]alert.Rule{throttled}, callsSubject(r.Upstream))
	}
	return nil
}

// Follow has a configuration that is live now say who is notified. What waits for
// targets that it has not is sent. Alerts about what it has not are over.
func (a *Alarms) Follow(set *policy.Set) {
	file := set.File
	a.mu.Lock()
	before := a.live
	a.live = set
	a.mu.Unlock()
	a.calls.brought.follow(set)
	a.curfew.Keep(quietHours(file.Alerts)) // each of which tells
	a.book.Override(overrides(file.Alerts.Rules))
	a.book.Retain(about(set, before))
	a.volumes.follow(set.Upstreams())
	a.mu.Lock()
	defer a.mu.Unlock()
	same := slices.Equal(file.Alerts.Notify, a.set.Notify) && file.Alerts.Secret == a.set.Secret && file.Egress == a.egress
	if same {
		return
	}
	a.set, a.egress = file.Alerts, file.Egress
	if len(file.Alerts.Notify) == 0 {
		a.retire()
		return
	}
	settings, err := a.settings.Ways(file)
	if err != nil { // who loads a configuration has looked at it
		a.retire()
		a.settings.Log.Error("nobody is notified of alerts", "error", err)
		return
	}
	settings.Latest = a.book.Latest
	settings.Failed = func(err error) { a.settings.Log.Error("an alert could not be told", "error", err) }
	if ref := file.Alerts.Secret; ref != "" {
		settings.Secret = func() (string, error) { return a.settings.Secret(ref) }
	}
	var targets []alert.Target
	for _, ref := range file.Alerts.Notify {
		targets = append(targets, alert.Target{Name: string(ref), URL: func() (string, error) { return a.settings.Secret(ref) }})
	}
	if a.notifier == nil {
		a.notifier = alert.NewNotifier(settings, targets)
		return
	}
	a.notifier.Follow(settings, targets)
}

// retire has the notifier send what it has, and be no more. The lock is held.
func (a *Alarms) retire() {
	before := a.notifier
	if before == nil {
		return
	}
	a.notifier = nil
	a.former.Go(func() { before.Close(a.ctx) }) // every message has its end
}

// upstreams are those of the configuration that is live; none before the first.
func (a *Alarms) upstreams() []*policy.Upstream {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live == nil {
		return nil
	}
	return a.live.Upstreams()
}

// Active lists the alerts that last.
func (a *Alarms) Active() []alert.Alert { return a.book.Active() }

// Held is how many alerts quiet hours hold back.
func (a *Alarms) Held() int { return a.curfew.Held() }

// errNobody says that there is nobody to try the way to.
var errNobody = errors.New("nobody is notified: alerts.notify is empty")

// Test tries the way to those who are notified, until ctx ends. It is an error that there
// is nobody.
func (a *Alarms) Test(ctx context.Context) ([]alert.TestResult, error) {
	a.mu.Lock()
	notifier := a.notifier
	a.mu.Unlock()
	if notifier == nil {
		return nil, errNobody
	}
	return notifier.Test(ctx), nil
}

// Targets tells how it goes with those who are notified, in the order of alerts.notify.
func (a *Alarms) Targets() []alert.TargetStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.notifier == nil {
		return nil
	}
	return a.notifier.Status()
}

// Close tells what there is left to tell, until ctx ends.
func (a *Alarms) Close(ctx context.Context) {
	a.book.Close()
	a.curfew.Close()
	a.mu.Lock()
	a.retire()
	a.mu.Unlock()
	defer context.AfterFunc(ctx, a.cancel)()
	a.former.Wait()
	a.cancel()
}

// Check finds out whether the notification URLs can be used, as secret reads them. It
// reports all that is wrong, by its keys.
func Check(alerts config.Alerts, secret func(config.Reference) (string, error)) error {
	var errs []error
	for i, ref := range alerts.Notify {
		url, err := secret(ref)
		if err == nil {
			err = alert.CheckURL(url)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.notify[%d]: %w", i, err))
		}
	}
	if ref := alerts.Secret; ref != "" {
		key, err := secret(ref)
		if err == nil {
			err = alert.CheckSecret(key)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.secret: %w", err))
		}
	}
	return errors.Join(errs...)
}
