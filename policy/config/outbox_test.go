package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"outrider/policy/config"
)

func TestOutboxIsRead(t *testing.T) {
	f := mustParse(t, `
[outbox]
max_age      = "48h"
max_size     = "2GiB"
max_body     = "1MiB"
keep_results = "1h"
keep_dead    = "24h"
dedup_window = "10m"
attempts     = 7
concurrency  = 3
on_dead      = "skip"
priority     = "normal"
callbacks    = ["https://App.example.com:443/hooks/", "http://127.0.0.1:3000/"]
callback_key = "env:CALLBACK_KEY"
`)
	want := config.Outbox{
		MaxAge: 48 * time.Hour, MaxSize: 2 << 30, MaxBody: 1 << 20, KeepResults: time.Hour, KeepDead: 24 * time.Hour,
		DedupWindow: 10 * time.Minute, Attempts: 7, Concurrency: 3, OnDead: "skip", Priority: "normal",
		Callbacks: []string{"https://app.example.com/hooks/", "http://127.0.0.1:3000/"}, CallbackKey: "env:CALLBACK_KEY",
	}
	if !reflect.DeepEqual(f.Outbox, want) {
		t.Errorf("got %+v, want %+v", f.Outbox, want)
	}
	if len(f.Warnings) > 0 {
		t.Errorf("it earns warnings: %q", f.Warnings)
	}
}

func TestOutboxIsStrict(t *testing.T) {
	const callback = `must be the beginning of URLs, with a slash at its end: "https://app.example.com/hooks/"`
	for document, want := range map[string]string{
		`max_age = "0s"`:                         `outbox.max_age = "0s": must be longer than 0 and at most 8760h`,
		`keep_dead = "9000h"`:                    `outbox.keep_dead = "9000h": must be longer than 0 and at most 8760h`,
		`dedup_window = 5`:                       `outbox.dedup_window = 5: must be a time with its unit (ms, s, m, h), such as "10s"`,
		`max_size = "0B"`:                        `outbox.max_size = "0B": must be more than 0`,
		"max_size = \"1MiB\"\nmax_body=\"2MiB\"": `outbox.max_body = "2MiB": must not be larger than max_size, which is 1MiB`,
		`max_body = "2GiB"`:                      `outbox.max_body = "2GiB": must not be larger than max_size, which is 1GiB`,
		`attempts = 0`:                           `outbox.attempts = 0: must be at least 1`,
		`concurrency = 1001`:                     `outbox.concurrency = 1001: must be at most 1000`,
		`on_dead = "stop"`:                       `outbox.on_dead = "stop": must be one of hold, skip`,
		`priority = "lo"`:                        `outbox.priority = "lo": must be one of high, normal, low; did you mean "low"?`,
		`callbacks = "https://a.example/"`:       `outbox.callbacks = "https://a.example/": must be a list in brackets, such as [a, b]`,
		`callbacks = ["ftp://a.example/"]`:       `outbox.callbacks[0] = "ftp://a.example/": must be an http or https URL with a host, such as "https://api.example.com"`,
		`callbacks = ["https://a.example"]`:      `outbox.callbacks[0] = "https://a.example": ` + callback,
		`callbacks = ["https://a.example/b"]`:    `outbox.callbacks[0] = "https://a.example/b": ` + callback,
		`callbacks = ["https://a.example/../"]`:  `outbox.callbacks[0] = "https://a.example/../": ` + callback,
		`callbacks = ["https://a.example/?a=/"]`: `outbox.callbacks[0]: must not have a query: ` + callback,
		`callbacks = ["https://u:p@a.example/"]`: `outbox.callbacks[0]: must not hold a user name or password`,
		`max_ages = "1h"`:                        `outbox.max_ages: unknown key; did you mean "max_age"?`,
	} {
		if got := problems(t, "[outbox]\n"+document).Error(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", document, got, want)
		}
	}
}

func TestMaxBodyThatIsNotWrittenFitsIntoMaxSize(t *testing.T) {
	if got := mustParse(t, `outbox.max_size = "1MiB"`).Outbox.MaxBody; got != 1<<20 {
		t.Errorf("max_body is %d, want that of max_size", got)
	}
}

func TestCallbacksWithoutAKeyEarnAWarning(t *testing.T) {
	f := mustParse(t, `outbox.callbacks = ["https://app.example.com/hooks/"]`)
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "outbox.callbacks: are not signed") || !strings.Contains(f.Warnings[0], "callback_key") {
		t.Errorf("warnings: %q", f.Warnings)
	}
	f = mustParse(t, `outbox = { callbacks = ["https://app.example.com/hooks/"], callback_key = "whsec_c2VjcmV0LWNhbmFyeQ" }`)
	if len(f.Warnings) != 1 || strings.Contains(f.Warnings[0], "c2VjcmV0") {
		t.Errorf("a literal key earns %q, want one warning without it", f.Warnings)
	}
}

