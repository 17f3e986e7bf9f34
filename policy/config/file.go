package config

import (
	"net/netip"
	"net/url"
	"time"
)

// A File is one configuration with every default filled in. It is not changed
// after Parse returned it.
type File struct {
	Listen    string    // host:port or "unix:/path", for base URLs, HTTP_PROXY and CONNECT
	Admin     string    // host:port or "unix:/path", for the page, metrics, health and reload
	StateDir  string    // directory for what outlives the process; "": the place that the platform has for it
	AccessKey Reference // what callers must present; "": nothing, and then every listener is on loopback
	Forward   Forward
	Egress    Egress
	Store     Store
	Outbox    Outbox
	Telemetry Telemetry
	Alerts    Alerts
	Upstreams []Upstream // sorted by name
	Warnings  []string   // what works but should not stay so: "upstream.x.auth.token: literal secret; …"
}

// Forward says what applications may reach that use us as their HTTP proxy.
type Forward struct {
	Unlisted     string         // hosts that no upstream names: "tunnel", "deny", or "observe": tunnel, and list them
	Intercept    bool           // open the TLS of hosts that an upstream names, with the local certificate authority
	AllowPrivate []netip.Prefix // networks that may be reached although they are private
	IdleTimeout  time.Duration  // silence in a tunnel, in both directions
	MaxTunnels   int            // connections by CONNECT that may be open at a time
}

// Egress says how our own connections to the outside are made. It can be
// compared.
type Egress struct {
	// Proxy is "environment" (HTTPS_PROXY, HTTP_PROXY and NO_PROXY of our own
	// process), "direct", an http or https URL, or a secret reference to one.
	Proxy string
	// NoProxy are hosts that are reached directly although Proxy is a URL, in the
	// form of the variable NO_PROXY.
	NoProxy string
}

// Store says how what must not be lost is kept: the tokens of credentials.
type Store struct {
	URL Reference // of a PostgreSQL database that several machines share; "": a file in StateDir
	Key Reference // seals what is kept; "": OUTRIDER_KEY of our environment, or else a file in StateDir
}

// Outbox says how calls are kept that are sent later: letters. Which calls are is said by
// Policy.Outbox.
type Outbox struct {
	MaxAge      time.Duration // a letter that was not delivered for as long is dead
	MaxSize     int64         // bytes of all that is kept; beyond it no letter is taken
	MaxBody     int64         // bytes of the body of one letter, and of one answer that is kept; at most MaxSize
	KeepResults time.Duration // how long a letter that was delivered can be read, with its answer
	KeepDead    time.Duration // how long a dead letter is kept
	DedupWindow time.Duration // for how long a second call with the same dedup key is the first one
	Attempts    int           // sends of a letter until it is dead
	Concurrency int           // letters of one upstream that are sent at a time
	OnDead      string        // what a dead letter does to later ones of its order key: "hold" or "skip"
	Priority    string        // of sends whose caller said nothing: "high", "normal" or "low"
	Callbacks   []string      // what a callback's URL begins with: "https://app.example.com/hooks/"; none: there are no callbacks
	CallbackKey Reference     // signs callbacks; "": they are not signed
}

// Telemetry says how we report. Endpoint and protocol are the defaults under
// the standard OTEL_* environment variables.
type Telemetry struct {
	ServiceName string
	Endpoint    string        // http(s) URL of an OTLP receiver; "": no export
	Sample      float64       // share of traces that is kept when the caller did not decide, in [0, 1]
	KeepErrors  bool          // keep the traces of calls that failed beside that share
	KeepSlow    time.Duration // keep those of calls whose answer took as long to begin; 0: not for that
	TraceURL    string        // where a trace can be looked at, with {trace_id} in it; "": not told
	LogFormat   string        // "json" or "text"
	LogLevel    string        // "debug", "info", "warn" or "error"
	ExportLogs  bool          // the log goes to Endpoint, too
	AccessLog   bool          // one line for each call
}

// Alerts say who is told of trouble, beside the log and the page.
type Alerts struct {
	Notify []Reference // notification URLs; none: nobody
	Secret Reference   // signs what is sent to them in our own form; "": it is not signed
	Zone   string      // time zone of quiet hours, "Europe/Berlin"; "": that of the machine
	Rules  []AlertRule // sorted by name; those that it does not name are as they are
}

// An AlertRule says what is different of a rule of alerts. It can be compared.
type AlertRule struct {
	Name  string        // as docs/telemetry.md lists them
	Off   bool          // nobody is told, and nothing is shown
	After time.Duration // how long trouble has to last before somebody is told; 0: as the rule has it
	Quiet Quiet         // when nobody is notified; zero: never
}

