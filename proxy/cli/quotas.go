package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"outrider/policy"
	"outrider/proxy/store"
)

const (
	// quotaPause is how often the quotas are looked at: what a crash can make us forget of
	// a window of an hour, or of a day.
	quotaPause = 10 * time.Second
	// quotaPatience is how long the store has for one answer, and quotaStart how long for
	// the first, which calls wait for.
	quotaPatience = 30 * time.Second
	quotaStart    = 5 * time.Second
)

var errQuotaSilence = errors.New("the store did not answer in time")

// A quotaSource knows how far quotas are spent.
type quotaSource interface {
	// Windows gives the quotas that a restart must not forget: those that take long to
	// come back, and of which something is spent. One that nobody has spent of since is the same, byte
	// by byte.
	Windows() []store.Quota
	// Restore hands over what was kept. It comes before the first call; but where the
	// store could not be read then, it comes later, and nothing may get more room by it.
	Restore(kept []store.Quota)
}

// quotasOf are the quotas of the configuration that is in force.
type quotasOf struct{ live *policy.Live }

func (q quotasOf) Windows() []store.Quota {
	kept := q.live.Load().KeptQuotas()
	quotas := make([]store.Quota, len(kept))
	for i, k := range kept {
		quotas[i] = store.Quota(k)
	}
	return quotas
}

func (q quotasOf) Restore(quotas []store.Quota) {
	kept := make([]policy.KeptQuota, len(quotas))
	for i, quota := range quotas {
		kept[i] = policy.KeptQuota(quota)
	}
	q.live.Load().RestoreQuotas(kept)
}

// A quotaShelf is where they are kept.
type quotaShelf interface {
	quotas(ctx context.Context) ([]store.Quota, error)
	saveQuotas(ctx context.Context, quotas []store.Quota) error
}

// A quotaKeeper has the quotas of a source survive a restart. No call waits for it, save
// for the first at the start: where nothing can be kept, it says so, and tries again.
type quotaKeeper struct {
	source quotaSource
	shelf  quotaShelf
	log    *slog.Logger

	stop    context.CancelFunc // ends the goroutine
	stopped chan struct{}      // closed when it has ended

	// What follows is the goroutine's own, and close's when that has ended.
	restored bool                      // the source has what was kept
	kept     map[quotaName]store.Quota // what is on the shelf, as far as we know
	failing  bool                      // the last try failed, which was told
}

// A quotaName is what a quota is known by.
type quotaName struct{ upstream, table, key string }

// keepQuotas hands the source what was kept, and keeps what it says until close.
func keepQuotas(ctx context.Context, source quotaSource, shelf quotaShelf, log *slog.Logger) *quotaKeeper {
	k := &quotaKeeper{source: source, shelf: shelf, log: log, stopped: make(chan struct{})}
	k.tell(within(ctx, quotaStart, k.restore))
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // calls go on after the signal to end
	k.stop = stop
	go k.run(running)
	return k
}

func (k *quotaKeeper) run(ctx context.Context) {
	defer close(k.stopped)
	ticks := time.NewTicker(quotaPause)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			if err := within(ctx, quotaPatience, k.keep); ctx.Err() == nil {
				k.tell(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// close keeps what was spent last, unless ctx ends before. The store has to be open still,
// and no call under way.
func (k *quotaKeeper) close(ctx context.Context) {
	k.stop()
	<-k.stopped
	k.tell(within(ctx, quotaPatience, k.keep))
}

// within runs do with a bound of its own.
func within(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errQuotaSilence)
	defer cancel()
	return do(ctx)
}

// keep saves what has changed. Before that it reads what was kept, if that has not been
// possible so far: it would be written over by who knows nothing of it.
func (k *quotaKeeper) keep(ctx context.Context) error {
	if err := k.restore(ctx); err != nil {
		return err
	}
	windows := k.source.Windows()
	next := byName(windows)
	var changed []store.Quota
	for _, q := range windows {
		if known, ok := k.kept[nameOf(q)]; !ok || !sameQuota(known, q) {
			changed = append(changed, q)
		}
	}
	if len(changed) > 0 {
		if err := k.shelf.saveQuotas(ctx, changed); err != nil {
			return err
		}
	}
	k.kept = next
	return nil
}

func (k *quotaKeeper) restore(ctx context.Context) error {
	if k.restored {
		return nil
	}
	kept, err := k.shelf.quotas(ctx)
	if err != nil {
		return err
	}
	if len(kept) > 0 {
		k.source.Restore(kept)
	}
	k.restored, k.kept = true, byName(kept)
	return nil
}

// tell says that keeping begins to fail, or has come back; err is how the last try ended.
func (k *quotaKeeper) tell(err error) {
	failing := err != nil
	switch {
	case failing && !k.failing:
		k.log.Warn("how far long quotas are spent is not kept, so that a restart would begin them anew; it is tried again", "error", err)
	case !failing && k.failing:
		k.log.Info("how far long quotas are spent is kept again")
	}
	k.failing = failing
}

func nameOf(q store.Quota) quotaName { return quotaName{q.Upstream, q.Table, q.Key} }

func byName(quotas []store.Quota) map[quotaName]store.Quota {
	named := make(map[quotaName]store.Quota, len(quotas))
	for _, q := range quotas {
		named[nameOf(q)] = q
	}
	return named
}

// sameQuota compares what is kept of two, which is to the millisecond.
func sameQuota(a, b store.Quota) bool {
	return a.Spent == b.Spent && a.Until.UnixMilli() == b.Until.UnixMilli() && bytes.Equal(a.State, b.State)
}
