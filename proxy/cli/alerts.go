package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alert"
	"outrider/proxy/egress"
)

// The rules of alerts about credentials.
var (
	credentialDead    = alert.Rule{Name: "credential-dead", Severity: alert.Critical}
	credentialRefused = alert.Rule{Name: "credential-refused", Severity: alert.Critical}
	credentialFailing = alert.Rule{Name: "credential-failing", Severity: alert.Critical, Patience: 5 * time.Minute, Least: 2}
	credentialNotKept = alert.Rule{Name: "credential-not-kept", Severity: alert.Critical}

	credentialRules = []alert.Rule{credentialDead, credentialRefused, credentialFailing, credentialNotKept}
)

// quotaExhausted is a quota that no waiting brings back: the provider wants money, or the
// day to end.
var quotaExhausted = alert.Rule{Name: "quota-exhausted", Severity: alert.Critical}

// alarms turn events into alerts, and tell them: in the log, and to the notification
// URLs of the configuration that is live.
type alarms struct {
	book    *alert.Book
	log     *slog.Logger
	secrets *secrets

	mu       sync.Mutex
	live     *policy.Set // whose alerts are kept; nil: none yet
	set      config.Alerts
	egress   config.Egress
	notifier *alert.Notifier // nil: nobody is notified
}

func newAlarms(log *slog.Logger, secrets *secrets) *alarms {
	a := &alarms{log: log, secrets: secrets}
	a.book = alert.NewBook(a.tell)
	return a
}

