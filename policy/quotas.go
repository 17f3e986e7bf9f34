package policy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/limit"
	"outrider/policy/pace"
	"outrider/policy/retry"
)

// A table is one limit table of an upstream, or of one of its rules.
type table struct {
	config.Limit
	index int    // where it stands in Upstream.quotas
	name  string // by which a reload finds it
}

// quotas makes the quotas of all limit tables: those of the upstream, and those of each
// of its rules. What there was before goes on.
func (c *compiler) quotas(u, old *Upstream) (own []table, byRule [][]table) {
	var tables []limit.Table
	add := func(of string, limits []config.Limit) (added []table) {
		for i, l := range limits {
			name := fmt.Sprintf("%slimit[%d]", of, i)
			added = append(added, table{l, len(tables), name})
			tables = append(tables, limit.Table{Name: name, Settings: c.limitSettings(u.Config.Name, l)})
		}
		return added
	}
	own = add("", u.Config.Limits)
	u.scope = coarsest(own)
	for _, rule := range u.Config.Rules {
		extra := add(rule.Source+" ", rule.Limits)
		byRule = append(byRule, extra)
		u.scope = coarser(u.scope, coarsest(extra))
	}
	quotas, err := limit.New(tables, old.quotas)
	if err != nil {
		c.fail(c.key, err)
		return own, byRule
	}
	u.quotas = quotas
	// A scope that was wider stays so: what is together is not taken apart.
	if u.scope = coarser(u.scope, old.scope); u.scope != "credential" {
		quotas.Widen(u.wider())
	}
	return own, byRule
}

// coarsest is the setting per of those quotas that most calls share: calls that have
// any quota in common are of one host at least, or of one upstream.
func coarsest(quotas []table) string {
	per := "credential"
	for _, q := range quotas {
		per = coarser(per, q.Per)
	}
	return per
}

// wider names the scope of the calls that had this one before: a key begins with the
// host.
func (u *Upstream) wider() func(scope string) string {
	if u.scope == "upstream" {
		return func(string) string { return u.Config.Name }
	}
	return func(scope string) string {
		host, _, _ := strings.Cut(scope, " ")
		return host
	}
}

func coarser(a, b string) string {
	for _, per := range []string{"upstream", "host"} {
		if a == per || b == per {
			return per
		}
	}
	return "credential"
}

// way is that of calls with these keys, which cost so much, through some quotas. The
// slots of those that are named first are kept for a call that waits for one of the
// others.
func (u *Upstream) way(quotas []table, cost int, keys keys) limit.Way {
	way := limit.Way{Cost: cost, Scope: keys.per(u.scope)}
	for _, q := range quotas {
		way.Stops = append(way.Stops, limit.Stop{Table: q.index, Key: keys.per(q.Per)})
	}
	return way
}

// refuses says why an attempt that comes this way after a delay would be refused, in a
// word of package retry; "": it would not be, as things are.
func (u *Upstream) refuses(way limit.Way, keys keys) func(*http.Request, time.Duration) string {
	return func(req *http.Request, delay time.Duration) string {
		switch {
		case u.circuit.Refuses(keys.credential(req), delay):
			return retry.CircuitOpen
		case len(way.Stops) > 0 && u.quotas.Refuses(way, req, delay):
			return retry.NoTurn
		}
		return ""
	}
}

func (c *compiler) limitSettings(upstream string, table config.Limit) limit.Settings {
	observe := c.env.Observe
	return limit.Settings{
		Count: table.Rate.Count, Per: table.Rate.Per, Burst: table.Burst, Concurrency: table.Concurrency,
		MaxWait: table.MaxWait, MaxQueue: table.MaxQueue,
		Kind: kind(table), Guard: onTheWay(table.Rate.Per), Style: styles[table.Shape],
		Learn: table.Learn, Dialect: dialect(table), Answer: answerForLimit,
		Jitter:  c.env.Jitter,
		Claim:   claim,
		OnQueue: func(ctx context.Context, _ string, turn time.Time) { auth.Until(ctx, turn) },
		OnWait: func(ctx context.Context, key string, waited time.Duration, reason string) {
			CallFrom(ctx).addWait(waited)
			observe(ctx, Event{Kind: EventWait, Upstream: upstream, Key: key, Delay: waited, Reason: reason})
		},
		OnGate: func(ctx context.Context, key string, until time.Time) {
			auth.Until(ctx, until)
			observe(ctx, Event{Kind: EventGate, Upstream: upstream, Key: key, Until: until})
		},
	}
}

// kind is how a limit is used. Who gives a burst describes a bucket.
func kind(l config.Limit) pace.Kind {
	switch {
	case l.Shape == "window":
		return pace.Window
	case l.Shape == "smooth" || l.Burst > 0:
		return pace.Smooth
	}
	return pace.Even
}

// onTheWay is how much longer than per a call counts at least: a fiftieth, so that hardly
// anything of the rate is lost, and no more than the time on the way differs by most often.
func onTheWay(per time.Duration) time.Duration { return min(per/50, 250*time.Millisecond) }

// styles are how what is learned is used, by the setting shape.
var styles = map[string]pace.Style{"auto": pace.Auto, "window": pace.Spend, "smooth": pace.Spread}
