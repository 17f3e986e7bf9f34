package policy

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy/config"
)

// maxExhausted bounds the quotas of an upstream that are known to be exhausted: a
// passed-through credential is whatever a caller writes.
const maxExhausted = 1024

// An exhaustion knows which quotas of an upstream have been refused for good: no waiting
// helps, until somebody does something about it.
type exhaustion struct {
	count atomic.Int32 // of refusals, so that a good answer costs nothing while there are none

	mu       sync.Mutex
	refusals map[string]refusal // key of the quota → the latest
}

// A refusal is a call that was refused.
type refusal struct {
	method string
	at     time.Time // when the answer came
}

// refused notes a refusal, and reports whether there was room to.
func (e *exhaustion) refused(key, method string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.refusals[key]; !known && len(e.refusals) >= maxExhausted {
		return false
	}
	if e.refusals == nil {
		e.refusals = make(map[string]refusal)
	}
	e.refusals[key] = refusal{method, time.Now()}
	e.count.Store(int32(len(e.refusals))) //nolint:gosec // at most maxExhausted
	return true
}

// some reports whether any quota is exhausted.
func (e *exhaustion) some() bool { return e.count.Load() > 0 }

// succeeded notes that a call went through, and reports whether its quota had been
// exhausted and is not any more. Only a call by the method that was refused says so:
// to read a list is often free where to order something is not. And only one that was
// begun after the refusal: those that were under way before are no news.
func (e *exhaustion) succeeded(key, method string, begun time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last, known := e.refusals[key]; !known || last.method != method || begun.Before(last.at) {
		return false
	}
	e.forget(key)
	return true
}

// gone forgets the quotas whose keys are of what is another one now, or none, and gives
// these keys.
func (e *exhaustion) gone(is func(key string) bool) (keys []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range e.refusals {
		if is(key) {
			keys = append(keys, key)
			e.forget(key)
		}
	}
	return keys
}

// forget is called with the lock held.
func (e *exhaustion) forget(key string) {
	delete(e.refusals, key)
	e.count.Store(int32(len(e.refusals))) //nolint:gosec // at most maxExhausted
}

// observeConnection tells of changes to connections, and then of the quotas that are
// exhausted no more, since it is another credential's turn. What was kept for the one
// before is nobody's now.
func (u *Upstream) observeConnection(observe func(context.Context, Event)) func(context.Context, Event) {
	return func(ctx context.Context, e Event) {
		observe(ctx, e)
		ofIt := func(key string) bool { return strings.HasSuffix(key, " "+e.Key) }
		if u.stale != nil {
			u.stale.Forget(ofIt)
		}
		for _, key := range u.exhausted.gone(ofIt) {
			observe(ctx, Event{Kind: EventReplenished, Upstream: u.Config.Name, Key: key})
		}
	}
}

// replaced says of which quotas of an upstream no call can tell any more, as it was
// configured before: it goes elsewhere, or their credential is another one, or none.
func replaced(before, now *config.Upstream) func(key string) bool {
	were, are := credentials(before), credentials(now)
	return func(key string) bool {
		host, name, _ := strings.Cut(key, " ")
		if strings.Contains(key, callerMark) {
			name = "" // by passing it through
		}
		// What neither has is of a connection of the store.
		return reaches(before, host) && !reaches(now, host) || were[name] != are[name]
	}
}

// reaches reports whether calls to an upstream may go to a host.
func reaches(cfg *config.Upstream, host string) bool {
	return hostCovered(append([]string{cfg.URL.Host}, cfg.Hosts...), &url.URL{Host: host})
}

// credentials are those of an upstream, by what the keys of their quotas have behind the
// host.
func credentials(cfg *config.Upstream) map[string]config.Auth {
	all := map[string]config.Auth{"": cfg.Auth}
	for i, rule := range cfg.Rules {
		if name := credentialName(cfg, i); name != "default" {
			all[name] = rule.Auth
		}
	}
	for _, connection := range cfg.Named {
		all[connection.Name] = connection.Auth
	}
	return all
}

// explains reports whether an upstream, or one of its rules, says what answers mean.
func explains(cfg *config.Upstream) bool {
	return len(cfg.Answers) > 0 || slices.ContainsFunc(cfg.Rules, func(r config.Rule) bool { return len(r.Answers) > 0 })
}

// Exhausted reports whether the provider has refused a quota of this upstream, for which
// no waiting helps, and has taken no call since.
func (u *Upstream) Exhausted(quota string) bool {
	u.exhausted.mu.Lock()
	defer u.exhausted.mu.Unlock()
	_, known := u.exhausted.refusals[quota]
	return known
}
