package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"outrider/policy"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"
)

// state is one with an upstream in trouble, and one that is busy.
func topState() statusView {
	used, reset := 0.8, time.Now().Add(90*time.Second)
	return statusView{
		Version: "1.2.3", Ready: true, Listen: map[string]string{"": "127.0.0.1:8080"},
		Upstreams: []policy.UpstreamStatus{
			{Name: "busy", Quotas: []policy.QuotaStatus{{Key: "busy", Active: 2, Waiting: 3, Utilization: &used, Learned: &policy.LearnedStatus{Reset: &reset}}}},
			{Name: "idle"},
			{Name: "down", Circuits: []policy.CircuitStatus{{Key: "down", State: "open"}}, Credentials: []policy.CredentialStatus{{Name: "default", State: "dead", Error: "invalid_grant"}}},
		},
		Traffic: map[string]telemetry.Traffic{"busy": {
			Tally: telemetry.Tally{Calls: 120, Failed: 3, Attempts: 150}, Seconds: 60, P50MS: 3.21, P95MS: 340, P99MS: 12345,
		}},
		Alerts: []alert.Alert{{Title: "Reconnect down", Detail: "invalid\x1b_grant", Since: time.Now().Add(-3 * time.Minute)}},
	}
}

func TestTopShowsTroubleFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := screen{width: 150, height: 16, status: topState(), selected: "busy", filter: "5xx"}
		s.calls = []telemetry.Record{{Time: time.Now(), Method: "GET", Path: "/a", Upstream: "busy", Status: 502, DurationMS: 20}}
		want := `outrider 1.2.3  at 127.0.0.1:8080  3 upstreams  2 under way  3 waiting
ALERT for 3m0s: Reconnect down: invalid?_grant

  UPSTREAM        CALLS/S  FAILED      P50      P95      P99   SENT  QUOTA                    WAITING  CIRCUIT, CREDENTIAL
  down                                                                                                 open, credential default: dead
▸ busy                2.0   2.5 %    3.2ms    340ms    12.3s  1.25×   80 % used, back in 1m30s       3
  idle

CALLS  filter: 5xx
` + time.Now().Local().Format("15:04:05.000") + `   502     20ms  busy          GET /a





q: quit   ↑ ↓: upstream   Enter: its calls   /: filter   f: failed   p: pause   Esc: all calls`
		var got []string
		for _, line := range s.lines() {
			got = append(got, strings.TrimRight(line, " "))
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s\nwant\n%s", text, want)
		}
	})
}

// A terminal of any size has room for something, and nothing is wider or higher than it.
func TestTopFitsIntoAnyTerminal(t *testing.T) {
	s := screen{status: topState(), calls: make([]telemetry.Record, 30)}
	for i := range 100 {
		s.status.Upstreams = append(s.status.Upstreams, policy.UpstreamStatus{Name: fmt.Sprint("u", i)})
	}
	for s.height = range 40 {
		for _, s.width = range []int{0, 1, 20, 79, 200} {
			lines := s.lines()
			if len(lines) > max(s.height, 1) {
				t.Errorf("%d lines in a height of %d", len(lines), s.height)
			}
			for _, line := range lines {
				if n := len([]rune(line)); n > s.width {
					t.Errorf("%d characters in a width of %d: %q", n, s.width, line)
				}
			}
		}
	}
}

func press(m *top, keys ...string) {
	for _, key := range keys {
		msg := tea.KeyPressMsg{Text: key}
		if code, special := map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "backspace": tea.KeyBackspace}[key]; special {
			msg = tea.KeyPressMsg{Code: code}
		}
		m.Update(msg)
	}
}

