package config

import (
	"net/netip"
	"slices"
	"time"
)

// These tables are everything that the decoder knows. config.toml shows the
// same keys; a test compares the two.

var fileKeys = table[File]{
	text("listen", func(f *File) *string { return &f.Listen }, listenAddress),
	text("admin", func(f *File) *string { return &f.Admin }, listenAddress),
	text("state_dir", func(f *File) *string { return &f.StateDir }),
	secret("access_key", func(f *File) *Reference { return &f.AccessKey }),
	sub("forward", func(f *File) *Forward { return &f.Forward }, forwardKeys),
	sub("egress", func(f *File) *Egress { return &f.Egress }, egressKeys),
	sub("store", func(f *File) *Store { return &f.Store }, storeKeys),
	sub("outbox", func(f *File) *Outbox { return &f.Outbox }, outboxKeys, outboxAgrees),
	sub("telemetry", func(f *File) *Telemetry { return &f.Telemetry }, telemetryKeys),
	sub("alerts", func(f *File) *Alerts { return &f.Alerts }, alertKeys),
	upstreams("upstream"),
}

var forwardKeys = table[Forward]{
	text("unlisted", func(f *Forward) *string { return &f.Unlisted }, oneOf("tunnel", "deny", "observe")),
	flag("intercept", func(f *Forward) *bool { return &f.Intercept }),
	list("allow_private", func(f *Forward) *[]netip.Prefix { return &f.AllowPrivate }, readPrefix),
	duration("idle_timeout", func(f *Forward) *time.Duration { return &f.IdleTimeout }),
	integer("max_tunnels", func(f *Forward) *int { return &f.MaxTunnels }, between(1, largest)),
}

var egressKeys = table[Egress]{
	value("proxy", func(e *Egress) *string { return &e.Proxy }, readProxy),
	noProxy("no_proxy"),
}

var storeKeys = table[Store]{
	databaseURL("url"),
	secret("key", func(s *Store) *Reference { return &s.Key }),
}

var outboxKeys = table[Outbox]{
	value("max_age", func(o *Outbox) *time.Duration { return &o.MaxAge }, readDuration, upToAYear),
	value("max_size", func(o *Outbox) *int64 { return &o.MaxSize }, readSize, someBytes),
	value("max_body", func(o *Outbox) *int64 { return &o.MaxBody }, readSize, someBytes),
	value("keep_results", func(o *Outbox) *time.Duration { return &o.KeepResults }, readDuration, upToAYear),
	value("keep_dead", func(o *Outbox) *time.Duration { return &o.KeepDead }, readDuration, upToAYear),
	value("dedup_window", func(o *Outbox) *time.Duration { return &o.DedupWindow }, readDuration, upToAYear),
	integer("attempts", func(o *Outbox) *int { return &o.Attempts }, between(1, 10000)),
	integer("concurrency", func(o *Outbox) *int { return &o.Concurrency }, between(1, 1000)),
	text("on_dead", func(o *Outbox) *string { return &o.OnDead }, oneOf("hold", "skip")),
	text("priority", func(o *Outbox) *string { return &o.Priority }, oneOf("high", "normal", "low")),
	list("callbacks", func(o *Outbox) *[]string { return &o.Callbacks }, readCallback),
	secret("callback_key", func(o *Outbox) *Reference { return &o.CallbackKey }),
}

var telemetryKeys = table[Telemetry]{
	text("service_name", func(t *Telemetry) *string { return &t.ServiceName }, notEmpty),
	text("endpoint", func(t *Telemetry) *string { return &t.Endpoint }, endpoint),
	share("sample", func(t *Telemetry) *float64 { return &t.Sample }, upToAll),
	flag("keep_errors", func(t *Telemetry) *bool { return &t.KeepErrors }),
	value("keep_slow", func(t *Telemetry) *time.Duration { return &t.KeepSlow }, readDuration, upToADay),
	text("trace_url", func(t *Telemetry) *string { return &t.TraceURL }, optional(traceURL)),
	text("log_format", func(t *Telemetry) *string { return &t.LogFormat }, oneOf("json", "text")),
	text("log_level", func(t *Telemetry) *string { return &t.LogLevel }, oneOf("debug", "info", "warn", "error")),
	flag("logs", func(t *Telemetry) *bool { return &t.ExportLogs }),
	flag("access_log", func(t *Telemetry) *bool { return &t.AccessLog }),
}

var alertKeys = table[Alerts]{
	list("notify", func(a *Alerts) *[]Reference { return &a.Notify }, readSecret),
	secret("secret", func(a *Alerts) *Reference { return &a.Secret }),
	text("zone", func(a *Alerts) *string { return &a.Zone }, timeZone),
	alertRules("rule"),
}

