package policy_test

import (
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
