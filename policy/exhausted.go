package policy

import (
	"context"
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

// gone forgets the quotas of a connection that is another one now, or none, and gives
// their keys.
func (e *exhaustion) gone(connection string) (keys []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range e.refusals {
		if strings.HasSuffix(key, " "+connection) {
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
// exhausted no more, since it is another credential's turn.
func (u *Upstream) observeConnection(observe func(context.Context, Event)) func(context.Context, Event) {
	return func(ctx context.Context, e Event) {
		observe(ctx, e)
		for _, key := range u.exhausted.gone(e.Key) {
			observe(ctx, Event{Kind: EventReplenished, Upstream: u.Config.Name, Key: key})
		}
	}
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