// An Upstream is one configured API.
type Upstream struct {
	Name   string   // the path prefix of its base URL
	Preset string   // the name of what its defaults came from; "": none
	URL    *url.URL // where calls go; the host is in lower case, the path is the base path as written
	Hosts  []string // names seen by proxy clients, in lower case: "host", "*.suffix" (any depth), each with an optional ":port"
	Listen string   // host:port or "unix:/path" of its own, without path prefix; "": none

	Intercept    bool   // open TLS that proxy clients send to its hosts; Forward.Intercept has to be set, too
	Steady       bool   // calls come all day long: it is an alert when they stop
	RewriteLinks bool   // Location and Link that point to it become base URLs, for callers of base URLs
	Egress       Egress // how it is reached: its own proxy, or else what the file says for all

	CAFile     string // PEM file with roots to trust besides the system's; "": none
	ClientCert string // PEM file with the certificate that we present; "": none
	ClientKey  string // PEM file with its key; set if and only if ClientCert is

	Policy          // the settings for calls that no rule matches
	Circuit Circuit // shared by all rules
	Rules   []Rule  // in file order; the first that matches wins

	Connections string       // "optional", or "required": every call that gets Auth names a connection
	Named       []Connection // those of the file, sorted by name; others are kept in the store
}

// A Policy is what applies to a call.
type Policy struct {
	Timeout        time.Duration // whole call: queue, backoff, every attempt, until response headers
	AttemptTimeout time.Duration // one attempt, until response headers; at most Timeout
	IdleTimeout    time.Duration // silence inside a body
	ReplayBody     int64         // bytes of a request body that are kept for a second attempt
	StaleIfError   time.Duration // how old an answer may be that is given when the upstream fails; 0: none is
	Auth           Auth
	Cost           int      // tokens that a call spends of each rate, at least 1
	Answers        []Answer // what answers mean where their status does not say it; the first that fits counts
	Results        []string // paths to the list that a good answer to a GET has, "." for the body itself; none: lists are not looked at
	Limits         []Limit
	Retry          Retry
	Hedge          bool   // a second GET or HEAD where the first is slow
	Propagate      bool   // the upstream is told of the trace, and of the baggage of the caller
	Outbox         string // which calls become letters: OutboxNever, OutboxAllow, OutboxAlways or OutboxOnFailure
}

// A Rule changes the settings of its upstream for the calls that it matches.
type Rule struct {
	Match  Match
	Source string // the match text as written; no two rules of an upstream share it
	Policy        // effective, save Limits: those are the rule's own, on top of its upstream's
}

// Auth is the credential that is put on a call. Which fields are set follows
// from Type.
type Auth struct {
	Type     string    // "none", "bearer", "basic", "header", "query", "placeholder", "oauth2", "github_app", "service_account", "sigv4" or "passthrough"
	Token    Reference // bearer
	Username Reference // basic
	Password Reference // basic; may be empty
	Value    Reference // header, query, placeholder
	Name     string    // name of the header or of the query parameter
	Prefix   string    // header: stands before the value
	Expires  time.Time // when what the configuration gives ends, in UTC; zero: it does not say
	Origin   string    // "https://acme.example.com", where alone a connection is; "": where the upstream's calls go
	OAuth2             // oauth2, github_app, service_account
	SigV4              // sigv4
}

// Fetched reports whether the credential is one that is fetched.
func (a *Auth) Fetched() bool {
	return a.Type == "oauth2" || a.Type == githubApp || a.Type == serviceAccount
}

// Secrets are what it takes that nobody else must have. Some may be empty.
func (a *Auth) Secrets() []Reference {
	return []Reference{
		a.Token, a.Username, a.Password, a.Value, a.ClientSecret, a.RefreshToken,
		a.PrivateKey, a.ClientAssertion, a.SubjectToken, a.ActorToken, a.Key,
		a.AccessKeyID, a.SecretAccessKey, a.SessionToken,
	}
}

// References are the Secrets, and what else is read.
func (a *Auth) References() []Reference {
	return append(a.Secrets(), a.ClientID, a.Certificate, a.Issuer, a.Subject, a.AppID, a.InstallationID)
}

// SigV4 is a credential that signs requests to AWS. It can be compared.
type SigV4 struct {
	AccessKeyID     Reference // may as well be a literal: it is a name
	SecretAccessKey Reference
	SessionToken    Reference // of a temporary key; "": it is none
	Region          string    // "": told by the host
	Service         string    // as signatures name it; "": told by the host
}

