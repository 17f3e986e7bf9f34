package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/auth"
	"outrider/policy/breaker"
	"outrider/policy/config"
	"outrider/policy/retry"
)

// Env is the outside world. The clock is package time: tests use synctest.
type Env struct {
	// Transport makes the network side of an upstream, traced and guarded.
	Transport func(u *config.Upstream) (http.RoundTripper, error)
	// TokenTransport makes the way to the token endpoint of a credential: guarded, by
	// the upstream's proxy, and with nothing of the upstream's own circuit and quota.
	TokenTransport func(u *config.Upstream) (http.RoundTripper, error)
	// Keep is where the tokens of a credential are kept. nil: in memory only. An error
	// that has a Key is about that setting of the file.
	Keep func(credential string) (Keeper, error)
	// Kept lists what is kept whose name has a prefix, in the order of the names, from
	// the one after a name on, and at most limit. nil: nothing is.
	Kept func(ctx context.Context, prefix, after string, limit int) ([]string, error)
	// Jitter is the only source of chance: evenly spread in [0, max).
	Jitter func(max time.Duration) time.Duration
	// NewKey mints an idempotency key.
	NewKey func() string
	// Secret gives the value of a reference, as it is now. That of one which is Constant is
	// asked for until it is had.
	Secret func(ref config.Reference) (string, error)
	// Refused is told that a provider did not take the value of a reference: what can
	// be read anew is, when it is asked for next. nil: nothing can.
	Refused func(ref config.Reference)
	// Work is told that something begins which several calls may wait for, and which is
	// none's own: e says what. It gives the context in which that goes on, made of ctx,
	// which is that of the call that caused it, or of none; and what is told how it ended.
	// nil: nobody asks. It must not block.
	Work func(ctx context.Context, e Event) (work context.Context, ended func(error))
	// Observe is told what happens on the way. It must not block.
	Observe func(ctx context.Context, e Event)
}

// Compile builds a Set from f, taking over prev's state where settings agree.
// It starts no goroutine and does not modify prev: a failed reload is a no-op.
// All errors are reported at once, each with the key that it belongs to.
func Compile(f *config.File, env Env, prev *Set) (*Set, error) {
	set := &Set{
		File:     f,
		byName:   make(map[string]*Upstream, len(f.Upstreams)),
		byHost:   make(map[hostPort]*Upstream, len(f.Upstreams)),
		byDomain: make(map[hostPort]*Upstream),
		fetched:  make(map[string]*credential),

		connected: make(map[string]*connections),
	}
	if prev != nil {
		maps.Copy(set.connected, prev.connected)
	}
	var errs []error
	if f.AccessKey != "" {
		if _, err := env.Secret(f.AccessKey); err != nil {
			errs = append(errs, fmt.Errorf("access_key: %w", err))
		}
	}
	if f.Outbox.CallbackKey != "" {
		if _, err := env.Secret(f.Outbox.CallbackKey); err != nil {
			errs = append(errs, fmt.Errorf("outbox.callback_key: %w", err))
		}
	}
	for i := range f.Upstreams {
		c := &compiler{
			env: env, key: "upstream." + f.Upstreams[i].Name, sources: make(map[string]auth.Source),
			fetched: set.fetched, connected: set.connected,
		}
		var old *Upstream
		if prev != nil {
			old, c.before = prev.byName[f.Upstreams[i].Name], prev.fetched
		}
		u := c.upstream(&f.Upstreams[i], old)
		for _, err := range c.errs { // what belongs to the whole file is told once
			if !slices.ContainsFunc(errs, func(told error) bool { return told.Error() == err.Error() }) {
				errs = append(errs, err)
			}
		}
		set.add(u)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if prev != nil { // those that nobody uses now may be used again, and know what was not saved
		for id, known := range prev.fetched {
			if set.fetched[id] == nil {
				set.fetched[id] = known
			}
		}
	}
	set.names = set.interceptedNames()
	return set, nil
}

func (s *Set) add(u *Upstream) {
	s.upstreams = append(s.upstreams, u)
	s.byName[u.Config.Name] = u
	for _, entry := range u.Config.Hosts {
		host, port := splitAuthority(entry)
		if domain, ok := strings.CutPrefix(host, "*"); ok {
			s.byDomain[hostPort{domain, port}] = u
			continue
		}
		s.byHost[hostPort{host, port}] = u
	}
}

// A compiler builds one upstream and collects what is wrong with it.
type compiler struct {
	env  Env
	key  string    // "upstream.github"
	old  *Upstream // what it was in the configuration before
	errs []error

	sources         map[string]auth.Source  // name of a credential → what plans have for it
	fetched, before map[string]*credential  // see Set, of this one and of the one before
	connected       map[string]*connections // see Set
}

func (c *compiler) fail(key string, err error) {
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: %w", key, err))
	}
}

