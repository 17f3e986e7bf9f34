package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"outrider/policy"
	"outrider/proxy/outbox"
)

// A fickle upstream refuses what it is sent, until it is mended.
type fickle struct {
	*httptest.Server
	mended atomic.Bool

	mu     sync.Mutex
	bodies []string // of what it has taken
	cases  []string // their X-Case
}

func newFickle(t *testing.T) *fickle {
	f := &fickle{}
	f.Server = upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !f.mended.Load() && !strings.Contains(string(body), "mended") {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "amount must be a number\n")
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bodies, f.cases = append(f.bodies, string(body)), append(f.cases, r.Header.Get("X-Case"))
	})
	return f
}

// taken is what it has taken, sorted.
func (f *fickle) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(slices.Values(f.bodies))
}

// keepingAPI is an upstream whose calls are kept.
func keepingAPI(url string) string {
	return fmt.Sprintf("[upstream.crm]\nurl = %q\nhosts = []\nauth = { type = \"none\" }\noutbox = \"always\"\n", url)
}

// keepLetter has a call kept, and gives the id of its letter.
func (r *running) keepLetter(path, body string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url(path), strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, answer := do(r.t, http.DefaultClient, req)
	if resp.StatusCode != http.StatusAccepted {
		r.t.Fatalf("%d %s", resp.StatusCode, answer)
	}
	return resp.Header.Get("Outrider-Letter")
}

// standsSo waits until the letters of crm stand so.
func (r *running) standsSo(want string) {
	r.t.Helper()
	eventually(r.t, want, func() (bool, string) {
		standing, err := r.outbox.Standing(r.t.Context())
		if err != nil {
			return false, err.Error()
		}
		for _, u := range standing.Upstreams {
			if u.Upstream == "crm" {
				got := fmt.Sprintf("%d waiting, %d dead, %d delivered", u.Waiting, u.Dead, u.Delivered)
				return got == want, got
			}
		}
		return want == "", "no letters"
	})
}

// run is a command about a sidecar that ends well.
func (r *running) run(args ...string) string {
	r.t.Helper()
	code, out, errs := commandLine("", append(args, "--admin", r.adminAt)...)
	if code != exitFine || errs != "" {
		r.t.Errorf("%q ended with %d: %s", args, code, errs)
	}
	return out
}

// says compares what was printed with parts of it, whatever is between their words.
func says(t *testing.T, out string, parts ...string) {
	t.Helper()
	plain := strings.Join(strings.Fields(out), " ")
	for _, part := range parts {
		if !strings.Contains(plain, part) {
			t.Errorf("%q does not say %q", plain, part)
		}
	}
}

// A letter that the provider refuses is dead, and everything about it is there: why, what was
// answered, and what can be done.
func TestDeadLetterIsShownMendedAndSent(t *testing.T) {
	home(t, "")
	server := newFickle(t)
	r := launch(t, keepingAPI(server.URL))
	says(t, r.run("outbox"), "no letters", "of 1GiB used")
	id := r.keepLetter("/crm/v1/charges?note=hidden", "amount=x")
	r.standsSo("0 waiting, 1 dead, 0 delivered")

	says(t, r.run("outbox"), "crm 0 waiting; 1 dead (1 refused); 0 delivered")
	list := r.run("outbox", "list", "--state", "dead")
	says(t, list, id+" crm POST /v1/charges dead for", ": refused 1 attempt")
	shown := r.run("outbox", "show", id)
	says(t, shown, id+" state dead for", "The upstream refused it, and would again.", "call POST /v1/charges, of crm, 8 bytes", "attempt 1", "422 after",
		"422 Unprocessable Entity", "Content-Type: text/plain", "amount must be a number")
	for _, text := range []string{list, shown} {
		if strings.Contains(text, "hidden") {
			t.Errorf("the query is shown: %s", text)
		}
	}
	says(t, r.run("outbox", "show", "--request", id), "POST /v1/charges?note=hidden", "amount=x")

	says(t, r.run("outbox", "edit", id, "--body", "mended=1", "--header", "X-Case: 7"), id+" is changed:")
	r.standsSo("0 waiting, 0 dead, 1 delivered")
	if got := server.taken(); !slices.Equal(got, []string{"mended=1"}) || server.cases[0] != "7" {
		t.Errorf("the upstream took %q, of the cases %q", got, server.cases)
	}
	says(t, r.run("outbox", "show", id), "state delivered", "200 after", "200 OK")
	if _, _, errs := commandLine("", "outbox", "show", "--request", id, "--admin", r.adminAt); !strings.Contains(errs, "kept no longer") {
		t.Errorf("of what was sent: %s", errs)
	}
	says(t, r.run("outbox", "drop", "--yes", id), "1 letter is dropped")
	code, _, errs := commandLine("", "outbox", "show", id, "--admin", r.adminAt)
	if code != exitFailed || !strings.Contains(errs, "404 Not Found") {
		t.Errorf("a letter that was dropped: %d %s", code, errs)
	}
}

