package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/policytest"
)

// What is handed over is read strictly, and told by the name of the member that is wrong.
func TestHandoverMistakes(t *testing.T) {
	const basic = plain + "connections = \"required\"\nauth = { type = \"basic\" }\n"
	machines := strings.Replace(strings.Replace(shared, "refresh_token", "client_credentials", 1), "refresh_token = \"env:R\"\n", "", 1)
	for _, c := range []struct{ name, document, written, want string }{
		{"no JSON", shared, `{`, `it must be an object of JSON, such as {"access_token": "…", "refresh_token": "…", "expires_in": 3600}`},
		{"a list", shared, `[]`, "it must be an object of JSON"},
		{"null", shared, `null`, "it must be an object of JSON"},
		{"nothing", shared, `{}`, "refresh_token: is missing, and so is access_token: one of them is needed"},
		{"empty", shared, `{"refresh_token":""}`, "refresh_token: is missing"},
		{"a number", shared, `{"access_token":12345}`, "access_token: must be text in quotes"},
		{"a line end", shared, `{"access_token":"canary\n"}`, "access_token: must not hold line ends or other control characters"},
		{"another type's", shared, `{"token":"canary"}`, "token: is not known for type oauth2"},
		{"a secret for a name", shared, `{"Canary-0001":"x"}`, "a member: is not known"},
		{"both ends", shared, `{"access_token":"a","expires_in":1,"expires_at":1}`, "expires_at: is one way to say it, and expires_in another: give one"},
		{"no end", shared, `{"access_token":"a","expires_in":0}`, "expires_in: must be a number of seconds, more than 0"},
		{"no number", shared, `{"access_token":"a","expires_in":"soon"}`, "expires_in: must be a number of seconds, more than 0"},
		{"no instant", shared, `{"access_token":"a","expires_at":"tomorrow"}`, `expires_at: must be an instant, such as "2027-01-31T12:00:00Z", or seconds since 1970`},
		{"milliseconds", shared, `{"access_token":"a","expires_at":1893456000000}`, "expires_at: must be an instant"},
		{"no TLS", keyed, `{"token":"a","url":"http://canary.test"}`, "url: must be https: the credential is sent there"},
		{"a user in the url", keyed, `{"token":"a","url":"https://canary@acme.test"}`, "url: must not hold a user name or password"},
		{"no url", keyed, `{"token":"a","url":null}`, "url: must be text in quotes"},
		{"an empty url", keyed, `{"token":"a","url":""}`, "url: must be an http or https URL with a host"},
		{"another's host", strings.Replace(keyed, "connections", "hosts = [\"*.api.test\"]\nconnections", 1), `{"token":"a","url":"https://evil.test"}`, "url: must be one of the upstream's hosts: *.api.test"},
		{"a url alone", keyed, `{"url":"https://acme.test"}`, "token: is missing"},
		{"no token", keyed, `{}`, "token: is missing"},
		{"an expiry of a key", keyed, `{"token":"a","expires_in":1}`, "expires_in: is not known for type bearer"},
		{"no password", basic, `{}`, "password: is missing, and so is username"},
		{"a colon", basic, `{"username":"a:b"}`, "username: must not hold a colon"},
		{"of machines", machines, `{"access_token":"a"}`, "upstream.api has auth of oauth2 client_credentials, of which there is nothing to hand over"},
		{"no credential", plain, `{"token":"a"}`, "upstream.api has no connections: its auth is passthrough"},
		{"of the configuration", shared + "[upstream.api.connection.acme]\nrefresh_token = \"env:A\"\n", `{"access_token":"a"}`,
			"upstream.api.connection.acme is in the configuration, which goes before the store: change it there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := tenants(t, newShelves(), policytest.NewUpstream(t))
			h, err := apiOf(t, r.compile(c.document, nil)).ReadHandover("acme", []byte(c.written))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, %v\nwant %s", h, err, c.want)
			}
		})
	}
}

// The answer of a token endpoint can be handed over as it came.
func TestHandoverIsTheAnswerOfATokenEndpoint(t *testing.T) {
	r, _ := tenants(t, newShelves(), policytest.NewUpstream(t))
	set := r.compile(shared, nil)
	for _, document := range []string{
		`{"access_token":"canary","refresh_token":"canary","expires_in":3600,"token_type":"Bearer","scope":"a b"}`,
		`{"access_token":"canary","expires_in":"3600"}`,
		`{"access_token":"canary","expires_at":1893456000}`,
		`{"access_token":"canary","expires_at":"2030-01-01T00:00:00+02:00"}`,
	} {
		h, err := apiOf(t, set).ReadHandover("acme", []byte(document))
		if err != nil {
			t.Error(err)
		}
		if text := fmt.Sprintf("%v %+v %#v", h, *h, h); strings.Contains(text, "canary") {
			t.Errorf("it is shown: %s", text)
		}
	}
	if h, err := apiOf(t, set).ReadHandover("", []byte(`{"name":"acme","refresh_token":"x"}`)); err != nil || h.Name != "acme" {
		t.Errorf("%v %v", h, err)
	}
	for _, document := range []string{`{"refresh_token":"x"}`, `{"name":"a b","refresh_token":"x"}`, `{"name":1,"refresh_token":"x"}`} {
		var wrong *policy.HandoverError
		if _, err := apiOf(t, set).ReadHandover("", []byte(document)); !errors.As(err, &wrong) || wrong.Member != "name" {
			t.Errorf("%s: %v", document, err)
		}
	}
}

// Whatever somebody hands over is read, or refused in words that show nothing of it.
func FuzzReadHandover(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","refresh_token":"b","expires_in":3600}`, `{"access_token":"a","expires_at":"2030-01-01T00:00:00Z"}`,
		`{"expires_in":1e308,"access_token":"\ud800"}`, `{"name":"x","token":"y"}`, `{"a":{}}`, `[1]`, "\xff", `{"expires_at":-1}`,
	} {
		f.Add(seed)
	}
	r, _ := tenants(&testing.T{}, newShelves(), nil)
	set := r.compile(shared, nil)
	u, _ := set.ByName("api")
	f.Fuzz(func(t *testing.T, document string) {
		for _, name := range []string{"", "acme"} {
			h, err := u.ReadHandover(name, []byte(document))
			if (h == nil) == (err == nil) {
				t.Fatalf("got %v and %v", h, err)
			}
			if err != nil && !errors.As(err, new(*policy.HandoverError)) {
				t.Fatalf("refused with %v", err)
			}
		}
	})
}
