package policy

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/limit"
)

// limits makes the quotas of limit tables: of the upstream, or of the rule with this
// match. Those that it had before go on.
func (c *compiler) limits(u, old *Upstream, key, rule string, tables []config.Limit) []*limit.Group {
	groups := make([]*limit.Group, 0, len(tables))
	for i, table := range tables {
		id := rule + " " + strconv.Itoa(i)
		prev := old.limits[id]
		group := prev
		if prev == nil || old.limitTable(rule, i) != table {
			var err error
			group, err = limit.New(c.limitSettings(u.Config.Name, table), prev)
			c.fail(fmt.Sprintf("%s.limit[%d]", key, i), err)
		}
		u.limits[id] = group
		groups = append(groups, group)
	}
	return groups
}

// limitTable is the configuration behind u.limits[rule i].
func (u *Upstream) limitTable(rule string, i int) config.Limit {
	if rule == "" {
		return u.Config.Limits[i]
	}
	for _, r := range u.Config.Rules {
		if r.Source == rule && i < len(r.Limits) {
			return r.Limits[i]
		}
	}
	return config.Limit{}
}

func (c *compiler) limitSettings(upstream string, table config.Limit) limit.Settings {
	observe := c.env.Observe
	return limit.Settings{
		Count: table.Rate.Count, Per: table.Rate.Per, Burst: table.Burst, Concurrency: table.Concurrency,
		MaxWait: table.MaxWait, MaxQueue: table.MaxQueue,
		Window: table.Shape == "window", Learn: table.Learn, Dialect: dialect(table), Answer: answerForLimit,
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

// limitText is a limit as it is configured, for people: "learned" if it is not.
func limitText(l config.Limit) string {
	var parts []string
	if l.Rate.Count > 0 {
		parts = append(parts, l.Rate.String())
	}
	if l.Concurrency > 0 {
		parts = append(parts, strconv.Itoa(l.Concurrency)+" at once")
	}
	if parts == nil {
		return "learned"
	}
	return strings.Join(parts, ", ")
}
