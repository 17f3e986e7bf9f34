//go:build unix

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loginUpstream is an upstream that somebody has to log in to. more are keys of its auth.
func loginUpstream(base, more string) string {
	return fmt.Sprintf(`
[upstream.crm]
url = "%[1]s"
[upstream.crm.auth]
type = "oauth2"
grant = "authorization_code"
authorize_url = "%[1]s/oauth/authorize"
token_url = "%[1]s/oauth/token?rotate=on"
client_id = "demo"
%[2]s
`, base, more)
}

// A visit is an `outrider login` that is under way.
type visit struct {
	t        *testing.T
	out, err *logBuffer
	ended    chan int // its exit code
}

// visiting starts `outrider login`, until ctx ends.
func visiting(ctx context.Context, t *testing.T, stdin io.Reader, args ...string) *visit {
	t.Helper()
	v := &visit{t, &logBuffer{}, &logBuffer{}, make(chan int, 1)}
	go func() {
		v.ended <- Main(ctx, Process{Args: append([]string{"login"}, args...), Stdin: stdin, Stdout: v.out, Stderr: v.err})
	}()
	return v
}

var pageURL = regexp.MustCompile(`(?m)^  (http\S+)$`)

// page is the provider's page, once it is printed.
func (v *visit) page() string {
	v.t.Helper()
	var found []string
	eventually(v.t, "the URL of the page", func() (bool, string) {
		found = pageURL.FindStringSubmatch(v.out.String() + v.err.String())
		return found != nil, v.out.String() + v.err.String()
	})
	return found[1]
}

// agree is a browser whose user opens a page, and is led back.
func (v *visit) agree(page string) string {
	v.t.Helper()
	_, body := get(v.t, &http.Client{Timeout: patience}, page)
	return body
}

// end waits for the end, and wants an exit code, and texts in what was said.
func (v *visit) end(code int, texts ...string) {
	v.t.Helper()
	got := <-v.ended
	said := v.out.String() + v.err.String()
	if got != code {
		v.t.Errorf("exit code %d, want %d:\n%s", got, code, said)
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			v.t.Errorf("it does not say %q:\n%s", text, said)
		}
	}
	if strings.Contains(said, "sim-") { // every code and token of the simulator begins so
		v.t.Errorf("it shows a secret:\n%s", said)
	}
}

// logIn logs in to crm, and is done.
func logIn(t *testing.T, config string, args ...string) {
	t.Helper()
	v := visiting(t.Context(), t, nil, append([]string{"crm", "--no-browser", "--config", config}, args...)...)
	if shown := v.agree(v.page()); !strings.Contains(shown, "You are logged in to crm") {
		t.Errorf("the browser shows %s", shown)
	}
	v.end(0, "crm", "is logged in, with a refresh token; its token lives for 1h")
}

// An Outrider that runs has nobody logged in, says what to run, and uses the login as
// soon as there is one; it goes on with its refresh token.
func TestLoginIsUsedByTheOutriderThatRuns(t *testing.T) {
	if !apart(t) {
		return
	}
	for name, more := range map[string]string{
		"confidential client": `client_secret = "env:CRM_SECRET"`,
		"public client":       "",
		"secret in the body":  "client_secret = \"env:CRM_SECRET\"\nclient_auth = \"body\"",
		"JSON":                "client_secret = \"env:CRM_SECRET\"\nclient_auth = \"json-basic\"",
	} {
		t.Run(name, func(t *testing.T) {
			sim, base := identity(t)
			t.Setenv("CRM_SECRET", "canary-secret")
			config := home(t, loginUpstream(base, more))
			r := launchFile(t, config)
			call := func() (int, string) {
				resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
				return resp.StatusCode, body
			}
			if status, body := call(); status != 502 || slug(body) != "credential-unavailable" || !strings.Contains(body, "nobody has logged in yet: outrider login crm") {
				t.Fatalf("got %d %s", status, body)
			}
			logIn(t, config)
			eventually(t, "the login", func() (bool, string) {
				status, body := call()
				return status == 200, body
			})
			for n := int64(1); n <= 3; n++ {
				revoke(t, sim)
				if status, body := call(); status != 200 {
					t.Errorf("after %d refreshes: %d %s", n, status, body)
				}
			}
			if got := sim.Stats().Tokens; got.Refreshed != 3 || got.Reused != 0 {
				t.Errorf("%d refreshes, %d of a spent token", got.Refreshed, got.Reused)
			}
			keepsNoSecret(t, filepath.Dir(config))
			r.rest()
			if log := r.log.String(); strings.Contains(log, "sim-") || strings.Contains(log, "canary") {
				t.Errorf("the log shows a secret:\n%s", log)
			}
		})
	}
}

