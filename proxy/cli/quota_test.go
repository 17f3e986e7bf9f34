package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// A quota that an application knows nothing of: what the answers say of it is enough to
// meet no refusal.
func TestSpentQuotaIsWaitedFor(t *testing.T) {
	for _, dialect := range []string{"draft06", "draft07", "github"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			sim, base := identity(t)
			r := launch(t, fmt.Sprintf("[upstream.crm]\nurl = %q\nlimit = { rate = \"1000/s\", burst = 100, max_wait = \"10s\" }\n", base))
			waited := false
			for range 5 {
				resp, body := get(t, http.DefaultClient, r.url("/crm/limited/window/core?limit=3&per=1s&dialect="+dialect))
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
				waited = waited || resp.Header.Get("Outrider-Wait") != ""
			}
			if stats := sim.Stats(); stats.Throttled != 0 {
				t.Errorf("%d calls were refused", stats.Throttled)
			}
			if _, metrics := r.ask("GET", "/metrics"); !waited || !strings.Contains(metrics, `outrider_wait_duration_seconds_count{reason="quota",upstream="crm"}`) {
				t.Errorf("the caller was told of a wait: %t; and the metrics say\n%s", waited, metrics)
			}
		})
	}
}

// A quota that nobody told Outrider of, as somebody sees it who asks.
func TestLearnedQuotaIsToldToWhoAsks(t *testing.T) {
	_, base := identity(t)
	r := launch(t, fmt.Sprintf("[upstream.crm]\nurl = %q\n", base))
	for range 2 {
		get(t, http.DefaultClient, r.url("/crm/limited/window/core?limit=2&per=1h&dialect=github"))
	}
	say := func(args ...string) string {
		var out, errs bytes.Buffer
		Main(t.Context(), Process{Args: append(args, "--admin", r.adminAt), Stdout: &out, Stderr: &errs})
		return out.String() + errs.String()
	}
	host := regexp.QuoteMeta(strings.TrimPrefix(base, "http://"))
	for _, c := range []struct{ said, want string }{
		{say("status"), `(?m)^  quota +` + host + ` core \(learned\) +0 of 2 left, 100 % used, all back in 1h0m\ds \(\d\d:\d\d:\d\d\), 0 waiting$`},
		{say("explain", "GET", "/crm/limited/window/core"), `(?m)^→ refused with 429: its turn would come in 3\d{3}\.\d{3} s, and it may wait 30s: core of ` + host + ` is spent until \d\d:\d\d:\d\d \S+$`},
		{say("explain", "GET", "/crm/limited/window/core"), `(?m)^  quota +` + host + ` core \(learned\), 0 of 2 left, 100 % used, .*: a turn in 3\d{3}\.\d{3} s$`},
	} {
		if !regexp.MustCompile(c.want).MatchString(c.said) {
			t.Errorf("it says\n%s\nand not %s", c.said, c.want)
		}
	}
}
