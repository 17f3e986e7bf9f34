package cli

import (
	"fmt"
	"net/http"
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
			for range 5 {
				resp, body := get(t, http.DefaultClient, r.url("/crm/limited/window/core?limit=3&per=1s&dialect="+dialect))
				if resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
			}
			if stats := sim.Stats(); stats.Throttled != 0 {
				t.Errorf("%d calls were refused", stats.Throttled)
			}
		})
	}
}