// keepsNoSecret looks through what is on the disk.
func keepsNoSecret(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "sim-access-") || strings.Contains(string(data), "sim-refresh-") || strings.Contains(string(data), "sim-code-") {
			t.Errorf("%s has a token in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Nothing runs at the login; what runs later finds it, and after a logout nothing does.
func TestLoginIsFoundLater(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	document, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	called := func() (int, string) {
		r := launchUnstopped(t, config, string(document))
		defer r.halt()
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode, body
	}
	logIn(t, config, "--probe", "GET /protected/me?x=y")
	if status, body := called(); status != 200 {
		t.Errorf("got %d %s", status, body)
	}
	for _, want := range []string{"The tokens of crm are forgotten here.", "Nobody is logged in to crm."} {
		if code, out, errs := commandLine("", "logout", "crm", "--config", config); code != 0 || !strings.Contains(out, want) {
			t.Errorf("logout: %d %s%s, want %q", code, out, errs, want)
		}
	}
	if status, body := called(); status != 502 || !strings.Contains(body, "outrider login crm") {
		t.Errorf("after the logout: %d %s", status, body)
	}
}

// The provider is told: the token that an Outrider has in memory ends at once, and is not
// replaced.
func TestLogoutEndsTheTokenThatIsInUse(t *testing.T) {
	sim, base := identity(t)
	config := home(t, loginUpstream(base, "revoke_url = \""+base+"/oauth/revoke\""))
	logIn(t, config)
	r := launchFile(t, config)
	call := func() (int, string) {
		resp, body := get(t, http.DefaultClient, r.url("/crm/protected/x"))
		return resp.StatusCode, body
	}
	if status, body := call(); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	code, out, errs := commandLine("", "logout", "crm", "--json", "--config", config)
	if code != 0 || !strings.Contains(out, `"forgotten": true`) || !strings.Contains(out, `"revoked": true`) {
		t.Errorf("logout: %d %s%s", code, out, errs)
	}
	if status, body := call(); status != 401 {
		t.Errorf("after the logout: %d %s", status, body)
	}
	if status, body := call(); status != 502 || !strings.Contains(body, "nobody has logged in yet: outrider login crm") {
		t.Errorf("then: %d %s", status, body)
	}
	if got := sim.Stats().Tokens; got.Refreshed != 0 || got.Reused != 0 {
		t.Errorf("%d refreshes, %d of a spent token", got.Refreshed, got.Reused)
	}
	logIn(t, config)
	eventually(t, "the next login", func() (bool, string) {
		status, body := call()
		return status == 200, body
	})
}

func TestProviderCannotBeToldOfALogout(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, "revoke_url = \""+base+"/fault/503\""))
	logIn(t, config)
	want := "the tokens of crm are forgotten here, and the provider could not be told: oauth2: asking " + strings.TrimPrefix(base, "http://") + ": status 503"
	if code, out, errs := commandLine("", "logout", "crm", "--config", config); code != exitFailed || !strings.Contains(errs, want) {
		t.Errorf("logout: %d %s%s, want %q", code, out, errs, want)
	}
	if code, out, errs := commandLine("", "logout", "crm", "--config", config); code != 0 || !strings.Contains(out, "Nobody is logged in to crm.") {
		t.Errorf("then: %d %s%s", code, out, errs)
	}
}

