package simulator_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

// tokens is what a token endpoint answers, fine or not.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Expires any    `json:"expires_in"`
	Scope   string
	Error   string
	code    int
}

// form is name, value, name, value…, with grant_type first.
func form(pairs ...string) string {
	v := url.Values{"grant_type": {pairs[0]}}
	for i := 1; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

const formType = "application/x-www-form-urlencoded"

func askToken(t *testing.T, sim *simulator.Simulator, query, form string, headers ...string) tokens {
	t.Helper()
	w := call(sim, "POST", "/oauth/token"+query, form, append([]string{"Content-Type", formType}, headers...)...)
	got := parse[tokens](t, w.Body.Bytes())
	got.code = w.Code
	return got
}

func reaches(sim *simulator.Simulator, token string) *httptest.ResponseRecorder {
	return get(sim, "/protected/things", "Authorization", "Bearer "+token)
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestTokenOpensUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		got := askToken(t, sim, "?lifetime=10s", form("client_credentials", "scope", "read"), "Authorization", basic("id", "secret"))
		if got.code != 200 || got.Type != "Bearer" || got.Expires != 10.0 || got.Scope != "read" || got.Refresh != "" {
			t.Fatalf("%+v", got)
		}
		if w := reaches(sim, got.Access); w.Code != 200 {
			t.Errorf("fresh: %d %s", w.Code, w.Body)
		}
		time.Sleep(10*time.Second - 1)
		if w := reaches(sim, got.Access); w.Code != 200 {
			t.Errorf("at its last moment: %d", w.Code)
		}
		time.Sleep(1)
		w := reaches(sim, got.Access)
		if h := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.Contains(h, `error="invalid_token"`) || !strings.Contains(h, "expired") {
			t.Errorf("expired: %d %s", w.Code, h)
		}
		if w := get(sim, "/protected/x"); w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Bearer realm="simulator"` {
			t.Errorf("nothing presented: %d %s", w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if s := sim.Stats().Tokens; s != (simulator.TokenStats{Requests: 1, Issued: 1, Accepted: 2, Refused: 2, DeadTokens: 1}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestRefreshTokenRotatesAndReuseKillsTheFamily(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	first := sim.Grant("app", "all")
	other := sim.Grant("app", "all")
	second := askToken(t, sim, "", form("refresh_token", "refresh_token", first.RefreshToken, "client_id", "app"))
	if second.code != 200 || second.Refresh == first.RefreshToken || second.Refresh == "" || second.Access == first.AccessToken || second.Scope != "all" {
		t.Fatalf("%+v", second)
	}
	if reaches(sim, first.AccessToken).Code != 200 || reaches(sim, second.Access).Code != 200 {
		t.Error("an access token died by a refresh, although old=live")
	}

	reused := askToken(t, sim, "", form("refresh_token", "refresh_token", first.RefreshToken, "client_id", "app"))
	if reused.code != 400 || reused.Error != "invalid_grant" {
		t.Errorf("reuse: %+v", reused)
	}
	for _, token := range []string{first.AccessToken, second.Access} {
		if reaches(sim, token).Code != 401 {
			t.Error("an access token outlives its family")
		}
	}
	if got := askToken(t, sim, "", form("refresh_token", "refresh_token", second.Refresh, "client_id", "app")); got.Error != "invalid_grant" {
		t.Errorf("the newest refresh token outlives its family: %+v", got)
	}
	if reaches(sim, other.AccessToken).Code != 200 {
		t.Error("another family died with it")
	}
	if s := sim.Stats().Tokens; s.Refreshed != 1 || s.Reused != 1 || s.Killed != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLeewayForgivesReuseForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{ReuseLeeway: time.Minute})
		first := sim.Grant("app", "")
		ask := func() tokens {
			return askToken(t, sim, "", form("refresh_token", "refresh_token", first.RefreshToken, "client_id", "app"))
		}
		second := ask()
		time.Sleep(time.Minute - 1)
		again := ask()
		if again.code != 200 || again.Refresh != second.Refresh || again.Access == second.Access {
			t.Errorf("within the leeway: %+v after %+v", again, second)
		}
		time.Sleep(1)
		if got := ask(); got.Error != "invalid_grant" {
			t.Errorf("after the leeway: %+v", got)
		}
		if reaches(sim, again.Access).Code != 401 {
			t.Error("the family lives on")
		}
	})
}

func TestRefreshTokenRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{RefreshLifetime: time.Hour})
		g := sim.Grant("app", "")
		if got := askToken(t, sim, "", form("refresh_token", "refresh_token", g.RefreshToken, "client_id", "thief")); got.Error != "invalid_grant" {
			t.Errorf("another client: %+v", got)
		}
		if got := askToken(t, sim, "?rotate=off", form("refresh_token", "refresh_token", g.RefreshToken, "client_id", "app")); got.Refresh != g.RefreshToken {
			t.Errorf("rotate=off: %+v", got)
		}
		got := askToken(t, sim, "?old=dies", form("refresh_token", "refresh_token", g.RefreshToken, "client_id", "app"))
		if reaches(sim, g.AccessToken).Code != 401 || reaches(sim, got.Access).Code != 200 {
			t.Error("old=dies: the old access token lives, or the new one does not")
		}
		time.Sleep(time.Hour)
		if got := askToken(t, sim, "", form("refresh_token", "refresh_token", got.Refresh, "client_id", "app")); got.Error != "invalid_grant" {
			t.Errorf("an expired refresh token: %+v", got)
		}
	})
}

func TestClientsProveWhoTheyAre(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{Clients: map[string]string{"app:1": "s3:cr+t %", "web": ""}})
	encoded := basic(url.QueryEscape("app:1"), url.QueryEscape("s3:cr+t %"))
	grant := form("client_credentials")
	for _, c := range []struct {
		name, query, form, authorization string
		code                             int
	}{
		{"form-encoded basic", "", grant, encoded, 200},
		{"lower case scheme", "", grant, strings.Replace(encoded, "Basic", "basic", 1), 200},
		{"raw basic", "", grant, basic("app:1", "s3:cr+t %"), 401},
		{"broken base64", "", grant, "Basic %%%", 401},
		{"wrong secret", "", grant, basic(url.QueryEscape("app:1"), "x"), 401},
		{"body", "", form("client_credentials", "client_id", "app:1", "client_secret", "s3:cr+t %"), "", 200},
		{"wrong body", "", form("client_credentials", "client_id", "app:1", "client_secret", "x"), "", 401},
		{"both", "", form("client_credentials", "client_secret", "s3:cr+t %"), encoded, 401},
		{"assertion", "", form("client_credentials", "client_assertion", signed(t, claimsOf("web")), "client_assertion_type", clientAssertion), "", 200},
		{"assertion of a stranger", "", form("client_credentials", "client_assertion", signed(t, claimsOf("thief")), "client_assertion_type", clientAssertion), "", 401},
		{"nobody", "", grant, "", 401},
		{"public client", "", form("client_credentials", "client_id", "web"), "", 400},
		{"service account", "", form("urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", signed(t, claimsOf("robot"))), "", 200},
		{"only body is taken", "?client_auth=body", grant, encoded, 401},
		{"token exchange", "", form("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "x", "subject_token_type", "jwt"), encoded, 200},
		{"token exchange by nobody", "", form("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "x", "subject_token_type", "jwt"), "", 200},
		{"token exchange of no type", "", form("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "x"), encoded, 400},
		{"unknown grant", "", form("password"), encoded, 400},
	} {
		if got := askToken(t, sim, c.query, c.form, "Authorization", c.authorization); got.code != c.code {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	w := call(sim, "POST", "/oauth/token", `{"grant_type":"client_credentials","client_id":"app:1","client_secret":"s3:cr+t %"}`, "Content-Type", "application/json")
	if w.Code != 200 {
		t.Errorf("JSON: %d %s", w.Code, w.Body)
	}
	if w := call(sim, "POST", "/oauth/token", "grant_type=a&grant_type=b", "Content-Type", formType); w.Code != 400 {
		t.Errorf("a parameter twice: %d", w.Code)
	}
}

// authorize returns the query of the redirect.
func authorize(t *testing.T, sim *simulator.Simulator, query url.Values) url.Values {
	t.Helper()
	w := get(sim, "/oauth/authorize?"+query.Encode())
	to, err := url.Parse(w.Header().Get("Location"))
	if w.Code != 302 || err != nil || !strings.HasPrefix(to.String(), "http://127.0.0.1:1/back?") {
		t.Fatalf("%d %q", w.Code, w.Header().Get("Location"))
	}
	return to.Query()
}

func TestCodeIsExchangedOnceWithItsVerifier(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	sum := sha256.Sum256([]byte("verifier"))
	ask := url.Values{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"http://127.0.0.1:1/back?keep=1"}, "state": {"s t"}, "scope": {"all"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	q := authorize(t, sim, ask)
	if q.Get("state") != "s t" || q.Get("keep") != "1" || q.Get("code") == "" {
		t.Fatalf("%v", q)
	}
	exchange := func(verifier, redirect string) tokens {
		return askToken(t, sim, "", form("authorization_code", "client_id", "app", "code", q.Get("code"), "redirect_uri", redirect, "code_verifier", verifier))
	}
	if got := exchange("wrong", ask.Get("redirect_uri")); got.Error != "invalid_grant" {
		t.Errorf("wrong verifier: %+v", got)
	}
	if got := exchange("verifier", "http://127.0.0.1:1/"); got.Error != "invalid_grant" {
		t.Errorf("wrong redirect: %+v", got)
	}
	got := exchange("verifier", ask.Get("redirect_uri"))
	if got.code != 200 || got.Refresh == "" || got.Scope != "all" || reaches(sim, got.Access).Code != 200 {
		t.Errorf("%+v", got)
	}
	if again := exchange("verifier", ask.Get("redirect_uri")); again.Error != "invalid_grant" || reaches(sim, got.Access).Code != 401 {
		t.Errorf("a second exchange: %+v", again)
	}

	ask.Set("deny", "1")
	if q := authorize(t, sim, ask); q.Get("error") != "access_denied" || q.Get("state") != "s t" {
		t.Errorf("denied: %v", q)
	}
	ask.Set("response_type", "token")
	if q := authorize(t, sim, ask); q.Get("error") != "unsupported_response_type" {
		t.Errorf("implicit: %v", q)
	}
	ask.Set("redirect_uri", "/relative")
	if w := get(sim, "/oauth/authorize?"+ask.Encode()); w.Code != 400 {
		t.Errorf("a relative redirect: %d", w.Code)
	}
}

func TestDeviceWaitsForItsUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		w := call(sim, "POST", "/oauth/device?pending=1&interval=2s", "client_id=tv", "Content-Type", formType)
		d := parse[struct {
			Code     string `json:"device_code"`
			Interval int
		}](t, w.Body.Bytes())
		poll := func() tokens {
			return askToken(t, sim, "", form("urn:ietf:params:oauth:grant-type:device_code", "client_id", "tv", "device_code", d.Code))
		}
		if d.Interval != 2 {
			t.Errorf("%+v", d)
		}
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{0, "authorization_pending"}, {time.Second, "slow_down"}, {7 * time.Second, ""}, {7 * time.Second, "invalid_grant"}} {
			time.Sleep(step.wait)
			if got := poll(); got.Error != step.want {
				t.Errorf("after %s: %+v", step.wait, got)
			}
		}
	})
}

func TestDeviceEndsAsItIsAskedTo(t *testing.T) {
	for query, want := range map[string]string{
		"pending=0&slow=1&interval=1s":     "slow_down  invalid_grant invalid_grant",
		"pending=0&slow=2&interval=1s":     "slow_down slow_down  invalid_grant",
		"pending=1&end=denied&interval=0s": "authorization_pending access_denied access_denied access_denied",
		"pending=0&end=expired":            "expired_token expired_token expired_token expired_token",
	} {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{})
			d := parse[struct {
				Code string `json:"device_code"`
				Page string `json:"verification_uri_complete"`
			}](t, call(sim, "POST", "/oauth/device?"+query, "client_id=tv", "Content-Type", formType).Body.Bytes())
			var got []string
			for range 4 {
				time.Sleep(14 * time.Second)
				answer := askToken(t, sim, "", form("urn:ietf:params:oauth:grant-type:device_code", "client_id", "tv", "device_code", d.Code))
				got = append(got, answer.Error)
			}
			if text := strings.Join(got, " "); text != want || !strings.HasSuffix(d.Page, "/?user_code=WDJB-MJHT") {
				t.Errorf("%s: got %q, want %q; page %s", query, text, want, d.Page)
			}
		})
	}
	if w := call(newSimulator(t, simulator.Settings{}), "POST", "/oauth/device?end=never", "client_id=tv", "Content-Type", formType); w.Code != 400 {
		t.Errorf("an unknown end: %d", w.Code)
	}
}

func TestPageNamesItsIssuer(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	for iss, want := range map[string]string{"": "", "own": "http://example.com", "https://other.test": "https://other.test"} {
		ask := url.Values{"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {"http://127.0.0.1:1/back"}, "iss": {iss}}
		to, err := url.Parse(get(sim, "/oauth/authorize?"+ask.Encode()).Header().Get("Location"))
		if err != nil || to.Query().Get("iss") != want || to.Query().Get("code") == "" {
			t.Errorf("iss=%s: %v, %v", iss, to, err)
		}
	}
}

func TestTokenEndpointMisbehavesOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{TokenLifetime: 90 * time.Second})
		ask := func(query string) *httptest.ResponseRecorder {
			return call(sim, "POST", "/oauth/token?"+query, form("client_credentials", "client_secret", "x"), "Content-Type", formType)
		}
		for _, c := range []struct {
			query, body, header string
			code                int
		}{
			{"answer=200-error", `"error":"bad_refresh_token"`, "", 200},
			{"answer=form", "access_token=sim-access-", "", 200},
			{"answer=429&retry_after=7", "slow_down", "7", 429},
			{"answer=503", "temporarily_unavailable", "1", 503},
			{"answer=invalid_grant", "invalid_grant", "", 400},
			{"answer=invalid_client", "invalid_client", "", 401},
			{"answer=string-expires", `"expires_in":"90"`, "", 200},
			{"answer=html", "<!doctype html>", "", 200},
			{"answer=nonsense", "must be one of", "", 400},
		} {
			if w := ask(c.query); w.Code != c.code || !strings.Contains(w.Body.String(), c.body) || w.Header().Get("Retry-After") != c.header {
				t.Errorf("%s: %d %v %s", c.query, w.Code, w.Header(), w.Body)
			}
		}
		if w := ask("answer=no-expires"); w.Code != 200 || strings.Contains(w.Body.String(), "expires_in") {
			t.Errorf("no-expires: %s", w.Body)
		}
		if w := ask("answer=empty"); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("empty: %s", w.Body)
		}
		start := time.Now()
		if w := ask("answer=slow&delay=4s"); w.Code != 200 || time.Since(start) != 4*time.Second {
			t.Errorf("slow: %d after %s", w.Code, time.Since(start))
		}
		for i, want := range []int{503, 200} {
			if w := ask("answer=503&times=1&key=k"); w.Code != want {
				t.Errorf("times=1, call %d: %d", i+1, w.Code)
			}
		}
	})
}

// The answer that carried the rotated token is lost: the provider has rotated,
// and the client, which cannot know, asks again.
func TestLostAnswerHasRotated(t *testing.T) {
	sim, base, client := serve(t, simulator.Settings{})
	g := sim.Grant("app", "")
	body := form("refresh_token", "refresh_token", g.RefreshToken, "client_id", "app")
	_, err := client.Post(base+"/oauth/token?answer=lost&times=1", formType, strings.NewReader(body))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v", err)
	}
	if got := askToken(t, sim, "?leeway=1m", body); got.code != 200 || got.Refresh == g.RefreshToken {
		t.Errorf("within a leeway: %+v", got)
	}
	if got := askToken(t, sim, "", body); got.Error != "invalid_grant" {
		t.Errorf("without one: %+v", got)
	}
}

func TestRevocationAndIntrospection(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	post := func(path, body string) string {
		return call(sim, "POST", path, body, "Content-Type", formType).Body.String()
	}
	g := parse[tokens](t, []byte(post("/_grant?client_id=app&scope=all", "")))
	if got := post("/oauth/introspect", "token="+g.Access); !strings.Contains(got, `"active":true`) || !strings.Contains(got, `"client_id":"app"`) {
		t.Error(got)
	}
	call(sim, "POST", "/_control", `{"revoke":true}`)
	if got := post("/oauth/introspect", "token="+g.Access); got != "{\"active\":false}\n" {
		t.Error(got)
	}
	renewed := askToken(t, sim, "", form("refresh_token", "refresh_token", g.Refresh, "client_id", "app"))
	if renewed.code != 200 || reaches(sim, renewed.Access).Code != 200 {
		t.Errorf("after all access tokens were revoked: %+v", renewed)
	}
	post("/oauth/revoke", "token="+renewed.Refresh)
	if reaches(sim, renewed.Access).Code != 401 {
		t.Error("the family lives on")
	}
}

func TestSameSeedSpellsTheSameTokens(t *testing.T) {
	a, b := newSimulator(t, simulator.Settings{Seed: 5}), newSimulator(t, simulator.Settings{Seed: 5})
	random, other := newSimulator(t, simulator.Settings{}), newSimulator(t, simulator.Settings{})
	if a.Grant("x", "").AccessToken != b.Grant("x", "").AccessToken {
		t.Error("one seed, two spellings")
	}
	if random.Grant("x", "").AccessToken == other.Grant("x", "").AccessToken {
		t.Error("no seed, and yet the same token")
	}
}