// OAuth2 is a credential that is fetched, and fetched again before it expires
// (RFC 6749). It can be compared.
type OAuth2 struct {
	Grant         string        // "client_credentials", "refresh_token", "authorization_code", "jwt_bearer" or "token_exchange"; of oauth2 only
	TokenURL      string        // http(s) URL of the token endpoint; of a service account "": what its key says
	ClientID      Reference     // "": the client need not say who it is
	ClientSecret  Reference     // "": a public client
	RefreshToken  Reference     // the first one; those that came later are kept in the store
	Scopes        string        // separated by spaces
	Audience      string        // "": none
	Params        string        // further parameters of the token request, form-encoded
	ClientAuth    string        // "auto", "basic", "body", "json", "json-basic", "private_key_jwt" or "none"
	NotExpiry     string        // texts in the body of a 401 that do not mean that the token expired, one a line
	RefreshShare  float64       // of its lifetime, before the end of which a token is refreshed; 0: see RefreshBefore
	RefreshBefore time.Duration // before the end of its lifetime; 0: see RefreshShare
	Lifetime      time.Duration // of tokens whose provider says none; 0: learned
	Key           Reference     // service_account: the JSON of its key
	Signing
	TokenExchange
	GitHubApp

	// For `outrider login`, which gets the first tokens of the grant authorization_code.
	AuthorizeURL    string // URL of the provider's page; "": there is none
	DeviceURL       string // URL at which a device asks for its code (RFC 8628); "": there is none
	AuthorizeParams string // further parameters of the request to either, form-encoded
	RevokeURL       string // URL at which `outrider logout` revokes the tokens (RFC 7009); "": nowhere
	RedirectURL     string // where the provider's page leads back to; "": a free port of loopback
}

// A Limit is one quota that we keep. At least one of Rate, Concurrency and Learn is set.
type Limit struct {
	Rate        Rate          // zero: no rate
	Burst       int           // calls that may go at once; 0: see pace.Rate
	Concurrency int           // calls under way; 0: unbounded
	MaxWait     time.Duration // a longer wait is refused at once
	MaxQueue    int           // calls that may wait
	Shape       string        // "auto", "window" or "smooth"
	Learn       bool          // follow what responses say about the quota
	Dialect     string        // how the provider tells of it: "auto", or one of quota.Names
	Per         string        // what has a quota of its own: "credential", "host" or "upstream"
}

// An Answer says what some answers mean, whatever their status says. One of Field, Header
// and GraphQL is set.
type Answer struct {
	Match    Match         // calls that it is about
	Calls    string        // the match as it is written; "": all calls
	Statuses []int         // 200 to 599
	Field    string        // path into a JSON body: "error.code"; "*" is any name
	Header   string        // name of a header
	GraphQL  bool          // a query that was throttled, with the points that are left
	Values   []string      // what the field is, or …
	Contains []string      // … has in it, in any case; without both there has to be a header, or something at the field
	AtLeast  int           // what the field has to reach, in place of both; 0: nothing
	Unless   string        // path like Field, at which there is nothing; "": no matter
	Means    string        // "exhausted", "throttled", "busy", "refused", "fault", "failed" or "partial"
	Wait     time.Duration // of throttled and busy, where the answer names no time; 0: unknown
}

// Retry says how often and when a call is sent again.
type Retry struct {
	Attempts          int           // in all, 1 to 10; 1: no retries
	Base, Cap         time.Duration // of the exponential backoff
	Budget            float64       // share of calls that may be retried, in [0, 1]
	Statuses          []int         // answers that are worth another attempt
	Unprocessed       []int         // answers by which the provider says that it did nothing: anything may be sent again
	IdempotencyHeader string        // a POST that carries it may be sent again; "": none
	MintKey           bool          // give a POST without that header one
	KeyAge            time.Duration // how long the provider knows a key for sure, from its first use on
}

// Circuit says when an upstream counts as down, and for how long.
type Circuit struct {
	Window       time.Duration // attempts of this long are judged; at least twice the longest AttemptTimeout
	MinCalls     int           // fewer attempts in a window are not judged by ratio
	FailureRatio float64       // of faults that opens the circuit, in (0, 1]
	FailureRun   int           // faults of any kind in a row that open the circuit, if they go on for a second
	Overdue      time.Duration // an attempt without an answer for longer may count as such a fault before its end; 0: none does
	Slow         time.Duration // an attempt that took longer is slow
	SlowRatio    float64       // of slow attempts that opens the circuit, in (0, 1]
	Consecutive  int           // connections refused in a row that open the circuit
	Open         time.Duration // first pause before a probe
	OpenMax      time.Duration // longest pause, after probes that failed
	Ramp         time.Duration // from the probe that succeeded until all calls pass again; 0: at once
}