var alertRuleKeys = table[AlertRule]{
	flag("off", func(r *AlertRule) *bool { return &r.Off }),
	duration("after", func(r *AlertRule) *time.Duration { return &r.After }),
	value("quiet", func(r *AlertRule) *Quiet { return &r.Quiet }, readQuiet),
}

var upstreamKeys = slices.Concat(
	table[Upstream]{
		text("preset", func(u *Upstream) *string { return &u.Preset }, optional(presetName)),
		baseURL("url"),
		list("hosts", func(u *Upstream) *[]string { return &u.Hosts }, readHost),
		text("listen", func(u *Upstream) *string { return &u.Listen }, optional(listenAddress)),
		flag("intercept", func(u *Upstream) *bool { return &u.Intercept }),
		flag("steady", func(u *Upstream) *bool { return &u.Steady }),
		flag("rewrite_links", func(u *Upstream) *bool { return &u.RewriteLinks }),
		value("proxy", func(u *Upstream) *string { return &u.Egress.Proxy }, readOwnProxy),
		text("ca_file", func(u *Upstream) *string { return &u.CAFile }),
		text("client_cert", func(u *Upstream) *string { return &u.ClientCert }),
		text("client_key", func(u *Upstream) *string { return &u.ClientKey }),
	},
	inside(func(u *Upstream) *Policy { return &u.Policy }, policyKeys),
	table[Upstream]{
		sub("circuit", func(u *Upstream) *Circuit { return &u.Circuit }, circuitKeys, circuitAgrees),
		text("connections", func(u *Upstream) *string { return &u.Connections }, oneOf(ConnectionsOptional, ConnectionsRequired)),
		connections("connection"),
		rules("rule"),
	},
)

var ruleKeys = slices.Concat(
	table[Rule]{match("match")},
	inside(func(r *Rule) *Policy { return &r.Policy }, policyKeys),
	table[Rule]{noCircuit("circuit")},
)

// policyKeys may stand in an upstream and in its rules.
var policyKeys = table[Policy]{
	duration("timeout", func(p *Policy) *time.Duration { return &p.Timeout }),
	duration("attempt_timeout", func(p *Policy) *time.Duration { return &p.AttemptTimeout }),
	duration("idle_timeout", func(p *Policy) *time.Duration { return &p.IdleTimeout }),
	value("stale_if_error", func(p *Policy) *time.Duration { return &p.StaleIfError }, readDuration, upToADay),
	value("replay_body", func(p *Policy) *int64 { return &p.ReplayBody }, readSize),
	credential("auth"),
	integer("cost", func(p *Policy) *int { return &p.Cost }, between(1, largest)),
	limits("limit"),
	answers("answer"),
	list("results", func(p *Policy) *[]string { return &p.Results }, readText, listPath),
	flag("hedge", func(p *Policy) *bool { return &p.Hedge }),
	flag("propagate", func(p *Policy) *bool { return &p.Propagate }),
	text("outbox", func(p *Policy) *string { return &p.Outbox }, oneOf(OutboxNever, OutboxAllow, OutboxAlways, OutboxOnFailure)),
	sub("retry", func(p *Policy) *Retry { return &p.Retry }, retryKeys, retryAgrees),
}

var authKeys = slices.Concat(table[Auth]{
	text("type", func(a *Auth) *string { return &a.Type }, authType),
	secret("token", func(a *Auth) *Reference { return &a.Token }),
	identity("username", func(a *Auth) *Reference { return &a.Username }),
	secret("password", func(a *Auth) *Reference { return &a.Password }),
	secret("value", func(a *Auth) *Reference { return &a.Value }),
	text("name", func(a *Auth) *string { return &a.Name }, notEmpty),
	value("prefix", func(a *Auth) *string { return &a.Prefix }, readHidden),
	value("expires", func(a *Auth) *time.Time { return &a.Expires }, readInstant),
}, inside(func(a *Auth) *OAuth2 { return &a.OAuth2 }, oauth2Keys), inside(func(a *Auth) *SigV4 { return &a.SigV4 }, sigv4Keys))

