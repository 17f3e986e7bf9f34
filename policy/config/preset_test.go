package config_test

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
	"outrider/policy/preset"
)

// least is what a user has to write beside each preset's name.
var least = map[string]string{
	"shopify":    `url = "https://acme.myshopify.com"`,
	"salesforce": `url = "https://acme.my.salesforce.com"`,
}

// leastAuth is what a user has to write of each type of credential.
var leastAuth = map[string]map[string]string{
	"bearer": {"token": `"env:T"`},
	"basic":  {"username": `"env:U"`, "password": `"env:P"`},
	"header": {"value": `"env:V"`},
	"oauth2": {"grant": `"client_credentials"`, "client_id": `"env:I"`, "client_secret": `"env:S"`},
}

// using is an upstream x with a preset and the least that it needs. lines are laid
// over that; those that begin with "auth." are keys of its credential.
func using(name, kind string, lines ...string) string {
	keys := map[string]string{"preset": fmt.Sprintf("%q", name), "auth.type": fmt.Sprintf("%q", kind)}
	set := func(line string) {
		key, value, _ := strings.Cut(line, " = ")
		keys[key] = value
	}
	for key, value := range leastAuth[kind] {
		set("auth." + key + " = " + value)
	}
	if name == "microsoft-graph" && kind == "oauth2" {
		set(`auth.token_url = "https://login.microsoftonline.com/acme/oauth2/v2.0/token"`)
	}
	for _, line := range append([]string{least[name]}, lines...) {
		set(line)
	}
	delete(keys, "")
	document := "[upstream.x]\n"
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		document += key + " = " + keys[key] + "\n"
	}
	return document
}

// Every preset is read with the least that a user has to write, for every type of
// credential that it names; a wrong key or value in one of its files fails here.
func TestEveryPresetNeedsNoMoreThanTheLeast(t *testing.T) {
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		for _, kind := range p.AuthTypes() {
			f := mustParse(t, using(name, kind))
			u := upstream(t, f, "x")
			if u.Preset != name || u.Auth.Type != kind || u.URL.Scheme != "https" || len(u.Hosts) == 0 {
				t.Errorf("%s, %s: got %+v", name, kind, u)
			}
			if len(f.Warnings) > 0 {
				t.Errorf("%s, %s: %q", name, kind, f.Warnings)
			}
		}
	}
}

// What outrider presets prints may be pasted, and then changes nothing.
func TestPrintedPresetIsThePreset(t *testing.T) {
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		short := upstream(t, mustParse(t, using(name, p.AuthTypes()[0])), "x")
		printed := p.TOML()
		for _, line := range []string{least[name], `auth.token_url = "https://login.microsoftonline.com/acme/oauth2/v2.0/token"`} {
			key, _, _ := strings.Cut(line, " = ")
			if _, needed := p.Needs[key]; needed {
				printed = strings.Replace(printed, "preset = ", line+"\npreset = ", 1)
			}
		}
		long := upstream(t, mustParse(t, printed), name)
		long.Name = short.Name
		forgetSecrets(long)
		forgetSecrets(short)
		if !reflect.DeepEqual(long, short) {
			t.Errorf("%s: pasted\n%s\nis\n%+v\nthe preset is\n%+v", name, printed, long, short)
		}
	}
}

// forgetSecrets takes out what the user gives.
func forgetSecrets(u *config.Upstream) {
	credentials := []*config.Auth{&u.Auth}
	for i := range u.Rules {
		credentials = append(credentials, &u.Rules[i].Auth)
	}
	for _, a := range credentials {
		a.Token, a.Username, a.Password, a.Value = "", "", "", ""
		a.ClientID, a.ClientSecret, a.RefreshToken, a.Grant = "", "", "", ""
	}
}

