package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy/config"
	"outrider/proxy/intercept"
)

// An asked is one request as an upstream got it.
type asked struct {
	method, uri, host, body string
	header                  http.Header
}

// A ledger is what an upstream was really asked for.
type ledger struct {
	mu      sync.Mutex
	entries []asked
}

// note reads a request whole and writes it down.
func (l *ledger) note(r *http.Request) asked {
	body, _ := io.ReadAll(r.Body)
	entry := asked{r.Method, r.RequestURI, r.Host, string(body), r.Header.Clone()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry)
	return entry
}

// take gives what was written down since the last take.
func (l *ledger) take() []asked {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := l.entries
	l.entries = nil
	return entries
}

// eventually asks until the answer is yes. What it waits for has to come: the
// deadline only ends a broken test, and seen says what was there instead.
func eventually(t *testing.T, what string, ask func() (ok bool, seen string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen := ask()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not come; seen: %s", what, seen)
		}
	}
}

// launchFile runs a whole sidecar on a configuration file, which it watches.
func launchFile(t *testing.T, path string) *running {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := launchData(t, path, string(data))
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		r.reloader.Watch(ctx, nil)
	}()
	t.Cleanup(func() {
		cancel()
		<-watching
	})
	return r
}

// launchData runs a whole sidecar on a whole document.
func launchData(t *testing.T, path, document string) *running {
	t.Helper()
	r := launchUnstopped(t, path, document)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.stop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return r
}

// launchUnstopped is launchData for tests that stop it themselves.
func launchUnstopped(t *testing.T, path, document string) *running {
	t.Helper()
	file, err := config.Parse(path, []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	s, err := start(context.Background(), path, []byte(document), file, log)
	if err != nil {
		t.Fatal(err)
	}
	return &running{sidecar: s, t: t, log: log}
}

// anyPorts is the beginning of a document: listeners on ports of their own.
const anyPorts = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n"

// ask makes a request to the admin port.
func (r *running) ask(method, path string) (status int, body string) {
	r.t.Helper()
	status, body, err := r.tryAsk(method, path)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

// tryAsk is ask for a port that may be closed.
func (r *running) tryAsk(method, path string) (status int, body string, err error) {
	req, err := http.NewRequest(method, "http://"+r.adminAt+path, nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

// rest waits until all is told of the calls that were answered, whose clients were not to wait
// for that.
func (r *running) rest() {
	r.t.Helper()
	eventually(r.t, "the end of all calls", func() (bool, string) {
		metrics := r.askWithKey("GET", "/metrics", r.accessKey())
		return strings.Contains(metrics, "\noutrider_calls_active 0\n"), metrics
	})
}

// logged gives the lines of the log that have a message, decoded.
func (r *running) logged(message string) []map[string]any {
	var lines []map[string]any
	for line := range strings.Lines(r.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			lines = append(lines, fields)
		}
	}
	return lines
}

// trust are the files that make clients trust the sidecar's authority.
func (r *running) trust() intercept.Trust {
	r.t.Helper()
	dir, err := stateDir(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	trust, err := intercept.Open(dir).Trust("")
	if err != nil {
		r.t.Fatal(err)
	}
	return trust
}

// slug is the name of a problem, "" for a body that is none.
func slug(body string) string {
	var problem struct{ Type string }
	_ = json.Unmarshal([]byte(body), &problem)
	name, _ := strings.CutPrefix(problem.Type, "urn:outrider:problem:")
	return name
}
