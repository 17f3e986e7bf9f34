package quota_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/policy/quota"
)

// arrival is when the responses of these tests arrive: 1772445600 as an epoch.
var arrival = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// fields makes a header of "Name: value" lines.
func fields(lines ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func in(d time.Duration) time.Time { return arrival.Add(d) }

var n = quota.Known

type views = []quota.View

// What each provider sends, and what it means. The resets are what matters:
// in which unit, and whether it is one.
func TestEachProviderIsUnderstoodWithoutConfiguration(t *testing.T) {
	for _, test := range []struct {
		name   string
		header http.Header
		want   views
	}{
		{"GitHub", fields("X-RateLimit-Limit: 5000", "X-RateLimit-Remaining: 4999", "X-RateLimit-Used: 1",
			"X-RateLimit-Reset: 1772448900", "X-RateLimit-Resource: core"),
			views{{Bucket: "core", Unit: quota.Requests, Limit: n(5000), Remaining: n(4999), Used: n(1), Reset: in(55 * time.Minute), Refill: quota.Whole}}},
		{"GitHub's GraphQL counts points", fields("X-RateLimit-Limit: 5000", "X-RateLimit-Remaining: 4980", "X-RateLimit-Resource: graphql"),
			views{{Bucket: "graphql", Unit: quota.Points, Limit: n(5000), Remaining: n(4980)}}},
		{"GitLab: an epoch where the draft has seconds", fields("RateLimit-Limit: 600", "RateLimit-Observed: 1", "RateLimit-Remaining: 599", "RateLimit-Reset: 1772445660"),
			views{{Unit: quota.Requests, Limit: n(600), Remaining: n(599), Used: n(1), Reset: in(time.Minute)}}},
		{"Reddit: fractions, and no limit", fields("X-Ratelimit-Used: 6", "X-Ratelimit-Remaining: 594.0", "X-Ratelimit-Reset: 344.5"),
			views{{Unit: quota.Requests, Limit: n(600), Remaining: n(594), Used: n(6), Reset: in(344500 * time.Millisecond), Refill: quota.Whole}}},
		{"Twitter", fields("X-Rate-Limit-Limit: 900", "X-Rate-Limit-Remaining: 898", "X-Rate-Limit-Reset: 1772446500"),
			views{{Unit: quota.Requests, Limit: n(900), Remaining: n(898), Reset: in(15 * time.Minute), Refill: quota.Whole}}},
		{"Vimeo: an HTTP-date", fields("X-RateLimit-Limit: 250", "X-RateLimit-Remaining: 240", "X-RateLimit-Reset: Mon, 02 Mar 2026 10:01:00 GMT"),
			views{{Unit: quota.Requests, Limit: n(250), Remaining: n(240), Reset: in(time.Minute), Refill: quota.Whole}}},
		{"Akamai: when one more may go", fields("X-RateLimit-Limit: 60", "X-RateLimit-Remaining: 0", "X-RateLimit-Next: 2026-03-02T10:00:01.5Z"),
			views{{Unit: quota.Requests, Limit: n(60), Remaining: n(0), Reset: in(1500 * time.Millisecond), Refill: quota.Some}}},
		{"Atlassian: no seconds; and points, ahead of the standard", fields("X-RateLimit-Limit: 350", "X-RateLimit-Remaining: 60",
			"X-RateLimit-Reset: 2026-03-02T10:01Z", "X-RateLimit-NearLimit: true",
			`Beta-RateLimit: "global-app-quota";r=11000;t=600`, `Beta-RateLimit-Policy: "global-app-quota";q=65000;w=3600`),
			views{
				{Bucket: "global-app-quota", Unit: quota.Points, Limit: n(65000), Remaining: n(11000), Window: time.Hour, Reset: in(10 * time.Minute)},
				{Unit: quota.Requests, Limit: n(350), Remaining: n(60), Reset: in(time.Minute), Refill: quota.Whole},
			}},
		{"OpenAI: durations until all is back", fields("X-RateLimit-Limit-Requests: 60", "X-RateLimit-Remaining-Requests: 59", "X-RateLimit-Reset-Requests: 1s",
			"X-RateLimit-Limit-Tokens: 150000", "X-RateLimit-Remaining-Tokens: 149984", "X-RateLimit-Reset-Tokens: 6m0s"),
			views{
				{Bucket: "requests", Unit: quota.Requests, Limit: n(60), Remaining: n(59), Reset: in(time.Second), Refill: quota.Gradual},
				{Bucket: "tokens", Unit: quota.Tokens, Limit: n(150000), Remaining: n(149984), Reset: in(6 * time.Minute), Refill: quota.Gradual},
			}},
		{"the fields of OpenAI, elsewhere", fields("X-RateLimit-Remaining-Tokens: 17999", "X-RateLimit-Reset-Tokens: 7.66s"),
			views{{Bucket: "tokens", Unit: quota.Tokens, Remaining: n(17999), Reset: in(7660 * time.Millisecond), Refill: quota.Gradual}}},
		{"Anthropic: RFC 3339", fields("Anthropic-RateLimit-Requests-Limit: 50", "Anthropic-RateLimit-Requests-Remaining: 49", "Anthropic-RateLimit-Requests-Reset: 2026-03-02T10:00:02Z",
			"Anthropic-RateLimit-Tokens-Limit: 80000", "Anthropic-RateLimit-Tokens-Remaining: 0", "Anthropic-RateLimit-Tokens-Reset: 2026-03-02T11:01:00+01:00",
			"Anthropic-RateLimit-Input-Tokens-Remaining: 7", "Anthropic-RateLimit-Output-Tokens-Remaining: 8"),
			views{
				{Bucket: "requests", Unit: quota.Requests, Limit: n(50), Remaining: n(49), Reset: in(2 * time.Second), Refill: quota.Gradual},
				{Bucket: "tokens", Unit: quota.Tokens, Limit: n(80000), Remaining: n(0), Reset: in(time.Minute), Refill: quota.Gradual},
				{Bucket: "input-tokens", Unit: quota.Tokens, Remaining: n(7)},
				{Bucket: "output-tokens", Unit: quota.Tokens, Remaining: n(8)},
			}},
		{"Shopify: used of a bucket", fields("X-Shopify-Shop-Api-Call-Limit: 32/40"),
			views{{Unit: quota.Requests, Limit: n(40), Remaining: n(8), Used: n(32)}}},
		{"Salesforce", fields("Sforce-Limit-Info: api-usage=25/5000"),
			views{{Bucket: "api-usage", Unit: quota.Requests, Limit: n(5000), Remaining: n(4975), Used: n(25), Window: 24 * time.Hour}}},
		{"Salesforce, and an app with its own", fields("Sforce-Limit-Info: api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)"),
			views{
				{Bucket: "api-usage", Unit: quota.Requests, Limit: n(5000), Remaining: n(4975), Used: n(25), Window: 24 * time.Hour},
				{Bucket: "per-app-api-usage", Partition: "sample-app", Unit: quota.Requests, Limit: n(250), Remaining: n(233), Used: n(17), Window: 24 * time.Hour},
			}},
		{"Salesforce lets a day pass its limit, for a while", fields("Sforce-Limit-Info: api-usage=110018/100000; api-bursts=1/750"),
			views{{Bucket: "api-usage", Unit: quota.Requests, Limit: n(100000), Remaining: n(0), Used: n(110018), Window: 24 * time.Hour}}},
		{"HubSpot: the interval is a window, not a reset", fields("X-HubSpot-RateLimit-Max: 190", "X-HubSpot-RateLimit-Remaining: 0", "X-HubSpot-RateLimit-Interval-Milliseconds: 10000",
			"X-HubSpot-RateLimit-Daily: 650000", "X-HubSpot-RateLimit-Daily-Remaining: 649990"),
			views{
				{Unit: quota.Requests, Limit: n(190), Remaining: n(0), Window: 10 * time.Second},
				{Bucket: "daily", Unit: quota.Requests, Limit: n(650000), Remaining: n(649990), Window: 24 * time.Hour},
			}},
		{"Brevo", fields("X-Sib-RateLimit-Limit: 1000", "X-Sib-RateLimit-Remaining: 3", "X-Sib-RateLimit-Reset: 40"),
			views{{Unit: quota.Requests, Limit: n(1000), Remaining: n(3), Reset: in(40 * time.Second), Refill: quota.Whole}}},
		{"Docker: parameters behind the numbers", fields("RateLimit-Limit: 100;w=21600", "RateLimit-Remaining: 76;w=21600"),
			views{{Bucket: "w=21600", Unit: quota.Requests, Limit: n(100), Remaining: n(76), Window: 6 * time.Hour}}},
		{"Kong: the window in the name", fields("X-RateLimit-Limit-Minute: 100", "X-RateLimit-Remaining-Minute: 99", "X-RateLimit-Limit-Hour: 1000", "X-RateLimit-Remaining-Hour: 5",
			"RateLimit-Limit: 100", "RateLimit-Remaining: 99", "RateLimit-Reset: 17"),
			views{
				{Unit: quota.Requests, Limit: n(100), Remaining: n(99), Reset: in(17 * time.Second)},
				{Bucket: "minute", Unit: quota.Requests, Limit: n(100), Remaining: n(99), Window: time.Minute},
				{Bucket: "hour", Unit: quota.Requests, Limit: n(1000), Remaining: n(5), Window: time.Hour},
			}},
		{"requests and tokens before the part", fields("X-RateLimit-Requests-Limit: 10", "X-RateLimit-Requests-Remaining: 9", "X-RateLimit-Requests-Reset: 30", "X-RateLimit-Tokens-Remaining: 100"),
			views{
				{Bucket: "requests", Unit: quota.Requests, Limit: n(10), Remaining: n(9), Reset: in(30 * time.Second), Refill: quota.Whole},
				{Bucket: "tokens", Unit: quota.Tokens, Remaining: n(100)},
			}},
		{"seconds from now go before an epoch of whole seconds", fields("X-RateLimit-Bucket: abcd1234", "X-RateLimit-Limit: 5", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1772445602.123", "X-RateLimit-Reset-After: 1.250"),
			views{{Bucket: "abcd1234", Unit: quota.Requests, Limit: n(5), Remaining: n(0), Reset: in(1250 * time.Millisecond), Refill: quota.Whole}}},
		{"only a reset", fields("X-RateLimit-Reset: 30"), views{{Unit: quota.Requests, Reset: in(30 * time.Second), Refill: quota.Whole}}},
		{"no field about quotas", fields("Retry-After: 30", "Date: Mon, 02 Mar 2026 10:00:00 GMT"), nil},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.header, nil, test.want) })
	}
}

