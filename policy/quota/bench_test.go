package quota_test

import (
	"net/http"
	"testing"

	"outrider/policy/quota"
)

// usual is what any response carries.
func usual(lines ...string) http.Header {
	return fields(append(lines, "Date: Mon, 02 Mar 2026 10:00:00 GMT", "Server: nginx", "Content-Length: 512", "Cache-Control: no-store",
		"Etag: \"abc\"", "Vary: Accept", "Strict-Transport-Security: max-age=31536000", "X-Request-Id: 0123456789abcdef",
		"X-Content-Type-Options: nosniff", "Connection: keep-alive", "Access-Control-Allow-Origin: *")...)
}

var benchmarked = []struct {
	name   string
	header http.Header
	allocs float64 // at most
}{
	{"none", usual(), 0},
	{"github", usual("X-RateLimit-Limit: 5000", "X-RateLimit-Remaining: 4999", "X-RateLimit-Used: 1", "X-RateLimit-Reset: 1772448900", "X-RateLimit-Resource: core"), 2},
	{"openai", usual("X-RateLimit-Limit-Requests: 60", "X-RateLimit-Remaining-Requests: 59", "X-RateLimit-Reset-Requests: 1s",
		"X-RateLimit-Limit-Tokens: 150000", "X-RateLimit-Remaining-Tokens: 149984", "X-RateLimit-Reset-Tokens: 6m0s"), 2},
	{"ietf", usual(`RateLimit: "default";r=50;t=30`, `RateLimit-Policy: "default";q=100;w=60`), 30},
	{"draft06", usual("RateLimit-Limit: 100", "RateLimit-Remaining: 50", "RateLimit-Reset: 30"), 2},
}

func TestParseAllocatesLittleAndNothingWithoutQuotaFields(t *testing.T) {
	for _, b := range benchmarked { // what was read, and its views
		if got := testing.AllocsPerRun(100, func() { quota.Parse(b.header, arrival, nil) }); got > b.allocs {
			t.Errorf("%s: %v allocations, at most %v", b.name, got, b.allocs)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, one := range benchmarked {
		b.Run(one.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				quota.Parse(one.header, arrival, nil)
			}
		})
	}
}