func TestTopKeys(t *testing.T) {
	m := &top{screen: screen{status: topState()}, refilter: make(chan string, 1)}
	wanted := func() string {
		select {
		case filter := <-m.refilter:
			return filter
		default:
			return "no change"
		}
	}
	for _, step := range []struct {
		keys   []string
		filter string // that is asked for
	}{
		{[]string{"down", "down"}, "no change"},
		{[]string{"enter"}, "upstream:busy"},
		{[]string{"up", "up", "up", "enter"}, "upstream:down"},
		{[]string{"esc"}, ""},
		{[]string{"/", "5", "x", "y", "backspace", "x", "p"}, "no change"},
		{[]string{"backspace", "enter"}, "5xx"},
		{[]string{"/", " ", ">", "5", "enter"}, "no change"},
		{[]string{"/", "m", "s", "enter"}, "5xx >5ms"},
		{[]string{"f"}, "failed"},
		{[]string{"esc", "p"}, ""},
	} {
		press(m, step.keys...)
		if got := wanted(); got != step.filter {
			t.Errorf("%q asks for %q, want %q", step.keys, got, step.filter)
		}
	}
	calls, _ := json.Marshal(callsEvent{Calls: []telemetry.Record{{Number: 1}}})
	if m.Update(event{"calls", calls}); len(m.calls) != 0 {
		t.Error("paused, and it moves")
	}
	press(m, "p")
	if m.Update(event{"calls", calls}); len(m.calls) != 1 {
		t.Error("it does not go on")
	}
	if _, command := m.Update(tea.KeyPressMsg{Text: "q"}); command == nil {
		t.Error("q does not end it")
	}
}

// A stream that broke and began anew while it was paused put the latest calls in the place of
// those that somebody was reading.
func TestTopIsPausedWhateverTheStreamDoes(t *testing.T) {
	m := &top{refilter: make(chan string, 1)}
	listed := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for _, call := range m.calls {
			got = append(got, call.Number)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("it lists %v, want %v", got, want)
		}
	}
	latest := func(filter string, number uint64) {
		m.Update(latestCalls{filter, []telemetry.Record{{Number: number}}})
	}
	latest("", 1)
	press(m, "p")
	latest("", 2)
	listed(1)
	press(m, "f") // somebody wants to see others
	latest("", 3) // which was on its way
	listed(1)
	latest("failed", 4)
	listed(4)
	latest("failed", 5)
	listed(4)
	<-m.refilter
	press(m, "p")
	if filter := <-m.refilter; filter != "failed" {
		t.Errorf("it goes on with %q", filter)
	}
	latest("failed", 6)
	listed(6)
}

// A call that ended after the stream had begun, and before the latest calls were asked for,
// came by both ways, and was listed twice.
func TestTopListsNoCallTwice(t *testing.T) {
	m := &top{}
	m.Update(latestCalls{calls: []telemetry.Record{{Number: 2}, {Number: 1}}})
	calls, _ := json.Marshal(callsEvent{Calls: []telemetry.Record{{Number: 2}, {Number: 3}}})
	m.Update(event{"calls", calls})
	var got []uint64
	for _, call := range m.calls {
		got = append(got, call.Number)
	}
	if fmt.Sprint(got) != "[3 2 1]" {
		t.Errorf("%v", got)
	}
}

// What top shows comes by the events of a real one, and with another filter anew.
func TestTopFollows(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/one"))
	get(t, http.DefaultClient, r.url("/nobody/x"))

	ctx, cancel := context.WithCancel(t.Context())
	messages, filters := make(chan tea.Msg, 100), make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&commands{admin: r.adminAt}).feedTop(ctx, filters, func(m tea.Msg) { messages <- m })
	}()
	m := &top{refilter: filters}
	until := func(what string, is func() bool) {
		t.Helper()
		for late := time.After(patience); !is(); {
			select {
			case msg := <-messages:
				m.Update(msg)
			case <-late:
				t.Fatalf("%s: never", what)
			}
		}
	}
	until("the calls of before and the state", func() bool {
		return len(m.calls) == 2 && len(m.status.Upstreams) == 1 && m.status.Traffic["api"].Calls == 1
	})
	press(m, "f")
	until("none failed", func() bool { return len(m.calls) == 0 })
	press(m, "esc")
	until("all again", func() bool { return len(m.calls) == 2 })
	get(t, http.DefaultClient, r.url("/api/two"))
	until("a new one", func() bool { return len(m.calls) == 3 && m.calls[0].Path == "/two" })
	cancel()
	<-ended
}

func TestTopNeedsATerminal(t *testing.T) {
	home(t, "")
	if code, _, errs := commandLine("", "top"); code != exitUsage || !strings.Contains(errs, "top needs a terminal; elsewhere: outrider status, outrider tail") {
		t.Errorf("ended with %d: %s", code, errs)
	}
}
