package login_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"outrider/proxy/login"
)

// settings are those of a provider whose page has a query of its own.
func settings() login.Settings {
	return login.Settings{
		Name: "crm", AuthorizeURL: "https://login.test/authorize?tenant=a", TokenURL: "https://tokens.test/token",
		ClientID: "the client", Scopes: "read write", Params: map[string]string{"prompt": "consent"},
	}
}

// An opened is an authorization whose page was read.
type opened struct {
	*login.Authorization
	t        *testing.T
	asked    url.Values // by the page's URL
	redirect string
	state    string
}

func open(t *testing.T, s login.Settings) *opened {
	t.Helper()
	a, err := login.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	page, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked := page.Query()
	return &opened{a, t, asked, asked.Get("redirect_uri"), asked.Get("state")}
}

// client follows nothing, and keeps no connection.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// browse is what a browser gets at the redirect URL.
func (o *opened) browse(query string) (*http.Response, string) {
	o.t.Helper()
	return o.do(http.MethodGet, o.redirect+"?"+query, "")
}

func (o *opened) do(method, target, host string) (*http.Response, string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, target, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp, string(body)
}

// answered waits for an answer that a browser brings meanwhile, and ends with outcome.
func (o *opened) answered(query string, outcome error) (code login.Code, page string, err error) {
	o.t.Helper()
	shown := make(chan string, 1)
	go func() {
		_, body := o.browse(query)
		shown <- body
	}()
	code, err = o.Wait(o.t.Context())
	if outcome == nil {
		outcome = err
	}
	o.Close(outcome)
	return code, <-shown, err
}