func TestTheDraftIsUnderstoodInEveryRevision(t *testing.T) {
	for _, test := range []struct {
		name   string
		header http.Header
		want   views
	}{
		{"8: service limit and policy", fields(`RateLimit: "default";r=50;t=30`, `RateLimit-Policy: "default";q=100;w=60`),
			views{{Bucket: "default", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second)}}},
		{"names as tokens", fields(`RateLimit: default;r=50;t=30`, `RateLimit-Policy: default;q=100;w=60`),
			views{{Bucket: "default", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second)}}},
		{"several, and one whose rest is not said", fields(`RateLimit: "hour";r=900;t=1200, "minute";r=0;t=3`, `RateLimit-Policy: "minute";q=50;w=60,"hour";q=1000;w=3600,"day";q=5000;w=86400`),
			views{
				{Bucket: "hour", Unit: quota.Requests, Limit: n(1000), Remaining: n(900), Window: time.Hour, Reset: in(20 * time.Minute)},
				{Bucket: "minute", Unit: quota.Requests, Limit: n(50), Remaining: n(0), Window: time.Minute, Reset: in(3 * time.Second)},
				{Bucket: "day", Unit: quota.Requests, Limit: n(5000), Window: 24 * time.Hour},
			}},
		{"a list on several lines", fields(`RateLimit: "a";r=1;t=2`, `RateLimit: "b";r=3;t=4`),
			views{
				{Bucket: "a", Unit: quota.Requests, Remaining: n(1), Reset: in(2 * time.Second)},
				{Bucket: "b", Unit: quota.Requests, Remaining: n(3), Reset: in(4 * time.Second)},
			}},
		{"bytes, and a partition", fields(`RateLimit: "peruser";r=300;t=5;pk=:QXBwLTk5OQ==:`, `RateLimit-Policy: "peruser";q=65535;qu="content-bytes";w=10;pk=:QXBwLTk5OQ==:`),
			views{{Bucket: "peruser", Partition: "QXBwLTk5OQ==", Unit: quota.Bytes, Limit: n(65535), Remaining: n(300), Window: 10 * time.Second, Reset: in(5 * time.Second)}}},
		{"partitions are apart", fields(`RateLimit: "p";r=1;pk=:YQ==:, "p";r=2;pk=:Yg==:`, `RateLimit-Policy: "p";q=10;pk=:Yg==:, "p";q=20;pk=:YQ==:`),
			views{
				{Bucket: "p", Partition: "YQ==", Unit: quota.Requests, Limit: n(20), Remaining: n(1)},
				{Bucket: "p", Partition: "Yg==", Unit: quota.Requests, Limit: n(10), Remaining: n(2)},
			}},
		{"a partition that only the policy names", fields(`RateLimit: "p";r=1`, `RateLimit-Policy: "p";q=10;pk=:YQ==:`),
			views{{Bucket: "p", Partition: "YQ==", Unit: quota.Requests, Limit: n(10), Remaining: n(1)}}},
		{"a policy of all partitions", fields(`RateLimit: "p";r=1;pk=:YQ==:, "p";r=2;pk=:Yg==:`, `RateLimit-Policy: "p";q=10`),
			views{
				{Bucket: "p", Partition: "YQ==", Unit: quota.Requests, Limit: n(10), Remaining: n(1)},
				{Bucket: "p", Partition: "Yg==", Unit: quota.Requests, Limit: n(10), Remaining: n(2)},
			}},
		{"one of several partitions, and nobody knows which", fields(`RateLimit: "p";r=1`, `RateLimit-Policy: "p";q=10;pk=:YQ==:, "p";q=20;pk=:Yg==:`),
			views{
				{Bucket: "p", Unit: quota.Requests, Remaining: n(1)},
				{Bucket: "p", Partition: "YQ==", Unit: quota.Requests, Limit: n(10)},
				{Bucket: "p", Partition: "Yg==", Unit: quota.Requests, Limit: n(20)},
			}},
		{"decimals, which the draft does not have", fields(`RateLimit: "p";r=0.5;t=1.25`),
			views{{Bucket: "p", Unit: quota.Requests, Remaining: n(0.5), Reset: in(1250 * time.Millisecond)}}},
		{"policies that are none", fields(`RateLimit-Policy: ("a" "b");q=1, ?1;q=2, "c";q=-3, "d";q=4;w=soon`),
			views{{Bucket: "d", Unit: quota.Requests, Limit: n(4)}}},
		{"calls at once have no window", fields(`RateLimit: "crm";r=0`, `RateLimit-Policy: "crm";q=10;qu="concurrent-requests"`),
			views{{Bucket: "crm", Unit: quota.Concurrency, Limit: n(10), Remaining: n(0)}}},
		{"a unit of their own", fields(`RateLimit-Policy: "ai";q=10;qu="acme-credits";w=60`),
			views{{Bucket: "ai", Unit: "acme-credits", Limit: n(10), Window: time.Minute}}},
		{"a unit that is no name", fields(`RateLimit-Policy: "ai";q=10;qu=7`),
			views{{Bucket: "ai", Limit: n(10)}}},
		{"no reset", fields(`RateLimit: "default";r=999`),
			views{{Bucket: "default", Unit: quota.Requests, Remaining: n(999)}}},

		{"7: a dictionary", fields("RateLimit: limit=100, remaining=50, reset=30", "RateLimit-Policy: 100;w=60"),
			views{{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second)}}},
		{"7: the policy of that limit", fields("RateLimit: limit=1000, remaining=50, reset=30", "RateLimit-Policy: 10;w=1, 1000;w=3600"),
			views{
				{Bucket: "w=3600", Unit: quota.Requests, Limit: n(1000), Remaining: n(50), Window: time.Hour, Reset: in(30 * time.Second)},
				{Bucket: "w=1", Unit: quota.Requests, Limit: n(10), Window: time.Second},
			}},
		{"7: another policy than that of the limit", fields("RateLimit: limit=50, remaining=5", "RateLimit-Policy: 100;w=60"),
			views{
				{Unit: quota.Requests, Limit: n(50), Remaining: n(5)},
				{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Window: time.Minute},
			}},
		{"7: several policies, where the limit is not said", fields("RateLimit: remaining=5", "RateLimit-Policy: 100;w=60, 1000;w=3600"),
			views{
				{Unit: quota.Requests, Remaining: n(5)},
				{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Window: time.Minute},
				{Bucket: "w=3600", Unit: quota.Requests, Limit: n(1000), Window: time.Hour},
			}},
		{"7: the only policy, where the limit is not said", fields("RateLimit: remaining=50", "RateLimit-Policy: 100;w=60"),
			views{{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute}}},

		{"6: three fields", fields("RateLimit-Limit: 100", "RateLimit-Remaining: 50", "RateLimit-Reset: 30"),
			views{{Unit: quota.Requests, Limit: n(100), Remaining: n(50), Reset: in(30 * time.Second)}}},
		{"6: and a policy", fields("RateLimit-Limit: 100", "RateLimit-Remaining: 50", "RateLimit-Reset: 30", "RateLimit-Policy: 100;w=60"),
			views{{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second)}}},
		{"5: policies behind the limit", fields("RateLimit-Limit: 100, 100;w=60, 1000;w=3600", "RateLimit-Remaining: 50", "RateLimit-Reset: 30"),
			views{
				{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second)},
				{Bucket: "w=3600", Unit: quota.Requests, Limit: n(1000), Window: time.Hour},
			}},
		{"5: policies behind the limit, and again", fields("RateLimit-Limit: 100, 100;w=60", "RateLimit-Remaining: 50", "RateLimit-Policy: 100;w=60"),
			views{{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute}}},
		{"0: the window is written out", fields("RateLimit-Limit: 10, 10;window=1", "RateLimit-Remaining: 9"),
			views{{Bucket: "w=1", Unit: quota.Requests, Limit: n(10), Remaining: n(9), Window: time.Second}}},
		{"the same form with an X", fields("X-RateLimit-Limit: 100, 100;w=60", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 30"),
			views{{Bucket: "w=60", Unit: quota.Requests, Limit: n(100), Remaining: n(50), Window: time.Minute, Reset: in(30 * time.Second), Refill: quota.Whole}}},
		{"the newest form goes first", fields(`RateLimit: "default";r=50;t=30`, "RateLimit-Limit: 100", "RateLimit-Remaining: 51", "RateLimit-Reset: 31"),
			views{{Bucket: "default", Unit: quota.Requests, Remaining: n(50), Reset: in(30 * time.Second)}}},
		{"a newest form that is malformed does not", fields(`RateLimit: "default;r=50`, "RateLimit-Limit: 100", "RateLimit-Remaining: 51", "RateLimit-Reset: 31"),
			views{{Unit: quota.Requests, Limit: n(100), Remaining: n(51), Reset: in(31 * time.Second)}}},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.header, nil, test.want) })
	}
}

