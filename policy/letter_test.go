package policy_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// planOf is the plan for a POST of an upstream that has an outbox.
func planOf(t testing.TB, auth, settings string) *policy.Plan {
	t.Helper()
	file, err := config.Parse("test.toml", []byte(plain+"outbox = \"allow\"\nauth = "+auth+"\n"+settings))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, newRig(nil, nil).env, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := set.ByName("api")
	return u.Plan("POST", "/")
}

const (
	bearer      = `{ type = "bearer", token = "env:T" }`
	none        = `{ type = "none" }`
	placeholder = "outrider-placeholder-api"
)

func TestLetterGetsAKeyWhereTheProviderHonoursOursAndTheMethodNeedsOne(t *testing.T) {
	const header = `retry = { idempotency_header = "idempotency-key" }`
	const minting = `retry = { idempotency_header = "idempotency-key", mint_key = true }`
	for _, tt := range []struct {
		name, settings, method string
		keys                   []string
		header, key            string
	}{
		{"none is honoured", "", "POST", []string{"mine"}, "", ""},
		{"the caller's is honoured, and there is none", header, "POST", nil, "", ""},
		{"the caller's is honoured", header, "POST", []string{"mine"}, "Idempotency-Key", "mine"},
		{"ours is honoured", minting, "POST", nil, "Idempotency-Key", ""},
		{"an empty one is none", minting, "PATCH", []string{""}, "Idempotency-Key", ""},
		{"the caller's goes first", minting, "POST", []string{"mine"}, "Idempotency-Key", "mine"},
		{"two leave open which counts", minting, "POST", []string{"mine", "yours"}, "", ""},
		{"PUT needs none", minting, "PUT", nil, "", ""},
		{"but keeps the caller's", minting, "PUT", []string{"mine"}, "Idempotency-Key", "mine"},
		{"of a method that we do not know we do not know", minting, "BREW", nil, "", ""},
	} {
		req := policytest.NewRequest(t, tt.method, "https://api.test/", "")
		if tt.keys != nil {
			req.Header["Idempotency-Key"] = tt.keys
		}
		if header, key := planOf(t, bearer, tt.settings).LetterKey(req); header != tt.header || key != tt.key {
			t.Errorf("%s: %q %q, want %q %q", tt.name, header, key, tt.header, tt.key)
		}
	}
}

func TestLetterHasNoCredential(t *testing.T) {
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	const sigv4 = `{ type = "sigv4", access_key_id = "env:ID", secret_access_key = "env:S", region = "eu-west-1", service = "sqs" }`
	const ownHeader = `{ type = "header", name = "x-shop-token", value = "env:T" }`
	const filled = `{ type = "placeholder", value = "env:T" }`
	for _, tt := range []struct {
		name, auth string
		header     http.Header
		gone       string // the fields that are left out
		refused    string
	}{
		{"what is replaced is left out", bearer, http.Header{"Authorization": {"Bearer canary"}, "X-Trace": {"1"}}, "Authorization", ""},
		{"of basic, too", `{ type = "basic", username = "env:U", password = "env:P" }`, http.Header{"Authorization": {"Basic canary"}}, "Authorization", ""},
		{"a field of its own", ownHeader, http.Header{"X-Shop-Token": {"canary"}, "Accept": {"*/*"}}, "X-Shop-Token", ""},
		{"a signature", sigv4, http.Header{"Authorization": {"AWS4 canary"}, "X-Amz-Date": {"2026"}, "X-Amz-Security-Token": {"canary"}, "X-Amz-Target": {"a"}}, "Authorization X-Amz-Date X-Amz-Security-Token", ""},
		{"without a credential of ours", none, http.Header{"Authorization": {"Bearer canary"}}, "", "Authorization"},
		{"another than ours", bearer, http.Header{"Cookie": {"session=canary"}}, "", "Cookie"},
		{"another beside ours", ownHeader, http.Header{"Authorization": {"Bearer canary"}, "X-Shop-Token": {"canary"}}, "", "Authorization"},
		{"the first of several is named", none, http.Header{"X-Api-Key": {"canary"}, "Api-Key": {"canary"}}, "", "Api-Key"},
		{"by the end of its name", none, http.Header{"X-Goog-Api-Key": {"canary"}}, "", "X-Goog-Api-Key"},
		{"one of a provider's own", none, http.Header{"X-Postmark-Server-Token": {"canary"}}, "", "X-Postmark-Server-Token"},
		{"a token that gives no access", none, http.Header{"X-Atlassian-Token": {"no-check"}}, "", ""},
		{"an empty one is none", none, http.Header{"X-Api-Key": {""}}, "", ""},
		{"the placeholder is no secret", filled, http.Header{"X-Api-Key": {placeholder}, "Authorization": {"Bearer " + placeholder}}, "", ""},
		{"nor is it inside of Basic", filled, http.Header{"Authorization": {basic("user:" + placeholder)}}, "", ""},
		{"what stands beside it is", filled, http.Header{"Authorization": {basic("user:canary")}}, "", "Authorization"},
		{"one value of two", filled, http.Header{"X-Api-Key": {placeholder, "canary"}}, "", "X-Api-Key"},
		{"keys that give no access", bearer, http.Header{"Idempotency-Key": {"k"}, "X-Csrf-Token": {"t"}, "X-Request-Id": {"1"}}, "", ""},
	} {
		before := tt.header.Clone()
		kept, refused := planOf(t, tt.auth, "").KeepableHeader(tt.header)
		if refused != tt.refused {
			t.Errorf("%s: refused is %q, want %q", tt.name, refused, tt.refused)
		}
		if !maps.EqualFunc(tt.header, before, slices.Equal) {
			t.Errorf("%s: the header was written to", tt.name)
		}
		if refused != "" {
			continue
		}
		for name := range before {
			if _, is := kept[name]; is == strings.Contains(" "+tt.gone+" ", " "+name+" ") {
				t.Errorf("%s: %s is kept: %v", tt.name, name, is)
			}
		}
	}
}