func TestPresetFillsInWhatIsNotWritten(t *testing.T) {
	u := upstream(t, mustParse(t, `
[upstream.pay]
preset = "stripe"
auth   = { token = "env:STRIPE_KEY" }
`), "pay")
	if got, want := u.Retry, (config.Retry{
		Attempts: 3, Base: 100 * time.Millisecond, Cap: 20 * time.Second, Budget: 0.1,
		Statuses: []int{408, 409, 425, 429, 500, 502, 503, 504}, IdempotencyHeader: "Idempotency-Key", MintKey: true, KeyAge: 24 * time.Hour,
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("retry: got %+v, want %+v", got, want)
	}
	if want := (config.Auth{Type: "bearer", Token: "env:STRIPE_KEY"}); u.Auth != want {
		t.Errorf("auth: got %+v, want %+v", u.Auth, want)
	}
	if len(u.Limits) != 1 || u.Limits[0].Rate != (config.Rate{Count: 100, Per: time.Second}) {
		t.Errorf("limits: got %+v", u.Limits)
	}
	if len(u.Rules) != 1 || u.Rules[0].Source != "GET /v1/*/search" || !u.Rules[0].Retry.MintKey {
		t.Errorf("rules: got %+v", u.Rules)
	}
	if got := strings.Join(u.Hosts, " "); got != "api.stripe.com files.stripe.com" {
		t.Errorf("hosts: %s", got)
	}
}

// Without a credential of the user there is none: a preset has no secret.
func TestPresetWithoutCredentialPassesTheCallersOwn(t *testing.T) {
	if got := upstream(t, mustParse(t, `upstream.gh.preset = "github"`), "gh").Auth; got != (config.Auth{Type: "passthrough"}) {
		t.Errorf("got %+v", got)
	}
}

// written has a value for every key of an upstream that a preset could set, none of
// them a default or a preset's, and what is read of it.
var written = []struct {
	line string
	read func(u *config.Upstream) any
	want any
}{
	{`url = "https://proxy.test/x"`, func(u *config.Upstream) any { return u.URL.String() }, "https://proxy.test/x"},
	{`hosts = ["a.test"]`, func(u *config.Upstream) any { return u.Hosts }, []string{"a.test"}},
	{`listen = "127.0.0.1:8090"`, func(u *config.Upstream) any { return u.Listen }, "127.0.0.1:8090"},
	{`intercept = false`, func(u *config.Upstream) any { return u.Intercept }, false},
	{`rewrite_links = false`, func(u *config.Upstream) any { return u.RewriteLinks }, false},
	{`proxy = "direct"`, func(u *config.Upstream) any { return u.Egress.Proxy }, "direct"},
	{`ca_file = "/ca.pem"`, func(u *config.Upstream) any { return u.CAFile }, "/ca.pem"},
	{`timeout = "7s"`, func(u *config.Upstream) any { return u.Timeout }, 7 * time.Second},
	{`attempt_timeout = "3s"`, func(u *config.Upstream) any { return u.AttemptTimeout }, 3 * time.Second},
	{`idle_timeout = "9s"`, func(u *config.Upstream) any { return u.IdleTimeout }, 9 * time.Second},
	{`replay_body = "3MiB"`, func(u *config.Upstream) any { return u.ReplayBody }, int64(3 << 20)},
	{`limit.concurrency = 7`, func(u *config.Upstream) any { return u.Limits }, []config.Limit{{Concurrency: 7, MaxWait: 30 * time.Second, MaxQueue: 10000, Shape: "auto", Learn: true, Dialect: "auto", Per: "credential"}}},
	{`limit = []`, func(u *config.Upstream) any { return len(u.Limits) }, 0},
	{`rule = []`, func(u *config.Upstream) any { return len(u.Rules) }, 0},
	{`retry.attempts = 9`, func(u *config.Upstream) any { return u.Retry.Attempts }, 9},
	{`retry.base = "7ms"`, func(u *config.Upstream) any { return u.Retry.Base }, 7 * time.Millisecond},
	{`retry.cap = "7s"`, func(u *config.Upstream) any { return u.Retry.Cap }, 7 * time.Second},
	{`retry.budget = "7%"`, func(u *config.Upstream) any { return u.Retry.Budget }, 0.07},
	{`retry.statuses = [500]`, func(u *config.Upstream) any { return u.Retry.Statuses }, []int{500}},
	{`retry.unprocessed = [409]`, func(u *config.Upstream) any { return u.Retry.Unprocessed }, []int{409}},
	{`retry.idempotency_header = "X-Key"`, func(u *config.Upstream) any { return u.Retry.IdempotencyHeader }, "X-Key"},
	{`retry.mint_key = false`, func(u *config.Upstream) any { return u.Retry.MintKey }, false},
	{`circuit.window = "21m"`, func(u *config.Upstream) any { return u.Circuit.Window }, 21 * time.Minute},
	{`circuit.min_calls = 7`, func(u *config.Upstream) any { return u.Circuit.MinCalls }, 7},
	{`circuit.failure_ratio = 0.7`, func(u *config.Upstream) any { return u.Circuit.FailureRatio }, 0.7},
	{`circuit.failure_run = 7`, func(u *config.Upstream) any { return u.Circuit.FailureRun }, 7},
	{`circuit.overdue = "7s"`, func(u *config.Upstream) any { return u.Circuit.Overdue }, 7 * time.Second},
	{`circuit.slow = "7s"`, func(u *config.Upstream) any { return u.Circuit.Slow }, 7 * time.Second},
	{`circuit.slow_ratio = 0.7`, func(u *config.Upstream) any { return u.Circuit.SlowRatio }, 0.7},
	{`circuit.consecutive = 7`, func(u *config.Upstream) any { return u.Circuit.Consecutive }, 7},
	{`circuit.open = "7s"`, func(u *config.Upstream) any { return u.Circuit.Open }, 7 * time.Second},
	{`circuit.open_max = "7m"`, func(u *config.Upstream) any { return u.Circuit.OpenMax }, 7 * time.Minute},
	{`circuit.ramp = "7s"`, func(u *config.Upstream) any { return u.Circuit.Ramp }, 7 * time.Second},
	{`auth.type = "none"`, func(u *config.Upstream) any { return u.Auth.Type }, "none"},
}

var writtenAuth = map[string][]struct {
	line string
	read func(a config.Auth) any
	want any
}{
	"header": {
		{`auth.name = "X-Mine"`, func(a config.Auth) any { return a.Name }, "X-Mine"},
		{`auth.prefix = "Key "`, func(a config.Auth) any { return a.Prefix }, "Key "},
	},
	"basic": {
		{`auth.password = "env:P"`, func(a config.Auth) any { return a.Password }, config.Reference("env:P")},
	},
	"oauth2": {
		{`auth.token_url = "https://mine.test/token"`, func(a config.Auth) any { return a.TokenURL }, "https://mine.test/token"},
		{`auth.authorize_url = "https://mine.test/authorize"`, func(a config.Auth) any { return a.AuthorizeURL }, "https://mine.test/authorize"},
		{`auth.device_url = "https://mine.test/device"`, func(a config.Auth) any { return a.DeviceURL }, "https://mine.test/device"},
		{`auth.client_auth = "basic"`, func(a config.Auth) any { return a.ClientAuth }, "basic"},
		{`auth.scopes = ["a", "b"]`, func(a config.Auth) any { return a.Scopes }, "a b"},
		{`auth.audience = "me"`, func(a config.Auth) any { return a.Audience }, "me"},
		{`auth.params = { a = "b" }`, func(a config.Auth) any { return a.Params }, "a=b"},
		{`auth.refresh_before = "7m"`, func(a config.Auth) any { return a.RefreshBefore }, 7 * time.Minute},
		{`auth.lifetime_default = "7h"`, func(a config.Auth) any { return a.Lifetime }, 7 * time.Hour},
		{`auth.not_expiry = ["mine", "and mine"]`, func(a config.Auth) any { return a.NotExpiry }, "mine\nand mine"},
		{`auth.authorize_params = { prompt = "mine" }`, func(a config.Auth) any {
			params, _ := url.ParseQuery(a.AuthorizeParams)
			return params.Get("prompt")
		}, "mine"},
	},
}

// The preset of GitHub, with the url of somebody's own server, sent that server's client
// secret and refresh token to github.com.
func TestURLsOfAPresetAreForItsOwnHosts(t *testing.T) {
	document := func(preset, url string) string {
		return fmt.Sprintf("[upstream.x]\npreset = %q\nurl = %q\nauth = { type = \"oauth2\", grant = \"refresh_token\", client_id = \"a\", client_secret = \"env:S\", refresh_token = \"env:R\" }\n", preset, url)
	}
	for _, tt := range []struct{ preset, url, host string }{
		{"github", "https://github.example.com/api/v3", "api.github.com"},
		{"github", "http://127.0.0.1:9090", "api.github.com"},
		{"google", "https://googleapis.com.example.com", "www.googleapis.com"},
	} {
		_, err := config.Parse("test.toml", []byte(document(tt.preset, tt.url)))
		u, _ := url.Parse(tt.url)
		want := "upstream.x.auth.token_url: is missing: preset " + tt.preset + " knows only the one of " + tt.host + ", and calls go to " + u.Host
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", tt.url, err, want)
		}
	}
	for preset, url := range map[string]string{
		"google":     "https://gmail.googleapis.com",
		"twilio":     "https://messaging.twilio.com:443",
		"salesforce": "https://acme.my.salesforce.com", // whose token_url follows from it
	} {
		mustParse(t, document(preset, url))
	}
}

