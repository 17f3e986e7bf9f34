package preset_test

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/preset"
)

// find is a preset that has to be there.
func find(t *testing.T, name string) preset.Preset {
	t.Helper()
	p, ok := preset.Find(name)
	if !ok {
		t.Fatalf("no preset %s", name)
	}
	return p
}

func TestNames(t *testing.T) {
	want := []string{"anthropic", "atlassian", "github", "google", "hubspot", "microsoft-graph", "notion",
		"openai", "salesforce", "shopify", "slack", "stripe", "twilio"}
	if got := preset.Names(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, ok := preset.Find("nobody"); ok {
		t.Error("found nobody")
	}
}

func TestEveryPresetSaysWhatItIsAndWhereItIsFrom(t *testing.T) {
	for _, name := range preset.Names() {
		p := find(t, name)
		if p.Name != name || p.Title == "" || len(p.Sources) == 0 || len(p.Notes) == 0 {
			t.Errorf("%s: got %+v", name, p)
		}
		if _, err := time.Parse(time.DateOnly, p.VerifiedOn); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if method, path, _ := strings.Cut(p.Probe, " "); p.Probe != "" && (method != "GET" || !strings.HasPrefix(path, "/")) {
			t.Errorf("%s: the probe %q is not a harmless call", name, p.Probe)
		}
		if _, needed := p.Needs["url"]; needed != (p.URL() == "") {
			t.Errorf("%s: the url %q is there if and only if it need not be written", name, p.URL())
		}
		for _, kind := range p.AuthTypes() {
			if p.Auth(kind) == nil {
				t.Errorf("%s: no table for the type %q", name, kind)
			}
		}
	}
}

// A secret is the user's as a whole: a part of one in a preset would be sent with
// the rest of another. That Stripe has no password is no secret.
func TestNoPresetHasAPartOfASecret(t *testing.T) {
	for _, name := range preset.Names() {
		p := find(t, name)
		for _, kind := range p.AuthTypes() {
			for _, key := range []string{"token", "username", "password", "value", "client_id", "client_secret", "refresh_token"} {
				if value, there := p.Auth(kind)[key]; there && value != "" {
					t.Errorf("%s: %s has %s", name, kind, key)
				}
			}
		}
	}
}

// A base URL without a path: what the documentation shows behind the host is what
// stands behind ours.
func TestURLsAreHostsWithTLS(t *testing.T) {
	for _, name := range preset.Names() {
		if text := find(t, name).URL(); text != "" {
			if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Path != "" {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

// What sets the providers apart, beside each other.
func TestFacts(t *testing.T) {
	type facts struct {
		auth        string // types, the first is meant where none is named
		tokenURL    string // not to be changed lightly: see the package
		clientAuth  string
		authorize   string // host
		device      string // host
		idempotency string
		limit       map[string]any
	}
	dialect := func(name string) map[string]any { return map[string]any{"dialect": name} }
	want := map[string]facts{
		"anthropic":       {auth: "header", limit: dialect("anthropic")},
		"atlassian":       {auth: "oauth2", tokenURL: "https://auth.atlassian.com/oauth/token", clientAuth: "json", authorize: "auth.atlassian.com", limit: dialect("atlassian")},
		"github":          {auth: "bearer oauth2", tokenURL: "https://github.com/login/oauth/access_token", clientAuth: "body", authorize: "github.com", device: "github.com", limit: map[string]any{"concurrency": int64(100), "dialect": "github"}},
		"google":          {auth: "oauth2", tokenURL: "https://oauth2.googleapis.com/token", clientAuth: "body", authorize: "accounts.google.com", device: "oauth2.googleapis.com"},
		"hubspot":         {auth: "bearer oauth2", tokenURL: "https://api.hubapi.com/oauth/v3/token", clientAuth: "body", authorize: "app.hubspot.com", limit: map[string]any{"rate": "100/10s", "dialect": "hubspot"}},
		"microsoft-graph": {auth: "oauth2", clientAuth: "body", authorize: "{token_base}authorize", device: "{token_base}devicecode"},
		"notion":          {auth: "bearer oauth2", tokenURL: "https://api.notion.com/v1/oauth/token", clientAuth: "json-basic", authorize: "api.notion.com"},
		"openai":          {auth: "bearer", limit: dialect("openai")},
		"salesforce":      {auth: "oauth2", tokenURL: "https://{host}/services/oauth2/token", clientAuth: "body", authorize: "{host}", limit: dialect("salesforce")},
		"shopify":         {auth: "header", limit: dialect("shopify")},
		"slack":           {auth: "bearer oauth2", tokenURL: "https://slack.com/api/oauth.v2.access", authorize: "slack.com"},
		"stripe":          {auth: "bearer basic", idempotency: "Idempotency-Key", limit: map[string]any{"rate": "100/s"}},
		"twilio":          {auth: "basic oauth2", tokenURL: "https://oauth.twilio.com/v2/token", clientAuth: "body"},
	}
	for _, name := range preset.Names() {
		p := find(t, name)
		oauth2, retry := p.Auth("oauth2"), table(p.Upstream["retry"])
		got := facts{
			auth: strings.Join(p.AuthTypes(), " "), tokenURL: text(oauth2["token_url"]), clientAuth: text(oauth2["client_auth"]),
			authorize: host(oauth2["authorize_url"]), device: host(oauth2["device_url"]),
			idempotency: text(retry["idempotency_header"]), limit: table(p.Upstream["limit"]),
		}
		if !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s: got %+v, want %+v", name, got, want[name])
		}
		// A key that nobody looks at makes a repeated POST look safe, and it is not.
		if mints := retry["mint_key"] == true; mints != (name == "stripe") {
			t.Errorf("%s: mint_key is %v", name, mints)
		}
	}
	if got := find(t, "shopify").Auth("header")["name"]; got != "X-Shopify-Access-Token" {
		t.Errorf("shopify: header %v", got)
	}
	if got := find(t, "anthropic").Auth("header")["name"]; got != "x-api-key" {
		t.Errorf("anthropic: header %v", got)
	}
}

func table(value any) map[string]any { t, _ := value.(map[string]any); return t }

func text(value any) string { s, _ := value.(string); return s }

func host(value any) string {
	rest, _ := strings.CutPrefix(text(value), "https://")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestTOMLIsForPeopleAndForPasting(t *testing.T) {
	const want = `# Notion, verified 2026-11-01
#
# Every call needs the header Notion-Version, which is the caller's to send.
#
# Each refresh brings another refresh token.
#
# Limits are per connection and per workspace, by plan, so there is none here.
# The 3 calls a second that one reads of are from before 2026.
#
# 529 (service_overload) is worth a retry.
#
# Source: https://developers.notion.com/reference/request-limits
# Source: https://developers.notion.com/reference/refresh-a-token
# Source: github.com/makenotion/notion-sdk-js

[upstream.notion]
preset = "notion"
url = "https://api.notion.com"

[upstream.notion.auth]
token = "env:NOTION_TOKEN"
type = "bearer"

[upstream.notion.retry]
statuses = [408, 425, 429, 500, 502, 503, 504, 529]

# Or:
#[upstream.notion.auth]
#authorize_url = "https://api.notion.com/v1/oauth/authorize"
#client_auth = "json-basic"
#client_id = "env:NOTION_CLIENT_ID"
#client_secret = "env:NOTION_CLIENT_SECRET"
#grant = "refresh_token"
#refresh_token = "env:NOTION_REFRESH_TOKEN"
#token_url = "https://api.notion.com/v1/oauth/token"
#type = "oauth2"

#[upstream.notion.auth.authorize_params]
#owner = "user"
`
	if got := find(t, "notion").TOML(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
