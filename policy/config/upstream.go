package config

import (
	"maps"
	"regexp"
	"slices"
	"time"
)

var upstreamName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// reservedName would hide the outbox behind an upstream's path prefix.
const reservedName = "outbox"

// upstreams reads [upstream.NAME] for every NAME.
func upstreams(key string) field[File] {
	var below []string
	for _, path := range upstreamKeys.paths() {
		below = append(below, "NAME."+path)
	}
	return field[File]{key, func(n node, f *File) {
		named, ok := n.raw.(map[string]any)
		if !ok {
			n.noTable("must be a table for each upstream: [upstream.NAME]")
			return
		}
		f.Upstreams = slices.Grow(f.Upstreams, len(named))
		for _, name := range slices.Sorted(maps.Keys(named)) {
			f.Upstreams = append(f.Upstreams, readUpstream(n.child(name), name))
		}
	}, below}
}

func readUpstream(n node, name string) Upstream {
	u := Upstream{Name: name, Intercept: true, RewriteLinks: true, Connections: ConnectionsOptional, Policy: defaultPolicy(), Circuit: defaultCircuit()}
	switch {
	case !upstreamName.MatchString(name):
		n.deny("the name must be of lower-case letters, digits, - and _, and begin with a letter or digit: it becomes a path prefix")
	case name == reservedName:
		n.deny("this name is reserved; choose another")
	}
	if _, ok := n.raw.(map[string]any); !ok {
		if slices.ContainsFunc(upstreamKeys, func(f field[Upstream]) bool { return f.key == name }) { // It stands in [upstream].
			n.noTable("belongs in the table of an upstream: [upstream.NAME], with a name of yours, such as [upstream.github]")
			return u
		}
		n.noTable("must be a table: [%s]", n.path)
		return u
	}
	n = n.overPreset()
	connected(n)
	upstreamKeys.read(n, &u)
	if !n.has("url") {
		n.child("url").missing(`where do calls go? Such as "https://api.example.com"`)
	}
	if !n.has("hosts") && u.URL != nil {
		u.Hosts = []string{authorityOf(u.URL)}
	}
	pairAgrees(n, "client_cert", u.ClientCert, "client_key", u.ClientKey)
	fitAttempt(n, &u.Policy)
	requireConnections(n, &u)
	readConnections(n.child("connection"), n.child("auth"), &u)
	fitCost(n, u.Cost, u.Limits)
	fitHedge(n, &u.Policy, &u)
	fitOutbox(n, &u.Policy)
	readRules(n.child("rule"), &u)
	fitWait(n, u.Limits, u.longestTimeout())
	fitWindow(n, &u)
	fitOverdue(n, &u)
	return u
}

// pairAgrees reports the half that is missing of what only works together.
func pairAgrees(n node, a, aValue, b, bValue string) {
	if !n.sound(a, b) || (aValue == "") == (bValue == "") {
		return
	}
	if aValue == "" {
		a, b = b, a
	}
	n.child(b).failf("is missing: %s and %s come together", a, b)
}

// fitAttempt makes one attempt fit into the whole call. An attempt_timeout that
// is only inherited gives way to a shorter timeout; one that is written does not.
func fitAttempt(n node, p *Policy) {
	if n.writes("attempt_timeout") {
		ordered(n, "attempt_timeout", p.AttemptTimeout, "timeout", p.Timeout)
		return
	}
	p.AttemptTimeout = min(p.AttemptTimeout, p.Timeout)
}

// fitWindow makes the circuit's window hold two of the longest attempts: an
// attempt that outlives the window is dropped by the window and never counts,
// so a provider that only times out would never open its circuit.
func fitWindow(n node, u *Upstream) {
	longest, circuit := u.longestAttempt(), n.child("circuit")
	if !circuit.writes("window") {
		u.Circuit.Window = max(u.Circuit.Window, 2*longest)
		return
	}
	if u.Circuit.Window < 2*longest && circuit.sound("window") {
		circuit.child("window").failf("must be at least %s, twice the longest attempt_timeout (%s): "+
			"an attempt that takes longer than the window would not be counted", Duration(2*longest), Duration(longest))
	}
}

