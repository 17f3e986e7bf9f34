package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"outrider/proxy/admin"
)

// whole is a handler with every view.
func whole() admin.Settings {
	return admin.Settings{
		Version: "1.2.3",
		Status:  func() any { return []map[string]any{{"name": "crm"}} },
		Calls: func(filter string) (any, error) {
			if filter == ">5" {
				return nil, errors.New(`">5": must be > and a duration`)
			}
			return []map[string]any{{"trace_id": "abc" + filter}}, nil
		},
		Plan: func() any { return []map[string]any{{"chain": "limit"}} },
		Explain: func(_ context.Context, method, url, _ string) (any, error) {
			if url == "nonsense" {
				return nil, errors.New(`no upstream has the host of "nonsense"`)
			}
			return map[string]string{"method": method, "url": url}, nil
		},
		Circuit: func(_ context.Context, o admin.CircuitOrder) (any, error) {
			if o.Upstream != "crm" {
				return nil, errors.New("there is no [upstream." + o.Upstream + "]")
			}
			return o, nil
		},
		TestAlerts: func(context.Context) (any, error) { return []string{"ops.test"}, nil },
		Reload:     func() error { return nil },
		Ready:      func() error { return nil },
		Metrics:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") }),
	}
}

// ask sends one request, by default to a loopback name.
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8081"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	h := admin.New(whole())
	for _, c := range []struct {
		method, target string
		status         int
		kind, body     string // content type, and a part of the body
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<title>Outrider</title>"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"GET", "/style.css", 200, "text/css; charset=utf-8", "prefers-color-scheme"},
		{"GET", "/app.js", 200, "text/javascript; charset=utf-8", "./live.js"},
		{"GET", "/icon.svg", 200, "image/svg+xml", "<svg"},
		{"GET", "/api/status", 200, "application/json", `[{"name":"crm"}]`},
		{"GET", "/api/calls", 200, "application/json", `[{"trace_id":"abc"}]`},
		{"GET", "/api/calls?filter=5xx", 200, "application/json", `[{"trace_id":"abc5xx"}]`},
		{"GET", "/api/calls?filter=%3E5", 400, "application/problem+json", `filter: \"\u003e5\": must be \u003e and a duration`},
		{"GET", "/api/plan", 200, "application/json", `[{"chain":"limit"}]`},
		{"GET", "/api/explain?method=post&url=https://x.test/a%3Fb=c", 200, "application/json", `{"method":"POST","url":"https://x.test/a?b=c"}`},
		{"GET", "/api/explain?url=https://x.test/", 200, "application/json", `"method":"GET"`},
		{"GET", "/api/explain", 400, "application/problem+json", "urn:outrider:problem:malformed-request"},
		{"GET", "/api/explain?url=nonsense", 422, "application/problem+json", `no upstream has the host of \"nonsense\"`},
		{"POST", "/api/circuit/open?upstream=crm&key=crm.test+acme&for=30m", 200, "application/json", `{"Upstream":"crm","Key":"crm.test acme","Open":true,"For":1800000000000}`},
		{"POST", "/api/alerts/test", 200, "application/json", `["ops.test"]`},
		{"GET", "/api/alerts/test", 405, "application/problem+json", "This address takes POST."},
		{"POST", "/api/circuit/open?upstream=crm", 200, "application/json", `{"Upstream":"crm","Key":"","Open":true,"For":0}`},
		{"POST", "/api/circuit/close?upstream=crm", 200, "application/json", `{"Upstream":"crm","Key":"","Open":false,"For":0}`},
		{"GET", "/api/circuit/open?upstream=crm", 405, "application/problem+json", "This address takes POST."},
		{"POST", "/api/circuit/open?upstream=crn", 422, "application/problem+json", "there is no [upstream.crn]"},
		{"POST", "/api/circuit/open", 400, "application/problem+json", "the parameter upstream is missing"},
		{"POST", "/api/circuit/open?upstream=crm&fro=30m", 400, "application/problem+json", `unknown parameter \"fro\"; known here: [\"upstream\" \"key\" \"for\"]`},
		{"POST", "/api/circuit/close?upstream=crm&for=30m", 400, "application/problem+json", `unknown parameter \"for\"`},
		{"POST", "/api/circuit/open?upstream=crm&for=30", 400, "application/problem+json", `for = \"30\": must be a duration longer than 0`},
		{"POST", "/api/circuit/open?upstream=crm&for=-1s", 400, "application/problem+json", "longer than 0"},
		{"POST", "/api/circuit/open?upstream=crm&for=", 400, "application/problem+json", "longer than 0"},
		{"POST", "/api/circuit/open?upstream=crm&upstream=b", 400, "application/problem+json", "upstream is there 2 times"},
		{"POST", "/api/circuit/open?upstream=crm&for=30m;", 400, "application/problem+json", "the parameters cannot be read: invalid semicolon"}, // was open for ever
		{"POST", "/api/circuit/open?upstream=crm&for=%zz", 400, "application/problem+json", "the parameters cannot be read"},
		{"POST", "/api/circuit/open?upstream=crm&key=", 400, "application/problem+json", "key is empty: name one circuit, or leave key out for all"},
		{"POST", "/reload", 200, "application/json", `{"status":"reloaded"}`},
		{"GET", "/healthz", 200, "application/json", `{"status":"ok"}`},
		{"GET", "/readyz", 200, "application/json", `{"status":"ready"}`},
		{"GET", "/metrics", 200, "", "up 1"},
		{"GET", "/nothing", 404, "application/problem+json", "urn:outrider:problem:not-found"},
		{"GET", "/index.html", 404, "application/problem+json", "not-found"},
		{"GET", "/../admin.go", 404, "application/problem+json", "not-found"},
		{"GET", "/api/status/", 404, "application/problem+json", "not-found"},
		{"GET", "/reload", 405, "application/problem+json", "This address takes POST."},
		{"POST", "/api/status", 405, "application/problem+json", "This address takes GET, HEAD."},
		{"DELETE", "/", 405, "application/problem+json", "urn:outrider:problem:method-not-allowed"},
	} {
		w := ask(h, c.method, c.target)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %s", c.method, c.target, w.Code, w.Body)
		}
		if got := w.Header().Get("Content-Type"); c.kind != "" && got != c.kind {
			t.Errorf("%s %s: content type %q", c.method, c.target, got)
		}
		if w.Code == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.target)
		}
	}
}