// One key that is written goes before the preset, whatever the preset says, and
// needs no other beside it.
func TestEveryKeyOfAPresetCanBeOverridden(t *testing.T) {
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		for _, tt := range written {
			kind := p.AuthTypes()[0]
			if tt.line == `auth.type = "none"` || strings.HasPrefix(tt.line, "url = ") { // see TestURLsOfAPresetAreForItsOwnHosts
				kind = "none"
			}
			if got := tt.read(upstream(t, mustParse(t, using(name, kind, tt.line)), "x")); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s with %s: got %v, want %v", name, tt.line, got, tt.want)
			}
		}
		for _, kind := range p.AuthTypes() {
			for _, tt := range writtenAuth[kind] {
				if got := tt.read(upstream(t, mustParse(t, using(name, kind, tt.line)), "x").Auth); got != tt.want {
					t.Errorf("%s, %s, with %s: got %v, want %v", name, kind, tt.line, got, tt.want)
				}
			}
		}
	}
}

// A preset's hosts are names of the preset's url: with another url they would lead
// calls to the provider away from it.
func TestHostsOfAPresetGoWithItsURL(t *testing.T) {
	u := upstream(t, mustParse(t, "upstream.x = { preset = \"google\", url = \"https://sheets.googleapis.com\" }"), "x")
	if got := strings.Join(u.Hosts, " "); got != "sheets.googleapis.com" {
		t.Errorf("hosts: %s", got)
	}
}