// fitOverdue goes by how long answers may take at most: whoever allows an attempt five
// minutes has a provider that is silent for one as a matter of course.
func fitOverdue(n node, u *Upstream) {
	if !n.child("circuit").writes("overdue") {
		u.Circuit.Overdue = max(u.longestAttempt()/4, time.Second)
	}
}

// longestAttempt is the longest attempt_timeout of an upstream and its rules.
func (u *Upstream) longestAttempt() time.Duration {
	longest := u.AttemptTimeout
	for _, rule := range u.Rules {
		longest = max(longest, rule.AttemptTimeout)
	}
	return longest
}

// rules is known here and read by readRules, once the upstream is complete:
// rules stand on its settings.
func rules(key string) field[Upstream] {
	return field[Upstream]{key, func(n node, _ *Upstream) {
		switch n.raw.(type) {
		case []any, []map[string]any:
			return
		}
		n.failf("must be a list of tables: [[%s]]", n.path)
	}, ruleKeys.paths()}
}

func readRules(list node, u *Upstream) {
	first := map[string]string{} // match → path of the rule that has it
	for _, n := range list.tables() {
		rule := Rule{Policy: u.Policy}
		rule.Limits = nil
		ruleKeys.read(n, &rule)
		if _, ok := n.raw.(map[string]any); !ok {
			continue
		}
		fitAttempt(n, &rule.Policy)
		fitCost(n, rule.Cost, rule.Limits)
		if n.writes("cost") {
			fitCost(n, rule.Cost, u.Limits)
		}
		fitWait(n, rule.Limits, rule.Timeout)
		fitHedge(n, &rule.Policy, u)
		fitOutbox(n, &rule.Policy)
		ruleLogin(n, u, &rule)
		switch earlier, taken := first[rule.Source]; {
		case !n.has("match"):
			n.child("match").fail(`is missing: which calls? Such as "POST /v1/charges/**"`)
		case taken && n.sound("match"):
			n.child("match").failf("is the match of %s already, and the first one wins", earlier)
		default:
			first[rule.Source] = n.path
		}
		u.Rules = append(u.Rules, rule)
	}
}

func match(key string) field[Rule] {
	return field[Rule]{key: key, read: func(n node, r *Rule) { r.Match, r.Source = readMatch(n) }}
}

// readMatch reads a match; without a source there is none that is sound.
func readMatch(n node) (m Match, source string) {
	source, ok := readText(n)
	if !ok {
		return Match{}, ""
	}
	m, problem := parseMatch(source)
	if problem != "" {
		n.fail(problem)
		return Match{}, ""
	}
	return m, source
}

func noCircuit(key string) field[Rule] {
	return field[Rule]{key: key, read: func(n node, _ *Rule) {
		n.deny("does not belong in a rule: one circuit guards the whole upstream; set it in [upstream.NAME.circuit]")
	}}
}

// limits reads one table, or a list of them, in place of what was there. An empty
// list is no limit, and nothing is learned.
func limits(key string) field[Policy] {
	return field[Policy]{key, func(n node, p *Policy) {
		tables := limitTables(n)
		if list, listed := n.raw.([]any); tables == nil && (!listed || len(list) > 0) {
			n.failf("must be a table, [%s], or several, [[%s]]", n.path, n.path)
		}
		p.Limits = nil
		for _, table := range tables {
			p.Limits = append(p.Limits, readLimit(table))
		}
	}, limitKeys.paths()}
}

// limitTables are the tables of a limit: the one that it is, or those of its list.
func limitTables(n node) []node {
	if _, one := n.raw.(map[string]any); one {
		return []node{n}
	}
	return n.tables()
}

