package policy_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// privateKey is one that signs, as PEM.
func privateKey(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// serviceAccount is the JSON of a key whose tokens are had at a URL.
func serviceAccount(t *testing.T, tokenURL string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@acme.test", "private_key": privateKey(t), "token_uri": tokenURL})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// showing is a rig with secrets by the name of their file.
func showing(t *testing.T, endpoint *policytest.Upstream, secrets map[string]string) (r *rig, slots map[string]bool) {
	r, k := fetching(t, endpoint)
	r.env.Secret = func(ref config.Reference) (string, error) {
		if ref.Literal() {
			return string(ref), nil
		}
		text, there := secrets[string(ref)]
		if !there {
			return "", errors.New("there is no such file")
		}
		return text, nil
	}
	slots = map[string]bool{}
	r.env.Keep = func(slot string) (policy.Keeper, error) { slots[slot] = true; return k, nil }
	return r, slots
}

func api(auth string) string {
	return "[upstream.api]\nurl = \"https://api.test\"\n[upstream.api.auth]\n" + auth
}

const (
	assertion = "type = \"oauth2\"\ngrant = \"jwt_bearer\"\ntoken_url = \"https://login.test/token\"\nissuer = \"me\"\nprivate_key = \"file:/key\"\n"
	robot     = "type = \"service_account\"\nkey = \"file:/account\"\nscopes = [\"storage\"]\n"
)

// What is wrong with a key is found before the first call, and said by the name of its
// setting.
func TestKeysThatAreWrongAreFoundAtOnce(t *testing.T) {
	for _, tt := range []struct{ auth, secret, want string }{
		{assertion, "canary", `upstream.api.auth.private_key: is not a PEM private key, which begins with "-----BEGIN PRIVATE KEY-----"`},
		{assertion, "", `upstream.api.auth.private_key: there is no such file`},
		{assertion + "algorithm = \"RS256\"\n", privateKey(t), `upstream.api.auth.private_key: does not sign with RS256: this key takes EdDSA`},
		{assertion + "certificate = \"file:/key\"\n", privateKey(t), `upstream.api.auth.certificate: is not a PEM certificate, which begins with "-----BEGIN CERTIFICATE-----"`},
		{robot, "canary", `upstream.api.auth.key: is not the JSON of a service account's key`},
		{robot + "token_url = \"https://login.test/token\"\n", "canary", `upstream.api.auth.key: is not the JSON of a service account's key`},
		{robot, "", `upstream.api.auth.key: there is no such file`},
		{"type = \"github_app\"\napp_id = 1\ninstallation_id = \"file:/key\"\nprivate_key = \"file:/none\"\n", privateKey(t), `upstream.api.auth.private_key: there is no such file`},
	} {
		secrets := map[string]string{"file:/key": tt.secret, "file:/account": tt.secret}
		if tt.secret == "" {
			secrets = nil
		}
		r, _ := showing(t, policytest.NewUpstream(t), secrets)
		file, err := config.Parse("test.toml", []byte(api(tt.auth)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Compile(file, r.env, nil); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// Tokens that are for different things are kept in different places, and found there
// again.
func TestTokensAreKeptByWhatTheyAreFor(t *testing.T) {
	secrets := map[string]string{
		"file:/key": privateKey(t), "file:/token": "t", "file:/other": "o", "file:/account": serviceAccount(t, "https://login.test/token"),
	}
	exchange := "type = \"oauth2\"\ngrant = \"token_exchange\"\ntoken_url = \"https://login.test/token\"\n"
	app := "type = \"github_app\"\nprivate_key = \"file:/key\"\napp_id = 1\n"
	r, slots := showing(t, policytest.NewUpstream(t), secrets)
	for i, auth := range []string{
		assertion, assertion + "subject = \"someone\"\n", assertion + "scopes = [\"api\"]\n", assertion + "assertion_claims = { a = \"b\" }\n",
		exchange + "subject_token = \"file:/token\"\n", exchange + "subject_token = \"file:/other\"\n",
		exchange + "subject_token = \"file:/token\"\nresource = \"https://a.test\"\n",
		app + "installation_id = 1\n", app + "installation_id = 2\n", app + "installation_id = 1\nrepositories = [\"site\"]\n",
		robot, robot + "subject = \"someone\"\n", "type = \"service_account\"\nkey = \"file:/account\"\naudience = \"https://run.test\"\n",
	} {
		for range 2 {
			r.compile(api(auth+"refresh_before = \"10%\"\n"), nil)
			if len(slots) != i+1 {
				t.Errorf("%d slots after %d credentials, the last\n%s", len(slots), i+1, auth)
			}
		}
	}
	for slot := range slots {
		if host, _, _ := strings.Cut(slot, "/"); host != "login.test" && host != "api.github.com" {
			t.Errorf("slot %s", slot)
		}
	}
}

// A key file that is replaced goes into use without a reload, unless it names another
// token endpoint: no assertion is sent there before somebody has loaded that.
func TestReplacedKeyOfAServiceAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, grants(1, 0), grants(2, 0), grants(3, 0))
		secrets := map[string]string{"file:/account": serviceAccount(t, "https://login.test/token")}
		r, _ := showing(t, endpoint, secrets)
		var live policy.Live
		live.Publish(r.compile(api(robot), nil))
		call(t, live.Load(), "GET", "/", "")

		time.Sleep(time.Hour)
		secrets["file:/account"] = strings.Replace(secrets["file:/account"], "robot@", "robot-2@", 1)
		call(t, live.Load(), "GET", "/", "")
		time.Sleep(time.Hour)
		secrets["file:/account"] = serviceAccount(t, "https://evil.test/token")
		call(t, live.Load(), "GET", "/", "")
		if c := live.Load().Status()[0].Credentials[0]; c.Error != "oauth2: reading the key of the service account: names another token_uri than when the configuration was loaded: reload it" {
			t.Errorf("status %+v", c)
		}
		live.Publish(r.compile(api(robot), live.Load()))
		call(t, live.Load(), "GET", "/", "")
		var hosts []string
		for _, request := range endpoint.Requests() {
			hosts = append(hosts, request.Host)
		}
		if got := strings.Join(hosts, " "); got != "login.test login.test evil.test" {
			t.Errorf("asked %s", got)
		}
		if err := live.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A key that is gone for a moment is no matter of a reload that is about something else.
func TestReloadWithoutTheKeyOfAServiceAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets := map[string]string{"file:/account": serviceAccount(t, "https://login.test/token")}
		r, _ := showing(t, policytest.NewUpstream(t, grants(1, 0)), secrets)
		before := r.compile(api(robot), nil)
		call(t, before, "GET", "/", "")
		delete(secrets, "file:/account")
		after := r.compile(strings.Replace(api(robot), "[upstream.api.auth]", "timeout = \"5s\"\n[upstream.api.auth]", 1), before)
		if answer, _ := call(t, after, "GET", "/", ""); answer.Status != 200 {
			t.Errorf("got %+v", answer)
		}
	})
}

// What the token endpoint does not accept is read anew.
func TestRefusedKeyIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: `{"error":"invalid_client"}`})
		r, _ := showing(t, endpoint, map[string]string{"file:/key": privateKey(t)})
		var refused []string
		r.env.Refused = func(ref config.Reference) {
			if ref != "" {
				refused = append(refused, string(ref))
			}
		}
		call(t, r.compile(api(assertion), nil), "GET", "/", "")
		if len(refused) != 2 || refused[0] != "file:/key" {
			t.Errorf("read again: %d references", len(refused))
		}
	})
}
