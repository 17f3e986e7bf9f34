package policy_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"outrider/policy"
	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// The presets' calls are paths of the provider's host: below a base path they would be
// other ones.
func TestPresetProvesALogin(t *testing.T) {
	for upstream, want := range map[string]string{
		"preset = \"github\"": "GET /user",
		"preset = \"github\"\nurl = \"https://github.example.com\"":        "GET /user",
		"preset = \"github\"\nurl = \"https://github.example.com/api/v3\"": "",
		"preset = \"hubspot\"":                                           "",
		"url = \"https://api.github.com\"":                               "",
		"preset = \"salesforce\"\nurl = \"https://a.my.salesforce.com\"": "GET /services/oauth2/userinfo",
	} {
		r, _ := fetching(t, policytest.NewUpstream(t))
		file, err := config.Parse("test.toml", []byte("[upstream.x]\n"+upstream+`
auth = { type = "oauth2", grant = "authorization_code", client_id = "env:ID", client_secret = "env:S", token_url = "https://login.test/token", authorize_url = "https://login.test/authorize" }`))
		if err != nil {
			t.Fatal(err)
		}
		login, err := policy.NewLogin(&file.Upstreams[0], "", r.env)
		if err != nil {
			t.Fatal(err)
		}
		if login.Probe != want {
			t.Errorf("%s: probe %q, want %q", upstream, login.Probe, want)
		}
	}
}

// Remove lets a kept be one that can forget.
func (k *kept) Remove(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.data = nil
	return nil
}

// A connection of the configuration may have a client and endpoints of its own. Its
// refresh token was sent to the revoke_url of the upstream, by the upstream's client, and
// its login began at the upstream's device_url, for the upstream's audience.
func TestConnectionLogsInAndOutByItsOwnSettings(t *testing.T) {
	const document = `[upstream.x]
url = "https://api.test"
[upstream.x.auth]
type = "oauth2"
grant = "authorization_code"
client_id = "env:ID"
client_secret = "env:S"
token_url = "https://login.test/token"
device_url = "https://login.test/device"
revoke_url = "https://login.test/revoke"
audience = "theirs"
authorize_params = { prompt = "consent" }
[upstream.x.connection.acme]
client_id = "env:ACME_ID"
client_secret = "env:ACME_S"
token_url = "https://acme.test/token"
device_url = "https://acme.test/device"
revoke_url = "https://acme.test/revoke"
audience = "ours"
authorize_params = { prompt = "none" }
`
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	endpoint := policytest.NewUpstream(t,
		policytest.Step{Body: `{"device_code":"d","user_code":"c","verification_uri":"https://acme.test/"}`}, policytest.Step{})
	r, k := fetching(t, endpoint)
	login, err := policy.NewLogin(&file.Upstreams[0], "acme", r.env)
	if err != nil {
		t.Fatal(err)
	}
	if login.Auth.TokenURL != "https://acme.test/token" || login.AuthorizeParams()["prompt"] != "none" {
		t.Errorf("logs in at %s with %v", login.Auth.TokenURL, login.AuthorizeParams())
	}
	if _, err := login.Device(t.Context()); err != nil {
		t.Error(err)
	}
	pair := policy.Pair{Access: auth.NewSecret("a"), Refresh: auth.NewSecret("r"), Expires: time.Now().Add(time.Hour)}
	if err := login.Keep(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if there, told, err := policy.Logout(t.Context(), &file.Upstreams[0], "acme", r.env); !there || !told || err != nil || len(k.data) > 0 {
		t.Errorf("logged out: %t, %v; kept %d bytes", there, err, len(k.data))
	}
	for i, want := range []string{"https://acme.test/device audience=ours", "https://acme.test/revoke token=r"} {
		sent := endpoint.Requests()[i]
		id, secret, _ := (&http.Request{Header: sent.Header}).BasicAuth()
		where, member, _ := strings.Cut(want, " ")
		name, value, _ := strings.Cut(member, "=")
		form, _ := url.ParseQuery(sent.Body)
		if "https://"+sent.Host+sent.Target != where || form.Get(name) != value || id != "secret-of-ACME_ID" || secret != "secret-of-ACME_S" {
			t.Errorf("%s%s got %s from %s", sent.Host, sent.Target, sent.Body, id)
		}
	}
}

// A login to a connection that was handed over with a url stays at that url, and its token
// is proved there.
func TestLoginStaysAtTheURLOfItsConnection(t *testing.T) {
	r, up := tenants(t, newShelves(), policytest.NewUpstream(t))
	document := strings.Replace(strings.Replace(shared, "refresh_token", "authorization_code", 1), "refresh_token = \"env:R\"\n", "authorize_url = \"https://login.test/authorize\"\n", 1)
	set := r.compile(document, nil)
	handOver(t, set, "acme", `{"access_token":"access-1","url":"https://acme.test"}`)
	login, err := policy.NewLogin(apiOf(t, set).Config, "acme", r.env)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := login.ProbeRequest("GET /me")
	if err != nil {
		t.Fatal(err)
	}
	pair := policy.Pair{Access: policy.NewSecret("access-2")}
	if err := login.Keep(t.Context(), pair); err != nil {
		t.Fatal(err)
	}
	if _, err := login.Prove(t.Context(), pair, probe); err != nil {
		t.Fatal(err)
	}
	as(t, set, "acme", "/x")
	wantCarried(t, up, "access-2", "access-2")
	for _, req := range up.Requests() {
		if req.Host != "acme.test" {
			t.Errorf("%s was sent to %s", req.Target, req.Host)
		}
	}
}