// A connection has a login of its own.
func TestLoginOfAConnection(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	v := visiting(t.Context(), t, nil, "crm", "--connection", "acme", "--no-browser", "--config", config)
	if shown := v.agree(v.page()); !strings.Contains(shown, "You are logged in to crm (connection acme)") {
		t.Errorf("the browser shows %s", shown)
	}
	v.end(0, "crm (connection acme) is logged in")
	for connection, want := range map[string]string{"": `"forgotten": false`, "other": `"forgotten": false`, "acme": `"forgotten": true`} {
		if _, out, errs := commandLine("", "logout", "crm", "--connection", connection, "--json", "--config", config); !strings.Contains(out, want) {
			t.Errorf("connection %q: %s%s", connection, out, errs)
		}
	}
}

// Somebody else's page sends an answer of another login, and the page of ours is changed
// on its way so that its code belongs to another verifier: the provider refuses it.
func TestCodeOfAnotherIsOfNoUse(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--config", config)
	page, err := url.Parse(v.page())
	if err != nil {
		t.Fatal(err)
	}
	asked := page.Query()
	if resp, body := get(t, http.DefaultClient, asked.Get("redirect_uri")+"?code=stolen&state=guessed"); resp.StatusCode != 400 || !strings.Contains(body, "no answer to the login that is under way") {
		t.Errorf("another state: %d %s", resp.StatusCode, body)
	}
	asked.Set("code_challenge", strings.Repeat("A", 43))
	page.RawQuery = asked.Encode()
	if shown := v.agree(page.String()); !strings.Contains(shown, "You are not logged in to crm") || !strings.Contains(shown, "invalid_grant") {
		t.Errorf("the browser shows %s", shown)
	}
	v.end(1, "logging in to crm: oauth2: asking "+page.Host+": invalid_grant: the code was used before")
	if _, out, _ := commandLine("", "logout", "crm", "--config", config); !strings.Contains(out, "Nobody is logged in") {
		t.Errorf("something was kept: %s", out)
	}
}

func TestLoginThatIsRefused(t *testing.T) {
	_, base := identity(t)
	for parameter, want := range map[string]string{
		"deny=1":                 "logging in to crm: the provider says access_denied: The user said no.",
		"iss=https://other.test": "the answer is of another issuer, https://other.test",
	} {
		document := strings.Replace(loginUpstream(base, ""), "/oauth/authorize", "/oauth/authorize?"+parameter, 1)
		v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--config", home(t, document))
		if shown := v.agree(v.page()); !strings.Contains(shown, "You are not logged in to crm") {
			t.Errorf("the browser shows %s", shown)
		}
		v.end(1, want)
	}
}

func TestLoginThatNamesItsIssuer(t *testing.T) {
	_, base := identity(t)
	document := strings.Replace(loginUpstream(base, ""), "/oauth/authorize", "/oauth/authorize?iss=own", 1)
	logIn(t, home(t, document))
}

func TestNobodyAgrees(t *testing.T) {
	_, base := identity(t)
	v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--timeout", "20ms", "--config", home(t, loginUpstream(base, "")))
	v.end(1, "nobody has agreed in the time that there was (--timeout); nothing is changed")
}

// Ctrl-C, in a process of its own.
func TestLoginIsBrokenOff(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, "device_url = \""+base+"/oauth/device\""))
	for _, how := range []string{"--no-browser", "--paste", "--device"} {
		cmd := outrider(t, "login", "crm", "--no-browser", how, "--config", config)
		v := &visit{t: t, out: &logBuffer{}, err: &logBuffer{}}
		cmd.Stdout, cmd.Stderr = v.out, v.err
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		page := v.page()
		_ = cmd.Process.Signal(syscall.SIGINT)
		err = cmd.Wait()
		_ = stdin.Close()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(v.err.String(), "the login was broken off; nothing is changed") {
			t.Errorf("%s: %v\n%s%s", how, err, v.out, v.err)
		}
		if u, _ := url.Parse(page); u.Query().Get("redirect_uri") != "" {
			if resp, err := http.Get(u.Query().Get("redirect_uri")); err == nil {
				resp.Body.Close()
				t.Errorf("%s: it still listens", how)
			}
		}
	}
}

