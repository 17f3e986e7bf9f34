package simulator_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"outrider/proxy/simulator"
)

const (
	jwtBearer       = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	clientAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

var signingKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// claimsOf are sound ones, for the simulator that call reaches.
func claimsOf(issuer string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": issuer, "sub": issuer, "aud": "http://example.com/oauth/token?lifetime=1m", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func signed(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(signingKey)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publicKey is that of signed, as PEM.
func publicKey(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestAssertionsAreLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{AssertionKey: publicKey(t, signingKey)})
		with := func(claim string, value any) string {
			claims := claimsOf("robot")
			if claims[claim] = value; value == nil {
				delete(claims, claim)
			}
			return signed(t, claims)
		}
		now := time.Now()
		for name, c := range map[string]struct {
			assertion string
			fine      bool
		}{
			"sound":            {with("a", "b"), true},
			"about nobody":     {with("sub", nil), true}, // as Google's service accounts
			"for the origin":   {with("aud", "https://example.com"), true},
			"without an id":    {with("jti", nil), true},
			"none":             {"", false},
			"no JWT":           {"a.b.c", false},
			"by nobody":        {with("iss", nil), false},
			"for another":      {with("aud", "https://login.test/oauth/token"), false},
			"for nobody":       {with("aud", nil), false},
			"endless":          {with("exp", nil), false},
			"ended":            {with("exp", now.Unix()), false},
			"of two hours":     {with("exp", now.Add(2*time.Hour).Unix()), false},
			"of the future":    {with("iat", now.Add(time.Second).Unix()), false},
			"with another key": {with("a", "b")[:100] + "A" + with("a", "b")[101:], false},
		} {
			got := askToken(t, sim, "", form(jwtBearer, "assertion", c.assertion))
			if (got.code == 200) != c.fine || !c.fine && got.Error != "invalid_grant" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		once := with("a", "b")
		if first, again := askToken(t, sim, "", form(jwtBearer, "assertion", once)), askToken(t, sim, "", form(jwtBearer, "assertion", once)); first.code != 200 || again.code != 400 {
			t.Errorf("shown twice: %+v and %+v", first, again)
		}
	})
}

func TestAssertionOfAClientSaysWhoItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		ask := func(claims jwt.MapClaims, pairs ...string) tokens {
			shown := append([]string{"client_credentials", "client_assertion", signed(t, claims), "client_assertion_type", clientAssertion}, pairs...)
			return askToken(t, sim, "", form(shown...))
		}
		got := ask(claimsOf("app"))
		if w := reaches(sim, got.Access); got.code != 200 || !strings.Contains(w.Body.String(), `"client":"app"`) {
			t.Errorf("%+v %s", got, w.Body)
		}
		other, anonymous := claimsOf("app"), claimsOf("app")
		other["sub"] = "somebody"
		delete(anonymous, "jti")
		for name, got := range map[string]tokens{
			"about somebody else": ask(other), "without an id": ask(anonymous), "of another client": ask(claimsOf("a"), "client_id", "b"),
			"of another type": ask(claimsOf("c"), "client_assertion_type", "saml"),
		} {
			if got.code != 401 || got.Error != "invalid_client" {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

func TestTokenOfAnInstallation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{AssertionKey: publicKey(t, signingKey)})
		ask := func(path string, claims jwt.MapClaims) (int, map[string]any) {
			w := call(sim, "POST", path, "", "Authorization", "Bearer "+signed(t, claims))
			return w.Code, parse[map[string]any](t, w.Body.Bytes())
		}
		code, got := ask("/app/installations/42/access_tokens", claimsOf("1234"))
		token, _ := got["token"].(string)
		if want := time.Now().Add(time.Hour).UTC().Format(time.RFC3339); code != 201 || got["expires_at"] != want || reaches(sim, token).Code != 200 {
			t.Errorf("%d %v", code, got)
		}
		long := claimsOf("1234")
		long["exp"] = time.Now().Add(11 * time.Minute).Unix()
		if code, got := ask("/app/installations/42/access_tokens", long); code != 401 {
			t.Errorf("of 11 minutes: %d %v", code, got)
		}
		if code, _ := ask("/app/installations/site/access_tokens", claimsOf("1234")); code != 404 {
			t.Errorf("no number: %d", code)
		}
		if w := get(sim, "/app/installations/42/access_tokens"); w.Code != 405 {
			t.Errorf("GET: %d", w.Code)
		}
	})
}

func TestAssertionKeyThatIsNone(t *testing.T) {
	for _, key := range []string{"x", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}))} {
		if _, err := simulator.New(simulator.Settings{AssertionKey: key}); err == nil {
			t.Errorf("%q is taken", key)
		}
	}
}