func TestRulesOfTheUserStandBeforeThoseOfAPreset(t *testing.T) {
	u := upstream(t, mustParse(t, `
[upstream.x]
preset = "stripe"
[[upstream.x.rule]]
match   = "GET /v1/**"
timeout = "5s"
`), "x")
	if len(u.Rules) != 2 || u.Rules[0].Source != "GET /v1/**" || u.Rules[1].Source != "GET /v1/*/search" {
		t.Fatalf("got %+v", u.Rules)
	}
	if !u.Rules[0].Retry.MintKey {
		t.Error("the user's rule does not stand on the preset's settings")
	}
	u = upstream(t, mustParse(t, `
[upstream.x]
preset = "stripe"
rule   = [{ match = "GET /v1/*/search", timeout = "5s" }]
`), "x")
	if len(u.Rules) != 1 || u.Rules[0].Timeout != 5*time.Second || u.Rules[0].Limits != nil {
		t.Errorf("a rule with the same match: got %+v", u.Rules)
	}
}

func TestCredentialOfARuleHasWhatThePresetKnows(t *testing.T) {
	u := upstream(t, mustParse(t, `
[upstream.x]
preset = "hubspot"
auth   = { token = "env:T" }
[[upstream.x.rule]]
match = "POST"
auth  = { type = "oauth2", grant = "refresh_token", client_id = "i", client_secret = "env:S", refresh_token = "env:R" }
`), "x")
	if got := u.Rules[0].Auth; got.TokenURL != "https://api.hubapi.com/oauth/v3/token" || got.ClientAuth != "body" || got.Token != "" {
		t.Errorf("got %+v", got)
	}
}

