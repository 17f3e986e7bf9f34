package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outrider/proxy/simulator"
)

// A signer is a key in files: as PEM, and inside of the JSON of a service account.
type signer struct{ private, public, account string }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@acme.test", "private_key": text})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return signer{
		private: layFile(t, filepath.Join(dir, "key.pem"), text),
		public:  string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		account: layFile(t, filepath.Join(dir, "account.json"), string(account)),
	}
}

// showing are the credentials that show something else than a secret, for a provider
// at base, and what check says of each.
func showing(t *testing.T, s signer, base string) map[string]struct{ auth, check string } {
	t.Helper()
	token := layFile(t, filepath.Join(t.TempDir(), "token"), "the token of the pod")
	oauth := "type = \"oauth2\"\ntoken_url = \"" + base + "/oauth/token?lifetime=10m\"\n"
	return map[string]struct{ auth, check string }{
		"jwt_bearer": {
			oauth + fmt.Sprintf("grant = \"jwt_bearer\"\nissuer = \"robot\"\nprivate_key = \"file:%s\"\n", s.private),
			"oauth2 jwt_bearer, from " + base + "/oauth/token; issuer a literal in the file; signed with file:" + s.private + "; refreshed 20% of its lifetime before its end",
		},
		"token_exchange": {
			oauth + fmt.Sprintf("grant = \"token_exchange\"\nsubject_token = \"file:%s\"\n", token),
			"oauth2 token_exchange, from " + base + "/oauth/token; for file:" + token + "; refreshed",
		},
		"private_key_jwt": {
			oauth + fmt.Sprintf("grant = \"client_credentials\"\nclient_id = \"env:CRM_ID\"\nprivate_key = \"file:%s\"\n", s.private),
			"oauth2 client_credentials, from " + base + "/oauth/token; client env:CRM_ID; signed with file:" + s.private + "; refreshed",
		},
		"github_app": {
			fmt.Sprintf("type = \"github_app\"\napp_id = 1234\ninstallation_id = \"env:CRM_INSTALLATION\"\nprivate_key = \"file:%s\"\napi_url = %q\n", s.private, base),
			"github_app 1234, installation env:CRM_INSTALLATION, from " + base + "; signed with file:" + s.private + "; refreshed",
		},
		"service_account": {
			fmt.Sprintf("type = \"service_account\"\nkey = \"file:%s\"\nscopes = [\"storage\"]\ntoken_url = %q\n", s.account, base+"/oauth/token"),
			"service_account, key from file:" + s.account + "; refreshed",
		},
	}
}

// However a token is asked for, it is asked for once, replaced after a 401, and found
// again after a restart.
func TestEveryGrantInARunningSidecar(t *testing.T) {
	t.Setenv("CRM_ID", "demo")
	t.Setenv("CRM_INSTALLATION", "42")
	signer := newSigner(t)
	sim, base := provide(t, simulator.Settings{Seed: 1, AssertionKey: signer.public})
	for name, c := range showing(t, signer, base) {
		t.Run(name, func(t *testing.T) {
			before := sim.Stats().Tokens.Issued
			issued := func(want int64) {
				t.Helper()
				if got := sim.Stats().Tokens.Issued - before; got != want {
					t.Fatalf("%d tokens were issued, want %d", got, want)
				}
			}
			document := anyPorts + fmt.Sprintf("state_dir = %q\n[upstream.crm]\nurl = %q\n[upstream.crm.auth]\n%s", filepath.Join(t.TempDir(), "state"), base, c.auth)
			call := func(r *running) {
				t.Helper()
				if resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x")); resp.StatusCode != 200 {
					t.Fatalf("got %d %s\n%s", resp.StatusCode, body, r.log)
				}
			}
			r := launchUnstopped(t, "", document)
			call(r)
			call(r)
			issued(1)
			revoke(t, sim)
			call(r)
			issued(2)
			r.halt()
			r = launchUnstopped(t, "", document)
			call(r)
			issued(2)
			r.halt()
		})
	}
}

func TestCheckNamesWhatIsShown(t *testing.T) {
	t.Setenv("CRM_ID", "demo")
	t.Setenv("CRM_INSTALLATION", "42")
	for name, c := range showing(t, newSigner(t), "http://127.0.0.1:1") {
		path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n[upstream.crm.auth]\n"+c.auth)
		var out, errs bytes.Buffer
		if code := Main(t.Context(), Process{Args: []string{"check", "--config", path}, Stdout: &out, Stderr: &errs}); code != 0 {
			t.Errorf("%s: %s", name, errs.String())
		}
		if !strings.Contains(out.String(), c.check) {
			t.Errorf("%s: want %s in\n%s", name, c.check, out.String())
		}
	}
}

// A key that cannot sign is found by check, which shows nothing of it.
func TestCheckFindsAKeyThatIsNone(t *testing.T) {
	signer := newSigner(t)
	c := showing(t, signer, "http://127.0.0.1:1")["jwt_bearer"]
	if err := os.WriteFile(signer.private, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := layFile(t, filepath.Join(t.TempDir(), "config.toml"), "[upstream.crm]\nurl = \"http://127.0.0.1:1\"\n[upstream.crm.auth]\n"+c.auth)
	var out, errs bytes.Buffer
	code := Main(t.Context(), Process{Args: []string{"check", "--config", path}, Stdout: &out, Stderr: &errs})
	if code != 2 || !strings.Contains(errs.String(), "upstream.crm.auth.private_key: is not a PEM private key") || strings.Contains(errs.String(), "canary") {
		t.Errorf("%d: %s", code, errs.String())
	}
}

// An assertion with another key than the provider knows is no matter of retries: the
// call ends here, with what to look at.
func TestAssertionThatTheProviderDoesNotKnow(t *testing.T) {
	sim, base := provide(t, simulator.Settings{Seed: 1, AssertionKey: newSigner(t).public})
	for _, name := range []string{"jwt_bearer", "github_app"} {
		t.Setenv("CRM_INSTALLATION", "42")
		r := launch(t, fmt.Sprintf("[upstream.crm]\nurl = %q\n[upstream.crm.auth]\n%s", base, showing(t, newSigner(t), base)[name].auth))
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		if resp.StatusCode != http.StatusBadGateway || slug(body) != "credential-unavailable" || !strings.Contains(body, "look at") || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if n := sim.Stats().Paths["/protected/x"]; n != 0 {
		t.Errorf("%d calls went out", n)
	}
}