func (c *compiler) upstream(cfg *config.Upstream, old *Upstream) *Upstream {
	u := &Upstream{
		Config: cfg,
		alias:  !hostCovered(cfg.Hosts, cfg.URL),

		basePath:    strings.TrimSuffix(cfg.URL.EscapedPath(), "/"),
		observe:     c.env.Observe,
		credentials: make(map[string]*credential),
		named:       make(map[string]auth.Source),
	}
	if old == nil {
		old = &Upstream{Config: &config.Upstream{}}
	}
	c.old = old
	if u.exhausted = old.exhausted; u.exhausted == nil || !explains(cfg) {
		u.exhausted = new(exhaustion)
	} else {
		u.replaced = replaced(old.Config, cfg)
	}
	u.transport = c.transport(u, old)
	if u.seen = old.seen; u.seen == nil {
		u.seen = newSightings(cfg.Name, c.env.Observe)
	}
	u.circuit = c.circuit(u, old)
	u.budget = old.budget
	if u.budget == nil || old.Config.Retry.Budget != cfg.Retry.Budget {
		u.budget = retry.NewBudget(cfg.Retry.Budget, old.budget)
	}

	if u.repeats = old.repeats; u.repeats == nil {
		u.repeats = retry.NewRepeats()
	}
	u.stale = answerStore(u, old)
	u.results = resultsWatch(u, old)

	c.connections(u)
	own, extra := c.quotas(u, old)
	u.base = c.plan(u, c.key, "", "default", &cfg.Policy, own, nil)
	matches := make([]config.Match, len(cfg.Rules))
	for i := range cfg.Rules {
		rule := &cfg.Rules[i]
		key := fmt.Sprintf("%s.rule[%d]", c.key, i)
		matches[i] = rule.Match
		credential := credentialName(cfg, i)
		u.rules = append(u.rules, c.plan(u, key, rule.Source, credential, &rule.Policy, own, extra[i]))
	}
	u.matcher = config.NewMatcher(matches)
	c.forget()
	return u
}

// forget forgets what was before. What was compiled asks the compiler for the outside world
// as long as it is in use, and would keep it alive, and so what was before that.
func (c *compiler) forget() { c.old, c.before = nil, nil }

// keyed is implemented by errors that name the setting at fault.
type keyed interface {
	error
	Key() string
}

// fault notes an error under the setting that it names itself, which is one of the
// whole file, or else under key.
func (c *compiler) fault(key string, err error) {
	if fault, ok := errors.AsType[keyed](err); ok {
		key, err = fault.Key(), errors.Unwrap(fault)
	}
	c.fail(key, err)
}

// transport keeps the open connections of an upstream whose TLS files and whose
// proxy are named as before.
func (c *compiler) transport(u, old *Upstream) http.RoundTripper {
	now, before := u.Config, old.Config
	if old.transport != nil && now.CAFile == before.CAFile && now.ClientCert == before.ClientCert && now.ClientKey == before.ClientKey &&
		now.Egress == before.Egress {
		return old.transport
	}
	transport, err := c.env.Transport(u.Config)
	if fault, ok := errors.AsType[keyed](err); ok {
		c.fail(c.key+"."+fault.Key(), errors.Unwrap(fault))
	} else {
		c.fail(c.key, err)
	}
	return transport
}

