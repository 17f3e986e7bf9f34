package policy_test

import (
	"strings"
	"testing"

	"outrider/policy"
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