// A table below auth is laid over the preset's, too: one more parameter does not
// lose the others.
func TestParametersOfALoginAddToThoseOfThePreset(t *testing.T) {
	u := upstream(t, mustParse(t, using("atlassian", "oauth2", `auth.authorize_params = { lang = "de" }`)), "x")
	if got := u.Auth.AuthorizeParams; got != "audience=api.atlassian.com&lang=de&prompt=consent" {
		t.Errorf("got %s", got)
	}
}

// One URL that is written is enough for those that follow from it.
func TestEndpointsFollowFromWhatIsWritten(t *testing.T) {
	u := upstream(t, mustParse(t, using("salesforce", "oauth2", `url = "https://Acme--dev.sandbox.my.salesforce.com/base"`)), "x")
	if got := u.Auth; got.TokenURL != "https://Acme--dev.sandbox.my.salesforce.com/services/oauth2/token" ||
		got.AuthorizeURL != "https://Acme--dev.sandbox.my.salesforce.com/services/oauth2/authorize" {
		t.Errorf("got %+v", got)
	}
	u = upstream(t, mustParse(t, using("microsoft-graph", "oauth2")), "x")
	if got := u.Auth; got.AuthorizeURL != "https://login.microsoftonline.com/acme/oauth2/v2.0/authorize" ||
		got.DeviceURL != "https://login.microsoftonline.com/acme/oauth2/v2.0/devicecode" {
		t.Errorf("got %+v", got)
	}
}

// What a preset says gives way where a default would: to a shorter timeout, to a
// client that has no secret.
func TestPresetGivesWayWhereADefaultWould(t *testing.T) {
	u := upstream(t, mustParse(t, `upstream.x = { preset = "openai", timeout = "30s" }`), "x")
	if u.AttemptTimeout != 30*time.Second || u.Circuit.Window != time.Minute {
		t.Errorf("attempt_timeout %v, window %v; want 30s, 1m", u.AttemptTimeout, u.Circuit.Window)
	}
	u = upstream(t, mustParse(t, `
[upstream.x]
preset = "github"
auth   = { type = "oauth2", grant = "authorization_code", client_id = "i" }
`), "x")
	if u.Auth.ClientAuth != "none" {
		t.Errorf("client_auth %s, want none", u.Auth.ClientAuth)
	}
}

