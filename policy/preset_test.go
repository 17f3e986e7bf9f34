package policy_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/policy/preset"
)

// presetAuth is the least of each type of credential.
var presetAuth = map[string]string{
	"bearer": `token = "env:T"`,
	"basic":  `username = "env:U", password = "env:P"`,
	"header": `value = "env:V"`,
	"oauth2": `client_id = "env:I", client_secret = "env:S", grant = "client_credentials"`,
}

// Every preset compiles into chains, with every type of credential that it names.
func TestEveryPresetCompiles(t *testing.T) {
	r, _ := fetching(t, policytest.NewUpstream(t))
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		for _, kind := range p.AuthTypes() {
			auth, url := presetAuth[kind], ""
			if _, needed := p.Needs["auth.token_url"]; needed {
				auth += `, token_url = "https://login.test/token"`
			}
			if _, needed := p.Needs["url"]; needed {
				url = `url = "https://acme.example.com"`
			}
			set := r.compile("[upstream.api]\npreset = \""+name+"\"\n"+url+"\nauth = { type = \""+kind+"\", "+auth+" }\n", nil)
			if u, ok := set.ByName("api"); !ok || u.Plans()[0].Policy.Auth.Type != kind {
				t.Errorf("%s, %s: no upstream", name, kind)
			}
		}
	}
}

// A text of not_expiry says that a 401 is about something else: there is no refresh,
// and the caller reads it. Any other 401 leads to one.
func TestSalesforce401ThatIsNotAboutTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const useless, expired = "This session is not valid for use with the REST API", "Session expired or invalid"
		endpoint := policytest.NewUpstream(t, grants(1, 0), grants(2, 0))
		r, _ := fetching(t, endpoint)
		upstream := policytest.NewUpstream(t,
			policytest.Step{Status: 401, Body: useless}, policytest.Step{Status: 401, Body: expired}, policytest.Step{Body: "fine"})
		r.env.Transport = func(*config.Upstream) (http.RoundTripper, error) { return upstream, nil }
		set := r.compile(`
[upstream.api]
preset = "salesforce"
url    = "https://api.test"
auth   = { grant = "client_credentials", client_id = "env:I", client_secret = "env:S" }
`, nil)
		if answer, _ := call(t, set, "GET", "/a", ""); answer.Status != http.StatusUnauthorized || answer.Body != useless {
			t.Errorf("got %d %q", answer.Status, answer.Body)
		}
		if n := len(endpoint.Requests()); n != 1 {
			t.Errorf("%d token requests after a 401 about something else, want 1", n)
		}
		time.Sleep(time.Minute)
		if answer, _ := call(t, set, "GET", "/b", ""); answer.Status != http.StatusOK || answer.Body != "fine" {
			t.Errorf("got %d %q", answer.Status, answer.Body)
		}
		if n := len(endpoint.Requests()); n != 2 {
			t.Errorf("%d token requests after a 401 that asks for one, want 2", n)
		}
	})
}