// A connection of the configuration that has a client and scopes of its own was logged in
// to with the page of the upstream's, and logged out of as the upstream's client.
func TestConnectionHasALoginOfItsOwn(t *testing.T) {
	asked := make(chan url.Values, 1)
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		switch r.URL.Path {
		case "/oauth/authorize":
			asked <- r.Form
			http.Redirect(w, r, r.Form.Get("redirect_uri")+"?code=sim-c&state="+r.Form.Get("state"), http.StatusFound)
		case "/oauth/token":
			_, _ = io.WriteString(w, `{"access_token":"sim-a","refresh_token":"sim-r"}`)
		case "/oauth/revoke":
			asked <- r.Form
		}
	})
	config := home(t, loginUpstream(server.URL, "revoke_url = \""+server.URL+"/oauth/revoke\"")+`
[upstream.crm.connection.acme]
client_id = "acme-client"
scopes = ["acme-scope"]
authorize_params = { prompt = "acme" }
`)
	v := visiting(t.Context(), t, nil, "crm", "--connection", "acme", "--no-browser", "--config", config)
	v.agree(v.page())
	v.end(0, "crm (connection acme) is logged in")
	if q := <-asked; q.Get("client_id") != "acme-client" || q.Get("scope") != "acme-scope" || q.Get("prompt") != "acme" {
		t.Errorf("the page was asked for %v", q)
	}
	if code, out, errs := commandLine("", "logout", "crm", "--connection", "acme", "--config", config); code != 0 || !strings.Contains(out, "was told to revoke them") {
		t.Fatalf("logout ends with %d: %s%s", code, out, errs)
	}
	if q := <-asked; q.Get("client_id") != "acme-client" || q.Get("token") != "sim-r" {
		t.Errorf("the provider was told %v", q)
	}
}

// A machine without a browser has a code for its user.
func TestLoginOfADevice(t *testing.T) {
	if !apart(t) {
		return
	}
	sim, base := identity(t)
	for query, want := range map[string][]string{
		"pending=1&interval=1s":            {"enter the code WDJB-MJHT:\n\n  " + base + "/\n", base + "/?user_code=WDJB-MJHT", "crm is logged in, with a refresh token"},
		"pending=0&interval=1s&end=denied": {"access_denied: access was refused"},
	} {
		device := "device_url = \"" + base + "/oauth/device?" + query + "\"\nclient_secret = \"literal\""
		both := home(t, loginUpstream(base, device))
		alone := strings.Replace(loginUpstream(base, device), "authorize_url", "#", 1)
		code := 0
		if strings.Contains(query, "end=") {
			code = 1
		}
		v := visiting(t.Context(), t, nil, "crm", "--device", "--config", both)
		w := visiting(t.Context(), t, nil, "crm", "--config", home(t, alone))
		v.end(code, want...)
		w.end(code, want...)
	}
	if got := sim.Stats().Tokens; got.Issued != 2 {
		t.Errorf("%d grants, want 2", got.Issued)
	}
}