func TestEveryAnswerIsHardened(t *testing.T) {
	s := whole()
	s.AccessKey = func() string { return "" }
	h := admin.New(s)
	for _, target := range []string{"/", "/app.js", "/api/status", "/metrics", "/healthz", "/nothing", "/reload"} {
		header := ask(h, "GET", target).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin", "Outrider-Version": "1.2.3",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s %q", target, name, got)
			}
		}
		policy := header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: no %s", target, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: too open: %s", target, policy)
		}
	}
}

// The page obeys its own policy: nothing inline, nothing from elsewhere, no
// markup made from data.
func TestPageNeedsNothingThatThePolicyForbids(t *testing.T) {
	h := admin.New(whole())
	html := ask(h, "GET", "/").Body.String()
	for _, forbidden := range []string{`<script>`, `style="`, `<style`, ` onclick`, ` onload`, "http://", "https://"} {
		if strings.Contains(html, forbidden) {
			t.Errorf("the page holds %s", forbidden)
		}
	}
	imports := regexp.MustCompile(`(?:src|href)="([^"#]+)"|from "\./([^"]+)"`)
	todo, seen := []string{"/"}, map[string]bool{}
	for len(todo) > 0 {
		target := todo[0]
		todo = todo[1:]
		if seen[target] {
			continue
		}
		seen[target] = true
		w := ask(h, "GET", target)
		if w.Code != 200 {
			t.Errorf("%s: %d", target, w.Code)
		}
		for _, match := range imports.FindAllStringSubmatch(w.Body.String(), -1) {
			if match[1] != "" {
				todo = append(todo, match[1])
			} else {
				todo = append(todo, "/"+match[2])
			}
		}
		for _, forbidden := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
			if strings.HasSuffix(target, ".js") && strings.Contains(w.Body.String(), forbidden) {
				t.Errorf("%s uses %s", target, forbidden)
			}
		}
	}
	if len(seen) != 13 {
		t.Errorf("the page consists of %v", seen)
	}
}

// restart is the error of a setting that cannot be reloaded.
type restart struct{ error }

func (restart) NeedsRestart() bool { return true }

func TestRefusedReloadSaysWhy(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{errors.New("upstream.crm.timeout = 5: a duration needs a unit\nlisten: …"), 422},
		{restart{errors.New("listen: cannot change while running")}, 409},
	} {
		s := whole()
		s.Reload = func() error { return c.err }
		w := ask(admin.New(s), "POST", "/reload")
		var p struct {
			Type, Title, Detail string
			Status              int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || p.Status != c.status || p.Type != "urn:outrider:problem:reload-refused" || p.Detail != c.err.Error() || p.Title == "" {
			t.Errorf("%d %+v", w.Code, p)
		}
	}
}

func TestDrainingIsAliveButNotReady(t *testing.T) {
	s := whole()
	s.Ready = func() error { return errors.New("draining") }
	h := admin.New(s)
	if w := ask(h, "GET", "/readyz"); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/healthz"); w.Code != 200 {
		t.Errorf("/healthz: %d", w.Code)
	}
}

