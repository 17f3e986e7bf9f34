package quota_test

import (
	"net/http"
	"testing"
	"time"

	"outrider/policy/quota"
)

// spoken are fields that the fuzzer puts its values into; the values are seeds.
var spoken = []struct{ field, value string }{
	{"RateLimit", `"default";r=50;t=30;pk=:QXBwLTk5OQ==:`},
	{"RateLimit", "limit=100, remaining=50, reset=30"},
	{"RateLimit-Policy", `"default";q=100;w=60;qu="content-bytes"`},
	{"RateLimit-Policy", "100;w=60, 1000;w=3600"},
	{"RateLimit-Limit", "100, 100;w=60"},
	{"RateLimit-Remaining", "76;w=21600"},
	{"RateLimit-Reset", "1772445660"},
	{"Beta-RateLimit", `"global-app-quota";r=11000;t=600`},
	{"X-RateLimit-Limit", "5000"},
	{"X-RateLimit-Remaining", "594.0"},
	{"X-RateLimit-Used", "1"},
	{"X-RateLimit-Reset", "2026-03-02T10:01Z"},
	{"X-RateLimit-Reset-After", "1.25"},
	{"X-RateLimit-Next", "2026-03-02T10:00:01.5Z"},
	{"X-RateLimit-Resource", "core"},
	{"X-RateLimit-Reset-Tokens", "6m0s"},
	{"X-Rate-Limit-Reset", "1772445660000"},
	{"Anthropic-RateLimit-Requests-Reset", "2026-03-02T11:01:00+01:00"},
	{"X-HubSpot-RateLimit-Interval-Milliseconds", "10000"},
	{"X-Shopify-Shop-Api-Call-Limit", "32/40"},
	{"Sforce-Limit-Info", "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)"},
	{"Date", "Mon, 02 Mar 2026 11:00:00 GMT"},
	{"Date", "Thu, 01 Jan 1970 00:00:00 GMT"},
}

// Whatever two fields hold, beside a third that is fine, the views stay within
// their bounds, and are the same again.
func FuzzParse(f *testing.F) {
	for i, one := range spoken {
		f.Add(uint8(i), one.value, uint8(i+1), "-1")
		f.Add(uint8(i), "99999999999999999999", uint8(i+2), one.value)
		f.Add(uint8(i), one.value, uint8(i+3), one.value)
	}
	dialects := []*quota.Dialect{nil}
	for _, name := range quota.Names() {
		d, _ := quota.Named(name)
		dialects = append(dialects, d)
	}
	f.Fuzz(func(t *testing.T, i uint8, a string, j uint8, b string) {
		header := http.Header{}
		header.Add(spoken[int(i)%len(spoken)].field, a)
		header.Add(spoken[int(j)%len(spoken)].field, b)
		header.Add("X-Sib-RateLimit-Remaining", "7")
		for _, d := range dialects {
			got := quota.Parse(header, arrival, d)
			again := quota.Parse(header, arrival, d)
			for k, v := range got {
				inBounds(t, v)
				if v != again[k] {
					t.Fatalf("%+v, and then %+v", v, again[k])
				}
				if until, exhausted := quota.Exhausted(got[k:k+1], 429, false, arrival); !exhausted && !until.IsZero() ||
					!until.IsZero() && (until.Before(arrival) || until.After(in(quota.MaxReset))) {
					t.Fatalf("%+v holds until %v", v, until)
				}
			}
		}
		got := quota.Parse(header, arrival, nil)
		if len(got) > 16 || len(got) == 0 || got[len(got)-1].Remaining != n(7) {
			t.Fatalf("the field that is fine is lost: %+v", got)
		}
	})
}

func inBounds(t *testing.T, v quota.View) {
	t.Helper()
	for _, c := range []quota.Count{v.Limit, v.Remaining, v.Used, v.Asked, v.Taken} {
		if !(c.N >= 0 && c.N <= quota.MaxCount) || !c.Known && c.N != 0 {
			t.Fatalf("count %v in %+v", c, v)
		}
	}
	switch {
	case v.Limit.Known && v.Limit.N == 0, v.Limit.Known && v.Remaining.N > v.Limit.N,
		v.Limit.Known && (v.Asked.N > v.Limit.N || v.Taken.N > v.Limit.N),
		v.Restore < 0, v.Restore > 0 && v.Limit.N/v.Restore > quota.MaxReset.Seconds(),
		v.Window < 0, v.Window > quota.MaxWindow,
		!v.Reset.IsZero() && (v.Reset.Before(arrival) || v.Reset.After(in(quota.MaxReset))),
		v.Refill > quota.Gradual, len(v.Bucket) > 64, len(v.Partition) > 64, len(v.Unit) > 64,
		!v.Limit.Known && !v.Remaining.Known && !v.Used.Known && v.Reset.IsZero():
		t.Fatalf("%+v", v)
	}
	if v.Spent() && v.Remaining.N >= 1 || v.Back(1, arrival).After(in(quota.MaxReset)) {
		t.Fatalf("spent %v, back %v: %+v", v.Spent(), v.Back(1, arrival), v)
	}
	for _, name := range []string{v.Bucket, v.Partition, string(v.Unit)} {
		for _, c := range []byte(name) {
			if c <= ' ' || c > '~' {
				t.Fatalf("name %q", name)
			}
		}
	}
	if d := v.Reset.Sub(arrival); !v.Reset.IsZero() && d > 31*24*time.Hour {
		t.Fatalf("reset in %v", d)
	}
}