func TestFaultsAroundPresets(t *testing.T) {
	names := strings.Join(preset.Names(), ", ")
	for _, tt := range []struct{ name, document, want string }{
		{"typing error", `upstream.x = { preset = "gihub", auth = { client_id = "i" } }`,
			`upstream.x.preset = "gihub": must be one of ` + names + `; did you mean "github"?`},
		{"no text", `upstream.x.preset = 5`, `upstream.x.preset = 5: must be text in quotes`},
		{"no url", `upstream.x.preset = "shopify"`,
			`upstream.x.url: is missing: preset shopify needs that of the shop, such as "https://acme.myshopify.com"`},
		{"no url, and what is on its host", `upstream.x = { preset = "salesforce", auth = { grant = "client_credentials", client_id = "i", client_secret = "env:S" } }`,
			`upstream.x.url: is missing: preset salesforce needs the My Domain of your org, such as "https://acme.my.salesforce.com"`},
		{"a url that is none", `upstream.x = { preset = "salesforce", url = "acme", auth = { grant = "client_credentials", client_id = "i", client_secret = "env:S" } }`,
			`upstream.x.url = "acme": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"no tenant", `upstream.x = { preset = "microsoft-graph", auth = { grant = "client_credentials", client_id = "i", client_secret = "env:S" } }`,
			`upstream.x.auth.token_url: is missing: preset microsoft-graph needs that of your tenant, "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"`},
		{"a tenant's that is none", `upstream.x = { preset = "microsoft-graph", auth = { grant = "client_credentials", token_url = "acme", client_id = "i", client_secret = "env:S" } }`,
			`upstream.x.auth.token_url = "acme": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"no tenant in a rule", `upstream.x = { preset = "microsoft-graph", rule = [{ match = "GET", auth = { grant = "client_credentials", client_id = "i", client_secret = "env:S" } }] }`,
			`upstream.x.rule[0].auth.token_url: is missing: preset microsoft-graph needs that of your tenant, "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"`},
		{"a value of the preset that has lost its other half", `upstream.x = { preset = "stripe", retry = { idempotency_header = "" } }`,
			`upstream.x.retry.mint_key = true: needs idempotency_header: in which header does the provider look for the key? (from preset stripe)`},
		{"keys of another type than the usual one", `upstream.x = { preset = "github", auth = { token = "env:T", grant = "refresh_token" } }`,
			`upstream.x.auth.grant: does not belong to type bearer (which preset github means where auth has no type), which takes token`},
		{"twice", "[upstream.a]\npreset = \"github\"\n[upstream.b]\npreset = \"github\"",
			`upstream.b.url: "api.github.com" of upstream.b overlaps "api.github.com" of upstream.a; a host belongs to one upstream (hosts = [] leaves an upstream to its base URL alone) (from preset github)`},
		{"tables that are none", `upstream.x = { preset = "stripe", retry = 3, auth = 4, rule = 5 }`,
			"upstream.x.auth = 4: must be a table: [upstream.x.auth]\n" +
				"upstream.x.retry = 3: must be a table: [upstream.x.retry]\n" +
				"upstream.x.rule = 5: must be a list of tables: [[upstream.x.rule]]"},
		{"a rule that is none", `upstream.x = { preset = "stripe", rule = ["GET"] }`, `upstream.x.rule[0]: must be a table: [upstream.x.rule[0]]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := problems(t, tt.document).Error(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestFaultsOfALogin(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"authorize_url", `"login.test"`, `upstream.crm.auth.authorize_url = "login.test": must be an http or https URL with a host, such as "https://api.example.com"`},
		{"device_url", `"http://login.test/code"`, `upstream.crm.auth.device_url = "http://login.test/code": must be an https URL, since it is about a login`},
		{"authorize_params", `{ state = "canary" }`, `upstream.crm.auth.authorize_params.state: has a key of its own`},
		{"authorize_params", `{ a = 5 }`, `upstream.crm.auth.authorize_params.a: must be text in quotes`},
		{"authorize_params", `"canary"`, `upstream.crm.auth.authorize_params: must be a table of texts, such as { resource = "https://api.example.com" }`},
		{"not_expiry", `"text"`, `upstream.crm.auth.not_expiry = "text": must be a list in brackets, such as [a, b]`},
		{"not_expiry", `[" "]`, `upstream.crm.auth.not_expiry[0] = " ": must be a part of the body of a 401, on one line`},
	} {
		if got := problems(t, oauth2(tt.key, tt.value)).Error(); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
	mustParse(t, oauth2("device_url", `"http://127.0.0.1:9090/code"`))
}

// Reading with a preset changes nothing of the preset: the next upstream has it as
// the first had it.
func TestPresetIsTheSameForEverybody(t *testing.T) {
	document := using("salesforce", "oauth2") + strings.ReplaceAll(using("stripe", "bearer", `retry.mint_key = false`, `rule = [{ match = "GET" }]`), "upstream.x", "upstream.y")
	first := mustParse(t, document)
	mustParse(t, using("salesforce", "oauth2", `url = "https://other.my.salesforce.com"`))
	if second := mustParse(t, document); !reflect.DeepEqual(first, second) {
		t.Errorf("first\n%+v\nthen\n%+v", first, second)
	}
	for _, name := range preset.Names() {
		mustParse(t, using(name, "none", `retry.attempts = 1`))
		p, _ := preset.Find(name)
		if retry, ok := p.Upstream["retry"].(map[string]any); ok && retry["attempts"] != nil {
			t.Errorf("%s was written to", name)
		}
	}
}