func TestQueryOfALetterHasNoCredential(t *testing.T) {
	const query = `{ type = "query", name = "api key", value = "env:T" }`
	for _, tt := range []struct{ name, auth, raw, kept, refused string }{
		{"nothing", query, "", "", ""},
		{"what is replaced is the placeholder", query, "a=1&api%20key=canary&b=%2f", "a=1&api%20key=" + placeholder + "&b=%2f", ""},
		{"in any spelling", query, "api+key=canary&api+key=canary", "api+key=" + placeholder + "&api+key=" + placeholder, ""},
		{"where it is not there it is added when it is sent", query, "a=1", "a=1", ""},
		{"another one", bearer, "a=1&access_token=canary", "", "access_token"},
		{"whatever the case", bearer, "API%5fKEY=canary", "", "API_KEY"},
		{"a URL that is signed", none, "X-Amz-Signature=canary&b=2", "", "X-Amz-Signature"},
		{"an empty one is none", bearer, "access_token=&b=2", "access_token=&b=2", ""},
		{"the placeholder is no secret", `{ type = "placeholder", value = "env:T" }`, "access_token=" + placeholder, "access_token=" + placeholder, ""},
		{"bytes stay", bearer, "&&a=+;%zz=1&=", "&&a=+;%zz=1&=", ""},
	} {
		kept, refused := planOf(t, tt.auth, "").KeepableQuery(tt.raw)
		if kept != tt.kept || refused != tt.refused {
			t.Errorf("%s: %q, refused %q; want %q, %q", tt.name, kept, refused, tt.kept, tt.refused)
		}
	}
}

// A query that is kept is what came, but for the values of the credential's own parameter.
func FuzzKeepableQuery(f *testing.F) {
	for _, seed := range []string{"", "a=1&key=x", "%6bey=x", "key", "access_token=x", "&=&%zz", "key=a=b&KEY=c"} {
		f.Add(seed)
	}
	plan := planOf(f, `{ type = "query", name = "key", value = "env:T" }`, "")
	f.Fuzz(func(t *testing.T, raw string) {
		kept, refused := plan.KeepableQuery(raw)
		if refused != "" {
			return
		}
		before, after := strings.Split(raw, "&"), strings.Split(kept, "&")
		if len(before) != len(after) {
			t.Fatalf("%q became %q", raw, kept)
		}
		for i := range before {
			name, _, _ := strings.Cut(before[i], "=")
			decoded, err := url.QueryUnescape(name)
			own := decoded == "key" && err == nil
			if own && after[i] != name+"="+placeholder || !own && after[i] != before[i] {
				t.Errorf("%q became %q", before[i], after[i])
			}
		}
	})
}