// tell hands an alert on. It does not wait.
func (a *alarms) tell(told alert.Alert) {
	attrs := []slog.Attr{slog.String("rule", told.Rule), slog.String("subject", told.Subject),
		slog.String("title", told.Title), slog.String("detail", told.Detail), slog.Time("since", told.Since)}
	switch {
	case told.Ended != nil:
		a.log.LogAttrs(context.Background(), slog.LevelInfo, "alert is over", attrs...)
	case told.Severity == alert.Warning:
		a.log.LogAttrs(context.Background(), slog.LevelWarn, "alert", attrs...)
	default:
		a.log.LogAttrs(context.Background(), slog.LevelError, "alert", attrs...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.notifier != nil {
		a.notifier.Notify(told)
	}
}

// observe learns from an event what is wrong, and what is over.
func (a *alarms) observe(e policy.Event) {
	switch e.Kind {
	case policy.EventConnection: // it is another one, or none
		a.book.Resolve(subjectOf(e.Upstream, policy.ConnectionCredential(e.Key)), credentialRules...)
	case policy.EventFound:
		a.book.Resolve(subjectOf(e.Upstream, e.Key), credentialRules...)
	case policy.EventRefresh:
		a.refreshed(e)
	case policy.EventExhausted:
		a.book.Raise(quotaExhausted, quotaSubject(e.Upstream, e.Key), "Quota of "+e.Upstream+" exhausted: "+e.Reason,
			"the provider refuses the calls of "+e.Key+", and no waiting helps soon")
	case policy.EventReplenished:
		a.book.Resolve(quotaSubject(e.Upstream, e.Key), quotaExhausted)
	}
}

// quotaMark is in the subject of an alert about a quota, and in no name of a credential.
const quotaMark = "quota:"

// quotaSubject names a quota in alerts.
func quotaSubject(upstream, key string) string { return upstream + "/" + quotaMark + key }

// subjectOf names a credential in alerts.
func subjectOf(upstream, credential string) string {
	if credential == "default" {
		return upstream
	}
	return upstream + "/" + credential
}

// refreshed learns from how a token request has ended.
func (a *alarms) refreshed(e policy.Event) {
	subject, who := subjectOf(e.Upstream, e.Key), e.Upstream
	if e.Key != "default" {
		who = e.Upstream + " (" + e.Key + ")"
	}
	detail := ""
	if e.Err != nil {
		detail = e.Err.Error()
	}
	switch e.Reason {
	case "removed":
		a.book.Resolve(subject, credentialDead, credentialRefused, credentialFailing, credentialNotKept)
	case "ok":
		if e.From == "save" { // nothing was asked for
			a.book.Resolve(subject, credentialNotKept)
			return
		}
		a.book.Resolve(subject, credentialRules...)
	case "not-kept":
		a.book.Resolve(subject, credentialDead, credentialRefused, credentialFailing)
		a.book.Raise(credentialNotKept, subject, "The tokens of "+who+" are in memory only", detail)
	case "dead":
		a.book.Resolve(subject, credentialRefused, credentialFailing)
		a.book.Raise(credentialDead, subject, "Reconnect "+who, detail)
	case "refused":
		a.book.Resolve(subject, credentialDead, credentialFailing)
		a.book.Raise(credentialRefused, subject, "The credential of "+who+" is not accepted", detail)
	default:
		a.book.Raise(credentialFailing, subject, "The tokens of "+who+" cannot be refreshed", detail)
	}
}

// about reports whether a configuration has what an alert is about, after another one,
// which may be nil: a connection that stood there, and stands here no more, is not one of
// the store.
func about(set, before *policy.Set) func(subject string) bool {
	return func(subject string) bool {
		upstream, credential, named := strings.Cut(subject, "/")
		if !named {
			credential = "default"
		}
		u, there := set.ByName(upstream)
		if strings.HasPrefix(credential, lowMark) || strings.HasPrefix(credential, circuitMark) {
			return there // the next look says whether it is over
		}
		if key, quota := strings.CutPrefix(credential, quotaMark); quota {
			return there && u.Exhausted(key)
		}
		if !there || !u.Fetches(credential) {
			return false
		}
		if before == nil {
			return true
		}
		was, known := before.ByName(upstream)
		return u.Configures(credential) || !known || !was.Configures(credential)
	}
}

// follow has a configuration that is live now say who is notified. What waits for the
// targets of the one before is sent. Alerts about what it has not are over.
func (s *sidecar) follow() {
	set := s.live.Load()
	file := set.File
	a := s.alarms
	a.mu.Lock()
	before := a.live
	a.live = set
	a.mu.Unlock()
	a.book.Retain(about(set, before)) // which tells
	a.mu.Lock()
	defer a.mu.Unlock()
	same := slices.Equal(file.Alerts.Notify, a.set.Notify) && file.Alerts.Secret == a.set.Secret && file.Egress == a.egress
	if same {
		return
	}
	if before := a.notifier; before != nil {
		go before.Close(context.Background()) // by itself: every message has its end
	}
	a.set, a.egress, a.notifier = file.Alerts, file.Egress, nil
	if len(file.Alerts.Notify) == 0 {
		return
	}
	transport, err := s.alertTransport(file)
	if err != nil { // checkFile has looked at it
		a.log.Error("nobody is notified of alerts", "error", err)
		return
	}
	settings := alert.Settings{Transport: transport, Failed: func(err error) {
		a.log.Error("an alert could not be told", "error", err)
	}}
	if ref := file.Alerts.Secret; ref != "" {
		settings.Secret = func() (string, error) { return s.secrets.get(ref) }
	}
	var urls []func() (string, error)
	for _, ref := range file.Alerts.Notify {
		urls = append(urls, func() (string, error) { return s.secrets.get(ref) })
	}
	a.notifier = alert.NewNotifier(settings, urls)
}

func (s *sidecar) alertTransport(file *config.File) (http.RoundTripper, error) {
	way, err := s.way(file.Egress)
	if err != nil {
		return nil, err
	}
	return egress.New(egress.Settings{Guard: egress.NewOpenGuard(s.ours), Proxy: way})
}

// close tells what there is left to tell, until ctx ends.
func (a *alarms) close(ctx context.Context) {
	a.book.Close()
	a.mu.Lock()
	notifier := a.notifier
	a.notifier = nil
	a.mu.Unlock()
	if notifier != nil {
		notifier.Close(ctx)
	}
}

// checkAlerts finds out whether the notification URLs can be used.
func (s *sidecar) checkAlerts(alerts config.Alerts) error {
	var errs []error
	for i, ref := range alerts.Notify {
		url, err := s.secrets.get(ref)
		if err == nil {
			err = alert.CheckURL(url)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.notify[%d]: %w", i, err))
		}
	}
	if ref := alerts.Secret; ref != "" {
		secret, err := s.secrets.get(ref)
		if err == nil {
			err = alert.CheckSecret(secret)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("alerts.secret: %w", err))
		}
	}
	return errors.Join(errs...)
}