func TestCallbackHasToBeginAsAllowed(t *testing.T) {
	o := mustParse(t, `outbox.callbacks = ["https://app.example.com/hooks/", "http://127.0.0.1:3000/"]
outbox.callback_key = "env:K"`).Outbox
	for url, want := range map[string]bool{
		"https://app.example.com/hooks/":            true,
		"https://app.example.com/hooks/a?b=c":       true,
		"https://APP.example.com:443/hooks/a":       true,
		"http://127.0.0.1:3000/any":                 true,
		"https://app.example.com/hooks":             false,
		"https://app.example.com/other":             false,
		"https://app.example.com/hooks/../admin":    false,
		"https://app.example.com/hooks/%2e%2e/x":    false,
		"https://app.example.com/hooks/..%2fadmin":  false,
		`https://app.example.com/hooks/..\admin`:    false,
		"https://app.example.com/hooks/..;/admin":   false,
		"https://app.example.com/hooks/%2e%2e;a/x":  false,
		"https://app.example.com/hooks/a..;b/c;d":   true,
		"http://app.example.com/hooks/a":            false,
		"https://app.example.com.evil.test/hooks/a": false,
		"https://app.example.com@evil.test/hooks/a": false,
		"https://u:p@app.example.com/hooks/a":       false,
		"https://app.example.com:8443/hooks/a":      false,
		"https://app.example.com/hooks/a#b":         false,
		"http://127.0.0.1:30001/any":                false,
		"/hooks/a":                                  false,
		"":                                          false,
	} {
		if got := o.AllowsCallback(url); got != want {
			t.Errorf("%q: allowed is %v, want %v", url, got, want)
		}
	}
	if new(config.Outbox).AllowsCallback("https://app.example.com/") {
		t.Error("without callbacks one is allowed")
	}
}

// A letter holds no credential of its caller's, so it could not be sent with it.
func TestOutboxDoesNotGoWithPassthrough(t *testing.T) {
	const why = `: a letter holds no credential of a caller, and would go out without one; give auth the credential, or type = "none" where the API needs none`
	for document, want := range map[string]string{
		`outbox = "allow"`: `upstream.crm.outbox = "allow": does not go with upstream.crm.auth.type, which is "passthrough"` + why,
		"outbox = \"always\"\nauth = { type = \"passthrough\" }":                                                                     `upstream.crm.outbox = "always": does not go with upstream.crm.auth.type, which is "passthrough"` + why,
		"[[upstream.crm.rule]]\nmatch = \"POST\"\noutbox = \"on_failure\"":                                                           `upstream.crm.rule[0].outbox = "on_failure": does not go with upstream.crm.rule[0].auth.type, which is "passthrough"` + why,
		"outbox = \"allow\"\nauth = { type = \"none\" }\n[[upstream.crm.rule]]\nmatch = \"POST\"\nauth = { type = \"passthrough\" }": `upstream.crm.rule[0].auth.type = "passthrough": does not go with outbox, which is "allow" here` + why,
		// One fault, one message.
		"outbox = \"allow\"\nauth = { type = \"barer\" }":             `upstream.crm.auth.type = "barer": must be one of none, bearer, basic, header, query, placeholder, oauth2, github_app, service_account, sigv4, passthrough; did you mean "bearer"?`,
		"outbox = \"allow\"\n[[upstream.crm.rule]]\nmatch = \"POST\"": `upstream.crm.outbox = "allow": does not go with upstream.crm.auth.type, which is "passthrough"` + why,
		`outbox = "yes"`: `upstream.crm.outbox = "yes": must be one of never, allow, always, on_failure`,
	} {
		if got := problems(t, "[upstream.crm]\nurl = \"https://crm.example.com\"\n"+document).Error(); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", document, got, want)
		}
	}
	u := upstream(t, mustParse(t, `
[upstream.crm]
url    = "https://crm.example.com"
outbox = "always"
auth   = { type = "none" }
[[upstream.crm.rule]]
match  = "POST /session"
auth   = { type = "passthrough" }
outbox = "never"
`), "crm")
	if u.Outbox != config.OutboxAlways || u.Rules[0].Outbox != config.OutboxNever {
		t.Errorf("the upstream keeps %q, its rule %q", u.Outbox, u.Rules[0].Outbox)
	}
}