func TestRebindingNamesAreRefused(t *testing.T) {
	s := whole()
	s.Hosts = []string{"outrider", ""}
	h := admin.New(s)
	for host, ok := range map[string]bool{
		"localhost:8081": true, "LOCALHOST": true, "localhost.": true, "app.localhost:8081": true,
		"127.0.0.1:8081": true, "127.8.8.8": true, "[::1]:8081": true, "[::1]": true, "10.1.2.3:8081": true,
		"outrider:8081": true, "Outrider": true,
		"attacker.example:8081": false, "127.0.0.1.attacker.example": false, "localhost.attacker.example": false,
		"attackerlocalhost": false, "": false, "0.0.0.0:8081": false, "[::]:8081": false, "[::1": true,
	} {
		for _, target := range []string{"/", "/api/status", "/metrics"} {
			if got := ask(h, "GET", target, "Host", host).Code; (got == 200) != ok || (got != 200 && got != 403) {
				t.Errorf("GET %s as %q: %d", target, host, got)
			}
		}
		if got := ask(h, "GET", "/healthz", "Host", host).Code; got != 200 {
			t.Errorf("a probe that names us %q: %d", host, got)
		}
	}
}

// A body is what -d of curl makes of parameters: without the "for" in it, the circuit was
// open for ever.
func TestParametersOfAnOrderAreNotInABody(t *testing.T) {
	r := httptest.NewRequest("POST", "http://127.0.0.1:8081/api/circuit/open?upstream=crm", strings.NewReader("for=30m"))
	w := httptest.NewRecorder()
	admin.New(whole()).ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "The parameters are in the address") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOtherSitesChangeNothing(t *testing.T) {
	s := whole()
	changes := 0
	s.Reload = func() error { changes++; return nil }
	s.Circuit = func(context.Context, admin.CircuitOrder) (any, error) { changes++; return nil, nil }
	h := admin.New(s)
	actions := []string{"/reload", "/api/circuit/open?upstream=crm", "/api/circuit/close?upstream=crm"}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://attacker.example"},
		{"Origin", "null"},
		{"Host", "attacker.example:8081", "Origin", "http://attacker.example:8081"},
	} {
		for _, action := range actions {
			if w := ask(h, "POST", action, header...); w.Code != 403 {
				t.Errorf("%s, %v: %d", action, header, w.Code)
			}
		}
	}
	if changes != 0 {
		t.Fatalf("%d changes by other sites", changes)
	}
	for _, header := range [][]string{{}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://127.0.0.1:8081"}} {
		for _, action := range actions {
			if w := ask(h, "POST", action, header...); w.Code != 200 {
				t.Errorf("%s, %v: %d %s", action, header, w.Code, w.Body)
			}
		}
	}
}

func TestKeyIsNeededWhereOneIsSet(t *testing.T) {
	s := whole()
	key := "k3y"
	s.AccessKey = func() string { return key }
	h := admin.New(s)
	basic := httptest.NewRequest("GET", "/", nil)
	basic.SetBasicAuth("anyone", "k3y")
	for _, c := range []struct {
		header []string
		ok     bool
	}{
		{nil, false},
		{[]string{"Outrider-Key", "k3y"}, true},
		{[]string{"Outrider-Key", "k3y", "Host", "outrider.internal:8081"}, true}, // a key is proof enough
		{[]string{"Outrider-Key", "k3"}, false},
		{[]string{"Outrider-Key", "k3yy"}, false},
		{[]string{"Authorization", "Bearer k3y"}, true},
		{[]string{"Authorization", "bearer k3y"}, true},
		{[]string{"Authorization", "Bearer "}, false},
		{[]string{"Authorization", basic.Header.Get("Authorization")}, true},
		{[]string{"Authorization", "Basic !"}, false},
	} {
		for _, target := range []string{"/", "/app.js", "/api/calls", "/metrics", "/nothing"} {
			w := ask(h, "GET", target, c.header...)
			if (w.Code != 401) != c.ok {
				t.Errorf("GET %s with %v: %d", target, c.header, w.Code)
			}
			if w.Code == 401 && (w.Header().Get("WWW-Authenticate") == "" || !strings.Contains(w.Body.String(), "key-required") || strings.Contains(w.Body.String(), key)) {
				t.Errorf("GET %s: %v %s", target, w.Header(), w.Body)
			}
		}
	}
	if w := ask(h, "GET", "/readyz"); w.Code != 200 {
		t.Errorf("a probe without a key: %d", w.Code)
	}
	if w := ask(h, "POST", "/reload", "Outrider-Key", "k3y", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("another site's page with the key of the browser: %d", w.Code)
	}
	key = "changed"
	if w := ask(h, "GET", "/", "Outrider-Key", "k3y"); w.Code != 401 {
		t.Errorf("the old key: %d", w.Code)
	}
}

func TestViewsThatAreMissingHaveNoRoute(t *testing.T) {
	h := admin.New(admin.Settings{})
	for _, target := range []string{"/api/status", "/api/calls", "/api/explain", "/api/circuit/open", "/api/circuit/close", "/reload", "/readyz", "/metrics"} {
		if w := ask(h, "GET", target); w.Code != 404 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if w := ask(h, "GET", "/"); w.Code != 200 {
		t.Errorf("the page: %d", w.Code)
	}
}

func TestStateThatIsNoJSONIsAnError(t *testing.T) {
	s := whole()
	s.Status = func() any { return math.NaN() }
	w := ask(admin.New(s), "GET", "/api/status")
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