// What does not make sense is left out by itself; the rest stays.
func TestNonsenseIsIgnoredFieldByField(t *testing.T) {
	remaining := func(rest ...quota.View) views { return rest }
	for _, test := range []struct {
		name   string
		header http.Header
		want   views
	}{
		{"a negative remaining", fields("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: -1"), remaining(quota.View{Unit: quota.Requests, Limit: n(100)})},
		{"not a number", fields("X-RateLimit-Limit: NaN", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"infinity", fields("X-RateLimit-Limit: Inf", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"an exponent", fields("X-RateLimit-Limit: 1e3", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"more than anybody allows", fields("X-RateLimit-Limit: 99999999999999999999", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"a word", fields("X-RateLimit-Limit: unlimited", "X-RateLimit-Remaining: unlimited"), nil},
		{"empty", fields("X-RateLimit-Limit: ", "X-RateLimit-Remaining: ", "RateLimit: ", "RateLimit-Policy: "), nil},
		{"a limit of 0 is none", fields("X-RateLimit-Limit: 0", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 0"), nil},
		{"more left than there is", fields("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 150"), remaining(quota.View{Unit: quota.Requests, Limit: n(100), Remaining: n(100)})},
		{"twice, and not the same", fields("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 4000"), remaining(quota.View{Unit: quota.Requests, Limit: n(100)})},
		{"a list of limits without windows", fields("X-RateLimit-Limit: 10, 100", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"a limit per hour, in words", fields("X-RateLimit-Limit: 100 per hour", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"a resource with a space", fields("X-RateLimit-Resource: a b", "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"a resource without end", fields("X-RateLimit-Resource: "+strings.Repeat("x", 65), "X-RateLimit-Remaining: 5"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"half a ratio", fields("X-Shopify-Shop-Api-Call-Limit: 32"), nil},
		{"a negative ratio", fields("X-Shopify-Shop-Api-Call-Limit: -1/40"), nil},
		{"a ratio of nothing", fields("X-Shopify-Shop-Api-Call-Limit: 0/0"), nil},
		{"Salesforce without numbers", fields("Sforce-Limit-Info: api-usage=; per-app-api-usage=x/y(appName=)"), nil},
		{"a window that is too long", fields("X-HubSpot-RateLimit-Remaining: 5", "X-HubSpot-RateLimit-Interval-Milliseconds: 99999999999999"), remaining(quota.View{Unit: quota.Requests, Remaining: n(5)})},
		{"an item with a negative rest", fields(`RateLimit: "p";r=-1;t=30`), remaining(quota.View{Bucket: "p", Unit: quota.Requests, Reset: in(30 * time.Second)})},
		{"an item with a negative reset", fields(`RateLimit: "p";r=1;t=-30`), remaining(quota.View{Bucket: "p", Unit: quota.Requests, Remaining: n(1)})},
		{"an item with a reset in words", fields(`RateLimit: "p";r=1;t="soon"`), remaining(quota.View{Bucket: "p", Unit: quota.Requests, Remaining: n(1)})},
		{"an item without a name", fields(`RateLimit: 5;r=1;t=2`), nil},
		{"an inner list", fields(`RateLimit: ("a" "b");r=1;t=2`), nil},
		{"a partition that is no key", fields(`RateLimit: "p";r=1;pk=?1`), nil},
		{"a dictionary of words", fields("RateLimit: limit=many, remaining=(1 2), reset=-1, more=5"), nil},
		{"a field that is longer than any in earnest", fields(`RateLimit: "p";r=1;x="` + strings.Repeat("x", 4096) + `"`), nil},
		{"fields that are about something else", fields("X-RateLimit-NearLimit: true", "X-Upload-Limit: 5", "RateLimit-Reason: jira-burst-based"), nil},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, test.header, nil, test.want) })
	}
}

func TestResetIsReadInItsUnit(t *testing.T) {
	date := "Date: Mon, 02 Mar 2026 10:00:00 GMT"
	for value, want := range map[string]time.Time{
		"0":                             in(0),
		"30":                            in(30 * time.Second),
		"2.0":                           in(2 * time.Second),
		"0.25":                          in(250 * time.Millisecond),
		"0.0000000001":                  in(1), // never early
		"2678400":                       in(quota.MaxReset),
		"2678401":                       {},
		"999999999":                     {},
		"1772445630":                    in(30 * time.Second),
		"1772445630.5":                  in(30500 * time.Millisecond),
		"1772445630500":                 in(30500 * time.Millisecond),
		"1772445000":                    in(0), // has passed
		"1000000001":                    {},    // long ago
		"4000000000":                    {},    // far away
		"1772445630000000":              {},    // microseconds
		"1s":                            in(time.Second),
		"12ms":                          in(12 * time.Millisecond),
		"6m0s":                          in(6 * time.Minute),
		"1h2m3.5s":                      in(time.Hour + 2*time.Minute + 3500*time.Millisecond),
		"9000h":                         {},
		"99999999h99999999h":            {},
		"-1":                            {},
		"-6m0s":                         {},
		"+5":                            {},
		"1d":                            {},
		"days":                          {},
		"NaN":                           {},
		"1e3":                           {},
		"":                              {},
		"2026-03-02T10:00:30Z":          in(30 * time.Second),
		"2026-03-02T10:00:30.25Z":       in(30250 * time.Millisecond),
		"2026-03-02T11:00:30+01:00":     in(30 * time.Second),
		"2026-03-02T11:00:30+0100":      in(30 * time.Second),
		"2026-03-02T10:00:30.000+0000":  in(30 * time.Second),
		"2026-03-02T10:01Z":             in(time.Minute),
		"2026-03-02T10:01":              {}, // of which zone?
		"2026-03-02":                    {},
		"2026-13-02T10:00:30Z":          {},
		"9999-03-02T10:00:30Z":          {},
		"Mon, 02 Mar 2026 10:00:30 GMT": in(30 * time.Second),
		"Mon, 02 Mar 2026 10:00:30 EST": {},
		"Mon Mar  2 10:00:30 2026":      in(30 * time.Second),
	} {
		var want = want
		got := quota.Parse(fields("X-RateLimit-Remaining: 1", "X-RateLimit-Reset: "+value, date), arrival, nil)
		if len(got) != 1 || !got[0].Reset.Equal(want) || got[0].Remaining != n(1) {
			t.Errorf("%q: %+v, want %v", value, got, want)
		}
	}
}

// An instant of the provider's clock means nothing on ours until both are
// compared. A number of seconds means the same on both.
func TestResetIsFreedOfClockSkew(t *testing.T) {
	for name, test := range map[string]struct {
		header http.Header
		want   time.Time
	}{
		"an hour ahead":      {fields("X-RateLimit-Reset: 1772449230", "Date: Mon, 02 Mar 2026 11:00:00 GMT"), in(30 * time.Second)},
		"an hour behind":     {fields("X-RateLimit-Reset: 1772442030", "Date: Mon, 02 Mar 2026 09:00:00 GMT"), in(30 * time.Second)},
		"ISO without second": {fields("X-RateLimit-Reset: 2026-03-02T11:01Z", "Date: Mon, 02 Mar 2026 11:00:00 GMT"), in(time.Minute)},
		"HTTP-date":          {fields("X-RateLimit-Reset: Mon, 02 Mar 2026 11:00:30 GMT", "Date: Mon, 02 Mar 2026 11:00:00 GMT"), in(30 * time.Second)},
		"no Date":            {fields("X-RateLimit-Reset: 1772445630"), in(30 * time.Second)},
		"a malformed Date":   {fields("X-RateLimit-Reset: 1772445630", "Date: today"), in(30 * time.Second)},
		"a Date of 1970":     {fields("X-RateLimit-Reset: 1772445630", "Date: Thu, 01 Jan 1970 00:00:00 GMT"), time.Time{}},
		"seconds from now":   {fields("X-RateLimit-Reset: 30", "Date: Mon, 02 Mar 2026 11:00:00 GMT"), in(30 * time.Second)},
		"a duration":         {fields("X-RateLimit-Reset: 30s", "Date: Mon, 02 Mar 2026 11:00:00 GMT"), in(30 * time.Second)},
	} {
		test.header.Set("X-RateLimit-Remaining", "1")
		if got := quota.Parse(test.header, arrival, nil); len(got) != 1 || !got[0].Reset.Equal(test.want) {
			t.Errorf("%s: %+v, want %v", name, got, test.want)
		}
	}
}

// A cache repeats what was left for whoever filled it.
func TestCachedAnswerSaysNothing(t *testing.T) {
	for age, want := range map[string]int{"": 1, "0": 1, " 0 ": 1, "1": 0, "3600": 0, "-1": 0, "old": 0} {
		if got := quota.Parse(fields("X-RateLimit-Remaining: 5", "Age: "+age), arrival, nil); len(got) != want {
			t.Errorf("Age %q: %+v", age, got)
		}
	}
}

func TestNamedDialectReadsItsOwnFieldsInItsOwnUnit(t *testing.T) {
	for _, test := range []struct {
		dialect string
		header  http.Header
		want    views
	}{
		{"github", fields("X-RateLimit-Remaining: 5", "X-RateLimit-Reset: 3600", "RateLimit-Remaining: 7"),
			views{{Unit: quota.Requests, Remaining: n(5)}}},
		{"gitlab", fields("RateLimit-Remaining: 5", "RateLimit-Reset: 1772445660"),
			views{{Unit: quota.Requests, Remaining: n(5), Reset: in(time.Minute), Refill: quota.Whole}}},
		{"milliseconds", fields("X-Rate-Limit-Remaining: 0", "X-Rate-Limit-Reset: 600000"),
			views{{Unit: quota.Requests, Remaining: n(0), Reset: in(10 * time.Minute), Refill: quota.Whole}}},
		{"openai", fields("X-RateLimit-Remaining-Requests: 0", "X-RateLimit-Reset-Requests: 20"),
			views{{Bucket: "requests", Unit: quota.Requests, Remaining: n(0), Refill: quota.Some}}},
		{"reddit", fields("X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 1772445660"),
			views{{Unit: quota.Requests, Remaining: n(0), Refill: quota.Some}}},
		{"shopify", fields("X-RateLimit-Remaining: 0"), nil},
	} {
		d, ok := quota.Named(test.dialect)
		if !ok {
			t.Fatalf("no dialect %s", test.dialect)
		}
		expect(t, test.header, d, test.want)
	}
	if _, ok := quota.Named("klingon"); ok {
		t.Error("klingon is spoken")
	}
	if names := quota.Names(); !slices.IsSorted(names) || !slices.Contains(names, "github") {
		t.Errorf("names %q", names)
	}
}

func TestViewsAreBoundedInNumber(t *testing.T) {
	items := strings.Repeat(`"p";r=1,`, 100) + `"p";r=1`
	if got := quota.Parse(fields("RateLimit: "+items), arrival, nil); len(got) != 16 {
		t.Errorf("%d views", len(got))
	}
}

func expect(t *testing.T, header http.Header, d *quota.Dialect, want views) {
	t.Helper()
	for range 10 { // a map has no order, and the views have
		got := quota.Parse(header, arrival, d)
		if !slices.Equal(got, want) {
			t.Fatalf("%v:\n got %+v\nwant %+v", header, got, want)
		}
	}
}
