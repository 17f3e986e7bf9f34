//go:build unix

package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// A rotator is a provider whose refresh tokens are good once: refresh-0000 brings
// access-0001 and refresh-0001, and so on. Whoever sends one again gets the same
// successor, as with providers that have a leeway, until the successor was used: then
// the connection is over.
type rotator struct {
	kill func(moment string) // called in the middle of a request; nil: nobody is killed

	mu     sync.Mutex
	newest int  // the pair that was given last
	shown  bool // its access token was used
	over   bool
}

func (p *rotator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		p.token(w, r)
		return
	}
	p.mu.Lock()
	live := r.Header.Get("Authorization") == fmt.Sprintf("Bearer access-%04d", p.newest) && !p.over
	p.shown = p.shown || live
	p.mu.Unlock()
	if !live {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.killed("the call")
}

func (p *rotator) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	switch r.PostFormValue("refresh_token") {
	case fmt.Sprintf("refresh-%04d", p.newest):
		p.newest, p.shown = p.newest+1, false
	case fmt.Sprintf("refresh-%04d", p.newest-1):
		p.over = p.over || p.shown
	default:
		p.over = true
	}
	newest, over := p.newest, p.over
	p.mu.Unlock()
	p.killed("the token request")
	w.Header().Set("Content-Type", "application/json")
	if over {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"access-%04d","refresh_token":"refresh-%04d","expires_in":3600}`, newest, newest)
}

func (p *rotator) killed(moment string) {
	p.mu.Lock()
	kill := p.kill
	p.mu.Unlock()
	if kill != nil {
		kill(moment)
	}
}

// setKill says what is done in the middle of requests from now on.
func (p *rotator) setKill(kill func(moment string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill = kill
}

// begin runs Outrider in a process of its own, and gives its address.
func begin(t testing.TB, config string) (cmd *exec.Cmd, address string) {
	t.Helper()
	cmd = outrider(t, "run", "--config", config)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Listen string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "outrider is ready" {
			go func() { // so that it can go on writing; ends with the process
				for lines.Scan() {
				}
			}()
			return cmd, line.Listen
		}
	}
	t.Fatal("it ended before it was ready")
	return nil, ""
}

// However a process is killed in the middle of a refresh, the next one goes on with
// the connection, and at once: while the provider works (it has rotated, and the answer
// is lost), and when the first call comes with the new token, whose refresh token
// has to be on the disk by then.
func TestKilledProcessLosesNoConnection(t *testing.T) {
	for _, moment := range []string{"the token request", "the call"} {
		t.Run(moment, func(t *testing.T) {
			provider := &rotator{}
			server := upstream(t, provider.ServeHTTP)
			t.Setenv("CRM_SECRET", "demo-secret")
			t.Setenv("CRM_REFRESH", "refresh-0000")
			config := home(t, fmt.Sprintf("state_dir = %q\n[upstream.crm]\nurl = %q\nauth = { type = \"oauth2\", grant = \"refresh_token\", token_url = %q, client_id = \"demo\", client_secret = \"env:CRM_SECRET\", refresh_token = \"env:CRM_REFRESH\" }\n",
				filepath.Join(t.TempDir(), "state"), server.URL, server.URL+"/token"))
			cmd, address := begin(t, config)
			provider.setKill(func(now string) {
				if now == moment {
					_ = cmd.Process.Signal(syscall.SIGKILL)
					_, _ = cmd.Process.Wait()
				}
			})
			if resp, err := http.Get("http://" + address + "/crm/x"); err == nil {
				_ = resp.Body.Close()
				t.Fatalf("it answered %d before it was killed", resp.StatusCode)
			}
			provider.setKill(nil)

			_, address = begin(t, config)
			resp, err := http.Get("http://" + address + "/crm/x")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("after it was killed: %v %v", resp, err)
			}
			_ = resp.Body.Close()
		})
	}
}