func TestDeadLettersAreSentAgainTogether(t *testing.T) {
	if !apart(t) {
		return
	}
	home(t, "")
	server := newFickle(t)
	r := launch(t, keepingAPI(server.URL))
	for i := range 3 {
		r.keepLetter("/crm/v1/orders", fmt.Sprintf("order=%d", i))
	}
	r.standsSo("0 waiting, 3 dead, 0 delivered")
	server.mended.Store(true)
	says(t, r.run("outbox", "retry", "--state", "dead", "--upstream", "crm", "--reason", "refused"), "3 letters are due now")
	says(t, r.run("outbox", "drain"), "nothing waits any more", "3 delivered")
	if got := server.taken(); !slices.Equal(got, []string{"order=0", "order=1", "order=2"}) {
		t.Errorf("the upstream took %q", got)
	}
	eventually(t, "status", func() (bool, string) {
		out := r.run("status")
		return strings.Contains(strings.Join(strings.Fields(out), " "), "outbox 0 waiting; 3 delivered"), out
	})
	r.metered(
		`outrider_outbox_up 1`,
		`outrider_outbox_letters{state="delivered",upstream="crm"} 3`,
		`outrider_outbox_accepted_total{result="kept",upstream="crm"} 3`,
		`outrider_outbox_ended_total{result="refused",upstream="crm"} 3`,
		`outrider_outbox_ended_total{result="delivered",upstream="crm"} 3`,
	)
	var all []outbox.View
	if err := json.Unmarshal([]byte(r.run("outbox", "list", "--json", "--limit", "2")), &all); err != nil || len(all) != 2 || all[0].State != "delivered" {
		t.Errorf("%+v %v", all, err)
	}
	says(t, r.run("outbox", "list", "--limit", "2"), "and more: --limit 0 lists all")
	if lines := strings.Count(r.run("outbox", "export", "--state", "delivered"), "\n"); lines != 3 {
		t.Errorf("%d lines are exported", lines)
	}
}