// The provider takes https alone, or the browser is on another machine: the user brings
// the address at which it ended.
func TestAnswerIsBroughtByHand(t *testing.T) {
	_, base := identity(t)
	for name, c := range map[string]struct {
		more string
		args []string
	}{
		"another page":    {"redirect_url = \"https://example.com/callback\"", nil},
		"another machine": {"", []string{"--paste"}},
	} {
		t.Run(name, func(t *testing.T) {
			hand, stdin := io.Pipe()
			t.Cleanup(func() { _ = stdin.Close() })
			v := visiting(t.Context(), t, hand, append([]string{"crm", "--no-browser", "--config", home(t, loginUpstream(base, c.more))}, c.args...)...)
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, _ := get(t, client, v.page())
			_, _ = io.WriteString(stdin, "\nhello\n"+resp.Header.Get("Location")+"\n")
			v.end(0, "paste the whole address", "this is no URL with an answer in its query", "crm is logged in")
		})
	}
}

func TestNothingIsPasted(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, "redirect_url = \"https://example.com/callback\""))
	code, out, errs := commandLine("https://example.com/callback?code=a&state=b\n", "login", "crm", "--no-browser", "--config", config)
	if code != exitFailed || !strings.Contains(errs, "no line of it was the answer; nothing is changed") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

func TestLoginForPrograms(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--json", "--probe", "GET /protected/me", "--config", config)
	v.agree(v.page())
	v.end(0)
	var got loginView
	if err := json.Unmarshal([]byte(v.out.String()), &got); err != nil {
		t.Fatalf("%v in\n%s", err, v.out)
	}
	if got.Upstream != "crm" || !got.Renewable || got.Expires == nil || time.Until(*got.Expires) > time.Hour || got.Probe.Status != 200 || got.Probe.Call != "GET /protected/me" {
		t.Errorf("got %+v, %+v", got, got.Probe)
	}
}

// The tokens are kept, whatever comes of the probe.
func TestProviderDoesNotTakeItsOwnToken(t *testing.T) {
	_, base := identity(t)
	for call, want := range map[string]string{
		"GET /fault/401":   "GET /fault/401 was answered 401: the provider does not take the token that it gave; it is kept all the same",
		"GET /fault/500":   "GET /fault/500 was answered 500; the tokens are kept",
		"GET /fault/close": "GET /fault/close could not be asked",
	} {
		config := home(t, loginUpstream(base, ""))
		v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--probe", call, "--config", config)
		if shown := v.agree(v.page()); !strings.Contains(shown, "You are logged in to crm") {
			t.Errorf("the browser shows %s", shown)
		}
		v.end(1, "crm is logged in", want)
		if _, out, _ := commandLine("", "logout", "crm", "--config", config); !strings.Contains(out, "are forgotten") {
			t.Errorf("%s: nothing was kept", call)
		}
	}
}

// GitHub's form without a lifetime, and a provider that wants to be asked for more.
func TestLoginWithoutARefreshToken(t *testing.T) {
	for body, want := range map[string][]string{
		"access_token=sim-a&token_type=bearer":     {"without a refresh token; the provider does not say when its token ends", "that is well if its tokens do not end", "offline_access"},
		`{"access_token":"sim-a","expires_in":60}`: {"its token lives for 1m", "somebody has to log in again when the token ends", `prompt = "consent"`},
	} {
		verifier := ""
		server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth/token" {
				verifier = r.FormValue("code_verifier")
				_, _ = io.WriteString(w, body)
				return
			}
			q := r.URL.Query()
			if q.Get("prompt") != "consent" || q.Get("audience") != "api" || q.Get("tenant") != "a" || q.Get("scope") != "read write" {
				t.Errorf("the page was asked for %v", q)
			}
			http.Redirect(w, r, q.Get("redirect_uri")+"?code=sim-c&state="+q.Get("state"), http.StatusFound)
		})
		document := loginUpstream(server.URL, "authorize_params = { prompt = \"consent\" }\naudience = \"api\"\nscopes = [\"read\", \"write\"]\n")
		document = strings.Replace(document, "/oauth/authorize", "/oauth/authorize?tenant=a", 1)
		v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--config", home(t, document))
		v.agree(v.page())
		v.end(0, want...)
		if verifier == "" || strings.Contains(v.out.String()+v.err.String(), verifier) {
			t.Errorf("the verifier %q is shown:\n%s%s", verifier, v.out, v.err)
		}
	}
}