func TestPageIsAskedForWhatIsNeeded(t *testing.T) {
	o := open(t, settings())
	defer o.Close(nil)
	for name, want := range map[string]string{
		"tenant": "a", "prompt": "consent", "response_type": "code", "client_id": "the client", "scope": "read write", "code_challenge_method": "S256",
	} {
		if got := o.asked.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if u, err := url.Parse(o.redirect); err != nil || u.Hostname() != "127.0.0.1" || u.Path != "/callback" || !o.Listening {
		t.Errorf("leads back to %q", o.redirect)
	}
	other := open(t, settings())
	defer other.Close(nil)
	if len(o.state) < 22 || o.state == other.state || o.asked.Get("code_challenge") == other.asked.Get("code_challenge") {
		t.Error("two logins are not told apart")
	}
}

func TestCodeComesWithTheVerifierOfItsChallenge(t *testing.T) {
	o := open(t, settings())
	code, page, err := o.answered("code=the-code&state="+o.state+"&iss=https%3A%2F%2Flogin.test%2Ftenant", nil)
	if err != nil || code.Code != "the-code" || code.RedirectURL != o.redirect {
		t.Fatalf("got %q for %q, %v", code.Code, code.RedirectURL, err)
	}
	sum := sha256.Sum256([]byte(code.Verifier))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != o.asked.Get("code_challenge") || len(code.Verifier) < 43 {
		t.Error("the verifier is not that of the challenge")
	}
	if !strings.Contains(page, "You are logged in to crm") || !strings.Contains(page, "can be closed") {
		t.Errorf("the browser shows %s", page)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", code, code, code, code); strings.Contains(shown, "the-code") || strings.Contains(shown, code.Verifier) {
		t.Errorf("it shows %s", shown)
	}
}

// Whatever a page of somebody else has the browser send, it neither ends the login nor
// gives it a code.
func TestWhatIsNoAnswerIsWaitedOn(t *testing.T) {
	o := open(t, settings())
	for name, c := range map[string]struct {
		method, path, query, host string
		status                    int
	}{
		"another state":    {query: "code=evil&state=" + strings.Repeat("A", len(o.state)), status: 400},
		"no state":         {query: "code=evil", status: 400},
		"an empty state":   {query: "code=evil&state=", status: 400},
		"two states":       {query: "code=evil&state=" + o.state + "&state=" + o.state, status: 400},
		"no query":         {status: 400},
		"a broken query":   {query: "code=evil&state=" + o.state + "&x=%zz", status: 400},
		"a refusal":        {query: "error=access_denied", status: 400},
		"another path":     {path: "/other", query: "code=evil&state=" + o.state, status: 404},
		"a longer path":    {path: "/callback/", query: "code=evil&state=" + o.state, status: 404},
		"an icon":          {path: "/favicon.ico", status: 404},
		"another method":   {method: "POST", query: "code=evil&state=" + o.state, status: 405},
		"only the headers": {method: "HEAD", query: "code=evil&state=" + o.state, status: 405},
		"another host":     {host: "evil.test", query: "code=evil&state=" + o.state, status: 421},
	} {
		target, _ := url.Parse(o.redirect)
		if c.path != "" {
			target.Path = c.path
		}
		target.RawQuery = c.query
		if c.method == "" {
			c.method = http.MethodGet
		}
		resp, body := o.do(c.method, target.String(), c.host)
		if resp.StatusCode != c.status || strings.Contains(body, "evil") {
			t.Errorf("%s: got %d, want %d: %s", name, resp.StatusCode, c.status, body)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the page may load what it likes: %s", name, csp)
		}
	}
	if code, _, err := o.answered("code=good&state="+o.state, nil); err != nil || code.Code != "good" {
		t.Errorf("then got %q, %v", code.Code, err)
	}
}

// An answer to this login ends it, whatever it says.
func TestAnswersWithoutACode(t *testing.T) {
	for query, want := range map[string]string{
		"error=access_denied": "the provider says access_denied",
		"error=access_denied&error_description=The+user+said+%1B%5B2Jno%E2%80%AE%0A": "the provider says access_denied: The user said [2Jno",
		"error=access_denied&code=evil":                                              "the provider says access_denied",
		"error=":                                                                     "the provider says ",
		"":                                                                           "neither a code nor an error",
		"code=":                                                                      "neither a code nor an error",
		"code=a&code=b":                                                              "has code twice",
		"error=a&error=b":                                                            "has error twice",
		"code=a&iss=https%3A%2F%2Fevil.test":                                         "of another issuer, https://evil.test, than that of the page at login.test",
		"code=a&iss=":                                                                "of another issuer",
		"code=a&iss=https%3A%2F%2Flogin.test%2F&iss=https%3A%2F%2Fevil.test": "has iss twice",
	} {
		o := open(t, settings())
		code, page, err := o.answered(query+"&state="+o.state, nil)
		if err == nil || !strings.Contains(err.Error(), want) || code.Code != "" {
			t.Errorf("%s: got %q, %v, want %q", query, code.Code, err, want)
			continue
		}
		if strings.ContainsAny(err.Error(), "\x1b\n\u202e") || !strings.Contains(page, "You are not logged in to crm") {
			t.Errorf("%s: %q, and the browser shows %s", query, err, page)
		}
	}
}

func TestIssuerAtTheTokenEndpointIsTheProvider(t *testing.T) {
	o := open(t, settings())
	if code, _, err := o.answered("code=good&iss=https%3A%2F%2FTOKENS.test&state="+o.state, nil); err != nil || code.Code != "good" {
		t.Errorf("got %q, %v", code.Code, err)
	}
}

func TestRefusalIsAnErrorOfItsOwn(t *testing.T) {
	o := open(t, settings())
	_, _, err := o.answered("error=access_denied&error_description="+strings.Repeat("x", 5000)+"&state="+o.state, nil)
	var refused *login.RefusedError
	if !errors.As(err, &refused) || refused.Code != "access_denied" || len(refused.Description) > 600 {
		t.Errorf("got %v", err)
	}
}

// The browser's window stays open until the code is exchanged, so that it tells the
// truth; and what it tells is text.
func TestBrowserSeesHowItEnded(t *testing.T) {
	o := open(t, settings())
	_, page, _ := o.answered("code=good&state="+o.state, errors.New("<script>alert(1)</script>"))
	if !strings.Contains(page, "You are not logged in to crm") || strings.Contains(page, "<script") || !strings.Contains(page, "&lt;script&gt;") {
		t.Errorf("the browser shows %s", page)
	}
}

func TestOnlyTheFirstAnswerCounts(t *testing.T) {
	o := open(t, settings())
	first := make(chan string, 1)
	go func() {
		_, body := o.browse("code=first&state=" + o.state)
		first <- body
	}()
	code, err := o.Wait(t.Context())
	if err != nil || code.Code != "first" {
		t.Fatalf("got %q, %v", code.Code, err)
	}
	if resp, body := o.browse("code=second&state=" + o.state); resp.StatusCode != 400 || !strings.Contains(body, "has its answer already") {
		t.Errorf("a second answer: %d %s", resp.StatusCode, body)
	}
	o.Close(nil)
	if page := <-first; !strings.Contains(page, "You are logged in") {
		t.Errorf("the browser shows %s", page)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(o.redirect, "/callback"), "http://")); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	o := open(t, settings())
	defer o.Close(nil)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if _, err := o.Wait(ctx); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestPageLeadsBackToWhereItMay(t *testing.T) {
	free := freePort(t)
	for redirect, want := range map[string]string{
		"http://localhost":                            "http://localhost:" + free,
		"http://localhost/back":                       "http://localhost:" + free + "/back",
		"http://127.0.0.1/a%2Fb":                      "http://127.0.0.1:" + free + "/a%2Fb",
		"http://127.0.0.1:" + free:                    "http://127.0.0.1:" + free,
		"http://localhost:" + free + "/callback?":     "http://localhost:" + free + "/callback?",
		"http://127.0.0.1:" + free + "/exactly/this/": "http://127.0.0.1:" + free + "/exactly/this/",
	} {
		s := settings()
		s.RedirectURL = redirect
		if !strings.Contains(redirect, free) {
			fmt.Sscan(free, &s.Port)
		}
		o := open(t, s)
		if o.redirect != want || !o.Listening {
			t.Errorf("%s: leads back to %s, want %s", redirect, o.redirect, want)
		}
		o.redirect = strings.TrimSuffix(o.redirect, "?")
		if code, _, err := o.answered("code=good&state="+o.state, nil); err != nil || code.Code != "good" || code.RedirectURL != want {
			t.Errorf("%s: got %q for %q, %v", redirect, code.Code, code.RedirectURL, err)
		}
	}
}

func TestRedirectThatCannotBeListenedAt(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := settings()
	s.RedirectURL = "http://" + taken.Addr().String() + "/callback"
	if _, err := login.Open(s); err == nil || !strings.Contains(err.Error(), "listening for the answer") {
		t.Errorf("a port that is taken: %v", err)
	}
	s.RedirectURL, s.Port = "http://127.0.0.1:8912/callback", 8913
	if _, err := login.Open(s); err == nil || !strings.Contains(err.Error(), "8913 is not that of the redirect URL") {
		t.Errorf("two ports: %v", err)
	}
}

// A provider that takes https alone leads to a page that is not ours.
func TestAnswerIsPasted(t *testing.T) {
	s := settings()
	s.RedirectURL = "https://example.com/callback"
	o := open(t, s)
	if o.Listening || o.redirect != s.RedirectURL {
		t.Errorf("leads back to %s", o.redirect)
	}
	for _, text := range []string{"", "the-code", "https://example.com/callback", "https://example.com/callback?code=a&state=b", "http://[::1"} {
		if err := o.Paste(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := o.Paste("  https://example.com/callback?code=good&state=" + o.state + "#_=_\n"); err != nil {
		t.Fatal(err)
	}
	code, err := o.Wait(t.Context())
	if err != nil || code.Code != "good" || code.RedirectURL != s.RedirectURL {
		t.Errorf("got %q, %v", code.Code, err)
	}
	if err := o.Paste("https://example.com/callback?code=again&state=" + o.state); err == nil {
		t.Error("a second answer counts")
	}
	o.Close(nil)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// Whatever comes, the login has at most one answer, and shows nothing that could steer a
// terminal.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"code=a", "error=b&error_description=%1b[2J", "code=a&code=b", "iss=https://login.test", "%", "state=x;code=y"} {
		f.Add(seed)
	}
	s := settings()
	s.RedirectURL = "https://example.com/callback"
	f.Fuzz(func(t *testing.T, query string) {
		o := open(t, s)
		defer o.Close(nil)
		if err := o.Paste("https://example.com/?" + query); err == nil {
			t.Fatalf("%q counts without the state", query)
		}
		if err := o.Paste("https://example.com/?state=" + o.state + "&" + query); err != nil {
			return
		}
		code, err := o.Wait(t.Context())
		if (code.Code == "") == (err == nil) {
			t.Fatalf("%q: %q, %v", query, code.Code, err)
		}
		if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
			t.Fatalf("%q: %q", query, err)
		}
	})
}