var oauth2Keys = slices.Concat(table[OAuth2]{
	text("grant", func(o *OAuth2) *string { return &o.Grant }, oneOf(grantNames()...)),
	tokenURL("token_url"),
	identity("client_id", func(o *OAuth2) *Reference { return &o.ClientID }),
	secret("client_secret", func(o *OAuth2) *Reference { return &o.ClientSecret }),
	secret("refresh_token", func(o *OAuth2) *Reference { return &o.RefreshToken }),
	scopes("scopes"),
	text("audience", func(o *OAuth2) *string { return &o.Audience }),
	params("params", func(o *OAuth2) *string { return &o.Params }, reservedParams),
	text("client_auth", func(o *OAuth2) *string { return &o.ClientAuth }, oneOf(clientAuths...)),
	notExpiry("not_expiry"),
	refreshBefore("refresh_before"),
	duration("lifetime_default", func(o *OAuth2) *time.Duration { return &o.Lifetime }),
	authorizeURL("authorize_url", func(o *OAuth2) *string { return &o.AuthorizeURL }),
	authorizeURL("device_url", func(o *OAuth2) *string { return &o.DeviceURL }),
	params("authorize_params", func(o *OAuth2) *string { return &o.AuthorizeParams }, reservedAuthorizeParams),
	redirectURL("redirect_url"),
	authorizeURL("revoke_url", func(o *OAuth2) *string { return &o.RevokeURL }),
	secret("key", func(o *OAuth2) *Reference { return &o.Key }),
},
	inside(func(o *OAuth2) *Signing { return &o.Signing }, signingKeys),
	inside(func(o *OAuth2) *TokenExchange { return &o.TokenExchange }, exchangeKeys),
	inside(func(o *OAuth2) *GitHubApp { return &o.GitHubApp }, githubKeys),
)

var sigv4Keys = table[SigV4]{
	identity("access_key_id", func(s *SigV4) *Reference { return &s.AccessKeyID }),
	secret("secret_access_key", func(s *SigV4) *Reference { return &s.SecretAccessKey }),
	secret("session_token", func(s *SigV4) *Reference { return &s.SessionToken }),
	text("region", func(s *SigV4) *string { return &s.Region }, optional(scopePart)),
	text("service", func(s *SigV4) *string { return &s.Service }, optional(scopePart)),
}

var limitKeys = table[Limit]{
	value("rate", func(l *Limit) *Rate { return &l.Rate }, readRate, someCalls),
	integer("burst", func(l *Limit) *int { return &l.Burst }, between(0, largest)),
	integer("concurrency", func(l *Limit) *int { return &l.Concurrency }, between(0, largest)),
	duration("max_wait", func(l *Limit) *time.Duration { return &l.MaxWait }),
	integer("max_queue", func(l *Limit) *int { return &l.MaxQueue }, between(1, largest)),
	text("shape", func(l *Limit) *string { return &l.Shape }, oneOf("auto", "window", "smooth")),
	flag("learn", func(l *Limit) *bool { return &l.Learn }),
	text("dialect", func(l *Limit) *string { return &l.Dialect }, oneOf(dialects()...)),
	text("per", func(l *Limit) *string { return &l.Per }, oneOf("credential", "host", "upstream")),
}

var retryKeys = table[Retry]{
	integer("attempts", func(r *Retry) *int { return &r.Attempts }, between(1, 10)),
	duration("base", func(r *Retry) *time.Duration { return &r.Base }),
	duration("cap", func(r *Retry) *time.Duration { return &r.Cap }),
	share("budget", func(r *Retry) *float64 { return &r.Budget }, upToAll),
	list("statuses", func(r *Retry) *[]int { return &r.Statuses }, readInt, between(400, 599)),
	list("unprocessed", func(r *Retry) *[]int { return &r.Unprocessed }, readInt, between(400, 599)),
	text("idempotency_header", func(r *Retry) *string { return &r.IdempotencyHeader }, optional(keyHeader)),
	flag("mint_key", func(r *Retry) *bool { return &r.MintKey }),
	value("key_age", func(r *Retry) *time.Duration { return &r.KeyAge }, readDuration, upToAYear),
}

var circuitKeys = table[Circuit]{
	duration("window", func(c *Circuit) *time.Duration { return &c.Window }),
	integer("min_calls", func(c *Circuit) *int { return &c.MinCalls }, between(1, largest)),
	share("failure_ratio", func(c *Circuit) *float64 { return &c.FailureRatio }, someUpToAll),
	integer("failure_run", func(c *Circuit) *int { return &c.FailureRun }, between(1, largest)),
	value("overdue", func(c *Circuit) *time.Duration { return &c.Overdue }, readDuration, upToAnHour),
	duration("slow", func(c *Circuit) *time.Duration { return &c.Slow }),
	share("slow_ratio", func(c *Circuit) *float64 { return &c.SlowRatio }, someUpToAll),
	integer("consecutive", func(c *Circuit) *int { return &c.Consecutive }, between(1, largest)),
	duration("open", func(c *Circuit) *time.Duration { return &c.Open }),
	duration("open_max", func(c *Circuit) *time.Duration { return &c.OpenMax }),
	value("ramp", func(c *Circuit) *time.Duration { return &c.Ramp }, readDuration, upToAnHour),
}