func TestLoginThatCannotBegin(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, "client_secret = \"env:CRM_ABSENT\"")+"[upstream.open]\nurl = \"http://127.0.0.1:1\"\n")
	t.Setenv("CRM_ABSENT", "")
	for want, args := range map[string][]string{
		"there is no [upstream.cmr] in the configuration":                                 {"cmr"},
		"upstream.open.auth: is passthrough, which has no login":                          {"open"},
		"upstream.crm.auth.client_secret: the environment variable CRM_ABSENT is not set": {"crm"},
		"the name of a connection has 1 to 128 letters":                                   {"crm", "--connection", "a/b"},
	} {
		code, out, errs := commandLine("", append([]string{"login", "--no-browser", "--config", config}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
	}
	t.Setenv("CRM_ABSENT", "secret")
	for want, args := range map[string][]string{
		"upstream.crm.auth.device_url: is missing":      {"crm", "--device"},
		`--probe "me": must be a method and a path`:     {"crm", "--probe", "me"},
		`--probe "G(T /me": net/http: invalid method`:   {"crm", "--probe", "G(T /me"},
		"accepts 1 arg(s), received 0; usage: outrider": nil,
	} {
		code, out, errs := commandLine("", append([]string{"login", "--no-browser", "--config", config}, args...)...)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: %d %s%s, want %q", args, code, out, errs, want)
		}
	}
}

// The proxy of this shell is the Outrider of this configuration: a login does not go
// through it.
func TestLoginDoesNotGoThroughItself(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, "")+"[forward]\nunlisted = \"deny\"\n")
	document, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	r := launchData(t, config, string(document))
	placed := strings.Replace(string(document), "listen = \"127.0.0.1:0\"", "listen = \""+r.addresses[""]+"\"", 1)
	if err := os.WriteFile(config, []byte(placed), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", r.url(""))
	t.Setenv("HTTPS_PROXY", r.url(""))
	v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--probe", "GET /protected/me", "--config", config)
	_, _ = get(t, &http.Client{Transport: &http.Transport{}}, v.page())
	v.end(0)
	if calls := len(r.logged("call")); calls != 0 {
		t.Errorf("%d calls went through Outrider:\n%s", calls, r.log)
	}
}

func TestLoginIsTold(t *testing.T) {
	_, base := identity(t)
	config := home(t, loginUpstream(base, ""))
	if _, out, errs := commandLine("", "check", "--config", config); !strings.Contains(out, "; the first ones come from: outrider login crm\n") {
		t.Errorf("check says\n%s%s", out, errs)
	}
	r := launchFile(t, config)
	for _, args := range [][]string{{"status"}, {"explain", "GET", "/crm/x"}} {
		if _, out, errs := commandLine("", append(args, "--admin", r.adminAt)...); !strings.Contains(out, "not used yet: its tokens come from outrider login crm") {
			t.Errorf("%v says\n%s%s", args, out, errs)
		}
	}
	get(t, http.DefaultClient, r.url("/crm/protected/x"))
	for _, args := range [][]string{{"status"}, {"explain", "GET", "/crm/x"}} {
		if _, out, errs := commandLine("", append(args, "--admin", r.adminAt)...); !strings.Contains(out, "nobody has logged in yet: outrider login crm") {
			t.Errorf("%v says\n%s%s", args, out, errs)
		}
	}
}

// An Outrider that runs with another state directory does not see the login.
func TestLoginElsewhereIsNoticed(t *testing.T) {
	_, base := identity(t)
	r := launch(t, loginUpstream(base, ""))
	config := home(t, loginUpstream(base, ""))
	v := visiting(t.Context(), t, nil, "crm", "--no-browser", "--admin", r.adminAt, "--config", config)
	v.agree(v.page())
	v.end(0, "the Outrider that runs keeps its tokens elsewhere, in "+r.stateDir())
}