func readLimit(n node) Limit {
	l := defaultLimit()
	limitKeys.read(n, &l)
	if _, ok := n.raw.(map[string]any); !ok || !n.sound("rate", "concurrency") {
		return l
	}
	switch {
	case l.Rate.Count == 0 && l.Concurrency == 0 && !l.Learn:
		n.fail(`limits nothing: needs a rate (such as rate = "100/s"), a concurrency, or learn; no limit at all is limit = []`)
	case l.Rate.Count == 0 && n.has("burst"):
		n.child("burst").fail("belongs to a rate, and there is none")
	case l.Burst > 0 && l.Shape == "window" && n.sound("burst", "shape"):
		n.child("burst").fail(`does not go with shape = "window", which spends the whole rate at once; leave one of them out`)
	}
	return l
}

// fitCost reports a cost that is more than the window of a limit holds: the
// provider would take no such call.
func fitCost(n node, cost int, limits []Limit) {
	for _, l := range limits {
		if most := max(int(l.Rate.Count), 1); l.Shape == "window" && l.Rate.Count > 0 && cost > most && n.sound("cost") {
			n.child("cost").failf("must be at most %d: a window of %s holds no more", most, l.Rate)
		}
	}
}

// fitWait warns of a max_wait for which no call has the time.
func fitWait(n node, limits []Limit, timeout time.Duration) {
	for i, table := range limitTables(n.child("limit")) {
		if table.writes("max_wait") && limits[i].MaxWait > timeout {
			table.child("max_wait").warn("is longer than timeout (" + Duration(timeout).String() + "), which ends the wait before; make timeout longer, too")
		}
	}
}

// fitHedge warns of second requests that nothing can pay for: the budget is that of the
// upstream, also for a rule.
func fitHedge(n node, p *Policy, u *Upstream) {
	if n.writes("hedge") && p.Hedge && u.Retry.Budget == 0 {
		n.child("hedge").warn(`sends no second request: each takes a retry from the upstream's retry.budget, which is 0%; make it "10%"`)
	}
}

// longestTimeout is the most time that any call has.
func (u *Upstream) longestTimeout() time.Duration {
	longest := u.Timeout
	for _, rule := range u.Rules {
		longest = max(longest, rule.Timeout)
	}
	return longest
}

func someCalls(r Rate) string {
	if r.Count <= 0 || r.Count > largest {
		return "must be more than 0 calls, and at most 1000000000"
	}
	return ""
}

func retryAgrees(n node, r *Retry) {
	ordered(n, "base", r.Base, "cap", r.Cap)
	if r.MintKey && r.IdempotencyHeader == "" && n.sound("idempotency_header") {
		n.child("mint_key").fail("needs idempotency_header: in which header does the provider look for the key?")
	}
}

func upToAnHour(d time.Duration) string {
	if d < 0 || d > time.Hour {
		return "must be between 0s and 1h"
	}
	return ""
}

func upToADay(d time.Duration) string {
	if d < 0 || d > 24*time.Hour {
		return "must be between 0s, which is off, and 24h"
	}
	return ""
}

// circuitAgrees keeps open_max above open. One that is only inherited gives way to a
// long open, so that the pause can grow and be spread; one that is written does not.
func circuitAgrees(n node, c *Circuit) {
	if n.writes("open_max") {
		ordered(n, "open", c.Open, "open_max", c.OpenMax)
		return
	}
	c.OpenMax = max(c.OpenMax, 2*c.Open)
}

// ordered reports a pair of durations that is the wrong way round, at the one
// that is written.
func ordered(n node, low string, lowValue time.Duration, high string, highValue time.Duration) {
	switch {
	case lowValue <= highValue || !n.sound(low, high):
	case n.writes(low):
		n.child(low).failf("must not be longer than %s, which is %s", high, Duration(highValue))
	default:
		n.child(high).failf("must not be shorter than %s, which is %s", low, Duration(lowValue))
	}
}
