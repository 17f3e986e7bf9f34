package policy_test

import (
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/policytest"
)

// refusedAfter is when a call may be tried again; 0: it was sent.
func refusedAfter(t *testing.T, set *policy.Set, path string) time.Duration {
	t.Helper()
	answer, _ := call(t, set, "GET", path, "")
	var refusal policy.Refusal
	if !errors.As(answer.Err, &refusal) {
		return 0
	}
	_, after := refusal.Refusal()
	return after
}

// byKey are what is kept, by table and key.
func byKey(kept []policy.KeptQuota) map[string]policy.KeptQuota {
	named := make(map[string]policy.KeptQuota)
	for _, q := range kept {
		named[q.Table+" of "+strings.ReplaceAll(q.Key, "\n", ", ")] = q
	}
	return named
}

func TestQuotasOfAllUpstreamsGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		header := http.Header{
			"X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {"4900"}, "X-Ratelimit-Resource": {"core"},
			"X-Ratelimit-Reset": {strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)},
		}
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1, Header: header}))
		document := plain + `
limit = { rate = "5/h", shape = "window", max_wait = "1s" }
[[upstream.api.rule]]
match = "GET /export"
limit = { rate = "1/d", shape = "window", max_wait = "1s" }
[upstream.other]
url = "https://other.test"`
		set := r.compile(document, nil)
		call(t, set, "GET", "/export", "")
		call(t, set, "GET", "/a", "")
		time.Sleep(10 * time.Minute)
		kept := set.KeptQuotas()
		named := byKey(kept)
		learned := named["limit[0] of api.test, core"]
		if len(kept) != 3 || named["limit[0] of api.test"].Spent != 2 || named["GET /export limit[0] of api.test"].Spent != 1 || learned.Spent != 100 {
			t.Errorf("kept is %+v", named)
		}
		if want := time.Now().Add(50 * time.Minute); !learned.Until.Equal(want) || learned.Upstream != "api" {
			t.Errorf("%+v: want until %s", learned, want)
		}
		time.Sleep(10 * time.Minute)
		if again := byKey(set.KeptQuotas()); !reflect.DeepEqual(again, named) {
			t.Errorf("kept is\n%v, and ten minutes later\n%v", named, again)
		}

		set = r.compile(document, nil)
		gone := kept[0]
		gone.Upstream = "gone"
		set.RestoreQuotas(append(kept, gone))
		day := 24*time.Hour + 250*time.Millisecond
		if after := refusedAfter(t, set, "/export"); after != day-20*time.Minute {
			t.Errorf("an export may be tried again after %s", after)
		}
		for i, want := range []time.Duration{0, 0, 0, 40*time.Minute + 250*time.Millisecond} {
			if after := refusedAfter(t, set, "/a"); after != want {
				t.Errorf("call %d may be tried again after %s, want %s", i, after, want)
			}
		}
	})
}

// The key of a caller's own credential is hashed with a seed of the process, so that it
// names nobody in the next.
func TestQuotasOfCallersOwnCredentialsAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1}))
		set := r.compile(plain+`
auth = { type = "passthrough" }
limit = [{ rate = "5/h" }, { rate = "50/h", per = "host" }]`, nil)
		u, _ := set.ByName("api")
		req := policytest.NewRequest(t, "GET", "https://api.test/", "")
		req.Header.Set("Authorization", "Bearer canary-own")
		policytest.Do(u.Plan("GET", "/"), req)
		kept := set.KeptQuotas()
		if len(kept) != 1 || kept[0].Table != "limit[1]" || kept[0].Key != "api.test" {
			t.Errorf("kept is %+v", kept)
		}
	})
}

// What is kept may come from anywhere: a newer version, or a disk that is broken.
func FuzzRestoreQuotas(f *testing.F) {
	f.Add("limit[0]", "api.test", `{"usual":true,"gate":"2026-01-01T00:00:00Z","until":"2100-01-01T00:00:00Z","n":5}`, 3)
	f.Add("limit[1]", "api.test", `{"at":"2026-01-01T00:00:00Z","until":"2100-01-01T00:00:00Z","left":-1e300}`, 1)
	f.Add("limit[0]", "api.test", `{"until":"2100-01-01T00:00:00Z","log":[{"t":9007199254740992,"n":9223372036854775807},{"t":1,"n":1}]}`, 70)
	for _, refill := range []string{"window", "bucket", "rolling"} {
		f.Add("limit[0]", "api.test\ncore", `{"usual":true,"until":"2100-01-01T00:00:00Z","learned":{"refill":"`+refill+`","limit":1e300,"window":-5,"left":-1e300,"speed":-1,"weight":1e300}}`, 2)
	}
	f.Fuzz(func(t *testing.T, table, key, state string, calls int) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1}))
			set := r.compile(plain+`
limit = [{ rate = "50/h" }, { rate = "9/h", burst = 9, max_wait = "1s" }, { rate = "50/h", shape = "window" }]`, nil)
			set.RestoreQuotas([]policy.KeptQuota{{Upstream: "api", Table: table, Key: key, State: []byte(state)}})
			sent := 0
			for range min(max(calls, 0), 20) {
				if refusedAfter(t, set, "/") == 0 {
					sent++
				}
			}
			if sent > 9 {
				t.Errorf("%d were sent of 9", sent)
			}
			set.Status()
			set.KeptQuotas()
		})
	})
}