func (c *compiler) circuit(u, old *Upstream) *breaker.Group {
	if old.circuit != nil && old.Config.Circuit == u.Config.Circuit {
		return old.circuit
	}
	cfg, name := u.Config.Circuit, u.Config.Name
	group, err := breaker.New(breaker.Settings{
		Window: cfg.Window, MinCalls: cfg.MinCalls, FailureRatio: cfg.FailureRatio, FailureRun: cfg.FailureRun,
		Overdue: cfg.Overdue, Slow: cfg.Slow, SlowRatio: cfg.SlowRatio, Consecutive: cfg.Consecutive,
		Open: cfg.Open, OpenMax: cfg.OpenMax, Ramp: cfg.Ramp,
		Jitter:     c.env.Jitter,
		Outcome:    circuitOutcome,
		Replayable: retry.Replayable,
		Waited:     func(req *http.Request) time.Duration { return CallFrom(req.Context()).Waited() },
		OnChange: func(ctx context.Context, change breaker.Change) {
			c.env.Observe(ctx, Event{
				Kind: EventCircuit, Upstream: name, Key: change.Key,
				From: change.From, To: change.To, Until: change.Until, Reason: change.Cause,
			})
		},
	}, old.circuit)
	c.fail(c.key+".circuit", err)
	return group
}

// circuitOutcome is the class of an attempt's end in the circuit's words: only
// a fault counts, and what never was the upstream's to answer does not.
func circuitOutcome(req *http.Request, resp *http.Response, err error) breaker.Outcome {
	switch Classify(req.Context(), resp, err) {
	case ClassOK: // mostly
		return breaker.Success
	case ClassFault:
		if spentInLine(req.Context(), err) {
			return breaker.Ignored
		}
		if err != nil && connectFailed(err) {
			return breaker.ConnectFailure
		}
		return breaker.Failure
	case ClassClientGone, ClassLocal:
		return breaker.Ignored
	}
	return breaker.Success
}

// spentInLine reports that a call ran out of time after it had waited for most
// of it: the attempt was given too little to say anything about the upstream.
// Otherwise a queue that is full would open the circuit of a provider that is well.
func spentInLine(ctx context.Context, err error) bool {
	timeout, ok := errors.AsType[*TimeoutError](err)
	return ok && timeout.Clock == "timeout" && 2*CallFrom(ctx).Waited() > timeout.Limit
}

func (c *compiler) source(key string, cfg config.Auth, placeholder string) auth.Source {
	settings := auth.Settings{Type: cfg.Type, Name: cfg.Name, Prefix: cfg.Prefix, Placeholder: placeholder, Origin: cfg.Origin}
	value, username := cfg.Value, config.Reference("")
	valueKey := "value"
	switch cfg.Type {
	case "bearer":
		value, valueKey = cfg.Token, "token"
	case "basic":
		value, valueKey, username = cfg.Password, "password", cfg.Username
		settings.Username = c.secret(key+".username", username)
	}
	settings.Value = c.secret(key+"."+valueKey, value)
	settings.Constant = value.Constant() && username.Constant()
	settings.Refused = func() {
		if c.env.Refused != nil {
			c.env.Refused(value)
			c.env.Refused(cfg.Username)
		}
	}
	source, err := auth.New(settings)
	c.fail(key, err)
	return source
}

// secret gives the current value of a reference each time that it is called. It
// is tried once now, so that a name that is missing is found before the first call.
func (c *compiler) secret(key string, ref config.Reference) func() (string, error) {
	if ref == "" {
		return nil
	}
	_, err := c.env.Secret(ref)
	c.fail(key, err)
	return func() (string, error) { return c.env.Secret(ref) }
}