// The same file twice makes no letter twice, and a line that is wrong keeps the whole file out.
func TestFileIsImportedWholeAndOnce(t *testing.T) {
	config := home(t, "")
	server := newFickle(t)
	server.mended.Store(true)
	r := launch(t, keepingAPI(server.URL))
	dir := filepath.Dir(config)
	good := layFile(t, filepath.Join(dir, "orders.ndjson"), `{"method":"POST","upstream":"crm","path":"/v1/orders","json":{"n":1}}
{"method":"POST","upstream":"crm","path":"/v1/orders","json":{"n":2}}
`)
	says(t, r.run("outbox", "import", good), "2 letters are kept")
	says(t, r.run("outbox", "import", good), "0 letters are kept, 2 were there already")
	r.standsSo("0 waiting, 0 dead, 2 delivered")
	if got := server.taken(); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`}) {
		t.Errorf("the upstream took %q", got)
	}

	bad := layFile(t, filepath.Join(dir, "bad.ndjson"), `{"method":"POST","upstream":"crm","path":"/v1/orders"}
{"method":"POST","upstream":"crn","path":"/v1/orders"}
{"method":"POST"}
`)
	code, _, errs := commandLine("", "outbox", "import", bad, "--admin", r.adminAt)
	if code != exitFailed || !strings.Contains(errs, "Nothing was kept. Line 2:") || !strings.Contains(errs, "Line 3: must have url, or upstream and path") {
		t.Errorf("%d %s", code, errs)
	}
	r.standsSo("0 waiting, 0 dead, 2 delivered")
}

// A dead letter held up others of its order key, and nothing said so of them: they were "waiting",
// with no attempt, and as if due.
func TestLettersBehindADeadOneAreToldFromOthersThatWait(t *testing.T) {
	home(t, "")
	server := newFickle(t)
	r := launch(t, keepingAPI(server.URL))
	post := func(body string) keptCall {
		resp, answer := r.post(http.DefaultClient, r.url("/crm/v1/charges"), body, "Outrider-Order-Key", "one")
		return isKept(t, resp, answer)
	}
	dead := post("amount=x")
	r.standsSo("0 waiting, 1 dead, 0 delivered")
	held := post("mended=1")

	says(t, r.run("outbox", "list", "--state", "waiting"), held.ID+" crm POST /v1/charges waiting for", ", held by a dead letter 0 attempts")
	says(t, r.run("outbox", "show", held.ID), "held by letter "+dead.ID+" (dead: refused)")
	for _, args := range [][]string{{"list", held.ID}, {"show", held.ID}} {
		out := r.run(append([]string{"outbox", "--json"}, args...)...)
		says(t, out, `"held_by": { "id": "`+dead.ID+`", "reason": "refused" }`)
	}
	// Its caller learns that it is held, and not by whose letter.
	resp, err := http.Get(held.Location)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, _ := io.ReadAll(resp.Body); !strings.Contains(string(answer), `"held_by":{"reason":"refused"}`) || strings.Contains(string(answer), dead.ID) {
		t.Errorf("its caller is told %s", answer)
	}

	r.run("outbox", "drop", "--yes", dead.ID)
	r.standsSo("0 waiting, 0 dead, 1 delivered")
	if out := r.run("outbox", "show", held.ID); strings.Contains(out, "held by") {
		t.Errorf("it is delivered, and told so: %s", out)
	}
}

// Of a letter whose answer broke off nothing was shown: "503 Service Unavailable: unexpected EOF".
func TestLetterWhoseAnswerBrokeOffIsShown(t *testing.T) {
	home(t, "")
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "as far as it came")
	})
	r := launch(t, keepingAPI(server.URL))
	id := r.keepLetter("/crm/v1/charges", "amount=1")
	r.standsSo("0 waiting, 0 dead, 1 delivered")
	says(t, r.run("outbox", "show", id), "state delivered", "200 OK", "as far as it came", "(the end is not kept: 17B of it are)")
	var shown letterDocument
	if err := json.Unmarshal([]byte(r.run("outbox", "show", id, "--json")), &shown); err != nil || shown.Response == nil || !shown.Response.Cut || *shown.Response.Text != "as far as it came" {
		t.Errorf("%+v, %v", shown.Response, err)
	}
}

// An import says how long it takes until all is sent: a quota that lets one letter through in
// an hour has the last of three sent in about two.
func TestImportSaysHowLongSendingTakes(t *testing.T) {
	config := home(t, "")
	server := newFickle(t)
	server.mended.Store(true)
	r := launch(t, keepingAPI(server.URL)+"limit = { rate = \"1/h\", burst = 1 }\n")
	lines := layFile(t, filepath.Join(filepath.Dir(config), "orders.ndjson"), strings.Repeat(`{"upstream":"crm","path":"/v1/orders"}`+"\n", 3))
	out := r.run("outbox", "import", lines)
	if !strings.Contains(out, "3 letters are kept\ncrm  ") || !strings.Contains(out, "all sent in about 2h") && !strings.Contains(out, "all sent in about 3h") {
		t.Errorf("it says %q", out)
	}
}

// A drain of one upstream says nothing of what waits elsewhere: it said that nothing waits any
// more, and below that how many letters do.
func TestDrainOfAnUpstreamTellsOfIt(t *testing.T) {
	home(t, "")
	r := launch(t, keepingAPI("http://"+closedPort(t))+"[upstream.erp]\nurl = \"http://erp.test\"\nauth = { type = \"none\" }\n")
	r.keepLetter("/crm/v1/orders", "x")
	out := r.run("outbox", "drain", "--upstream", "erp")
	says(t, out, "nothing of erp waits any more", "no letters")
	if strings.Contains(out, "crm") {
		t.Errorf("it says %q", out)
	}
}

// Where no Outrider runs, the commands do at the store what they would have asked it for, and
// nothing is sent. The next one sends what they left.
func TestLettersAreLookedAfterWhereNoneRuns(t *testing.T) {
	server := newFickle(t)
	dir := t.TempDir()
	document := anyPorts + fmt.Sprintf("state_dir = %q\n", filepath.Join(dir, "state")) + keepingAPI(server.URL)
	path := layFile(t, filepath.Join(dir, "config.toml"), document)
	t.Setenv("OUTRIDER_ADMIN", closedPort(t))
	outrider := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := commandLine("", append(append([]string{"outbox"}, args...), "--config", path)...)
		if code != want {
			t.Errorf("%q: %d %s", args, code, errs)
		}
		return out + errs
	}
	says(t, outrider(exitFailed), "no letter was kept yet")
	if _, err := os.Stat(filepath.Join(dir, "state")); !os.IsNotExist(err) {
		t.Errorf("a store was made to look into: %v", err)
	}

	lines := layFile(t, filepath.Join(dir, "orders.ndjson"), `{"upstream":"crm","path":"/v1/orders","body":"mended=1"}
{"upstream":"crm","path":"/v1/charges","body":"amount=x"}
`)
	says(t, outrider(exitFine, "import", lines), "2 letters are kept", "nothing is sent until one runs")
	says(t, outrider(exitFine, "import", lines), "0 letters are kept, 2 were there already")
	says(t, outrider(exitFine), "crm 2 waiting")
	says(t, outrider(exitFailed, "drain"), "no Outrider answers at")
	if got := server.taken(); len(got) > 0 {
		t.Errorf("the upstream took %q", got)
	}

	r := launchUnstopped(t, path, document)
	r.standsSo("0 waiting, 1 dead, 1 delivered")
	r.halt()
	list := outrider(exitFine, "list", "--state", "dead")
	id, _, _ := strings.Cut(list, " ")
	says(t, list, "crm POST /v1/charges dead for")
	says(t, outrider(exitFine, "show", id), "amount must be a number")
	says(t, outrider(exitFine, "export"), `"path":"/v1/orders"`, `"status":422`)
	says(t, outrider(exitFailed, "edit", id, "--header", "Cookie: a=b"), "Cookie holds a credential")
	says(t, outrider(exitFailed, "edit", id, "--header", "Content-Length: 99"), "header Content-Length: follows from the body")
	says(t, outrider(exitFine, "edit", id, "--body", "mended=2"), id+" is changed: waiting")
	says(t, outrider(exitFine, "drop", "--yes", "--state", "delivered"), "1 letter is dropped")

	r = launchUnstopped(t, path, document)
	r.standsSo("0 waiting, 0 dead, 1 delivered")
	r.halt()
	if got := server.taken(); !slices.Equal(got, []string{"mended=1", "mended=2"}) {
		t.Errorf("the upstream took %q", got)
	}
}

// What is misspelt, or got lost on its way here, must not mean all letters.
func TestOutboxCommandsNeedAChoice(t *testing.T) {
	home(t, "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"retry"}, "which letters? outrider outbox retry ID…"},
		{[]string{"drop", "--yes"}, "which letters?"},
		{[]string{"drop", "--state", ""}, "--state is empty"},
		{[]string{"drop", "--all", "--state", "dead"}, "one of them is right"},
		{[]string{"drop", "--all"}, "say --yes"},
		{[]string{"retry", ""}, "is not the id of a letter"},
		{[]string{"show", "a/b"}, "is not the id of a letter"},
		{[]string{"list", "--older", "-1s"}, "must be longer than 0"},
		{[]string{"list", "--limit", "-1"}, "must not be below 0"},
		{[]string{"drain", "--upstream", ""}, "--upstream is empty"},
		{[]string{"import", "nowhere.ndjson"}, "no such file"},
		{[]string{"import"}, "usage: outrider outbox import FILE"},
	} {
		code, _, errs := commandLine("", append([]string{"outbox"}, c.args...)...)
		if code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%q: %d %s", c.args, code, errs)
		}
	}
}

func TestLetterIsEditedInAnEditor(t *testing.T) {
	config := home(t, "")
	server := newFickle(t)
	r := launch(t, keepingAPI(server.URL))
	id := r.keepLetter("/crm/v1/charges", "amount=x")
	r.standsSo("0 waiting, 1 dead, 0 delivered")
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "")
	if code, _, errs := commandLine("", "outbox", "edit", id, "--admin", r.adminAt); code != exitUsage || !strings.Contains(errs, "neither VISUAL nor EDITOR") {
		t.Errorf("%d %s", code, errs)
	}
	t.Setenv("EDITOR", "true")
	if code, _, errs := commandLine("", "outbox", "edit", id, "--admin", r.adminAt); code != exitFailed || !strings.Contains(errs, "nothing was changed") {
		t.Errorf("%d %s", code, errs)
	}
	script := layFile(t, filepath.Join(filepath.Dir(config), "editor.sh"), "sed -i s/amount=x/mended=2/ \"$1\"\n")
	t.Setenv("VISUAL", "sh "+script)
	t.Setenv("TMPDIR", t.TempDir())
	says(t, r.run("outbox", "edit", id), id+" is changed:")
	r.standsSo("0 waiting, 0 dead, 1 delivered")
	if got := server.taken(); !slices.Equal(got, []string{"mended=2"}) {
		t.Errorf("the upstream took %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "outrider-letter-*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestTopTellsOfTheOutbox(t *testing.T) {
	s := screen{status: statusView{Ready: true, Outbox: &outbox.Standing{Upstreams: []outbox.UpstreamStanding{
		{Upstream: "crm", Waiting: 40, ETA: 90, Dead: 2}, {Upstream: "erp", Waiting: 2},
	}}}}
	if got := s.heading(); !strings.HasSuffix(got, "outbox: 42 waiting, about 2m") {
		t.Errorf("the heading is %q", got)
	}
	if got := s.health(policy.UpstreamStatus{Name: "crm"}); got != "2 dead letters" {
		t.Errorf("of crm it says %q", got)
	}
	s.status.Outbox.Away = "the disk is full"
	if got := s.heading(); !strings.HasSuffix(got, "outbox: away") {
		t.Errorf("away, and the heading is %q", got)
	}
}
