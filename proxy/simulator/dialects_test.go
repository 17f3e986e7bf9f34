package simulator_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

// The headers of each dialect, word for word, at half past three seconds into
// a window of a minute that holds two calls: the second call, which is let
// in, and the third, which is not. The clock stands at 2000-01-01T00:00:03.5Z.
var dialectGolden = map[string]struct {
	admitted, refused string
	status            int
}{
	"ietf": {
		`RateLimit: "crm";r=0;t=57 | RateLimit-Policy: "crm";q=2;w=60`,
		`RateLimit: "crm";r=0;t=57 | RateLimit-Policy: "crm";q=2;w=60 | Retry-After: 57`, 429},
	"draft07": {
		`RateLimit: limit=2, remaining=0, reset=57 | RateLimit-Policy: 2;w=60`,
		`RateLimit: limit=2, remaining=0, reset=57 | RateLimit-Policy: 2;w=60 | Retry-After: 57`, 429},
	"draft06": {
		`RateLimit-Limit: 2 | RateLimit-Remaining: 0 | RateLimit-Reset: 57`,
		`RateLimit-Limit: 2 | RateLimit-Remaining: 0 | RateLimit-Reset: 57 | Retry-After: 57`, 429},
	"gitlab": {
		`RateLimit-Limit: 2 | RateLimit-Remaining: 0 | RateLimit-Reset: 946684860`,
		`RateLimit-Limit: 2 | RateLimit-Remaining: 0 | RateLimit-Reset: 946684860 | Retry-After: 57`, 429},
	"github": {
		`X-RateLimit-Limit: 2 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 946684860 | X-RateLimit-Resource: crm | X-RateLimit-Used: 2`,
		`X-RateLimit-Limit: 2 | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 946684860 | X-RateLimit-Resource: crm | X-RateLimit-Used: 2`, 403},
	"openai": {
		`X-RateLimit-Limit-Requests: 2 | X-RateLimit-Remaining-Requests: 0 | X-RateLimit-Reset-Requests: 56.5s`,
		`Retry-After: 57 | Retry-After-Ms: 56500 | X-RateLimit-Limit-Requests: 2 | X-RateLimit-Remaining-Requests: 0 | X-RateLimit-Reset-Requests: 56.5s | X-Should-Retry: true`, 429},
	"anthropic": {
		`Anthropic-RateLimit-Requests-Limit: 2 | Anthropic-RateLimit-Requests-Remaining: 0 | Anthropic-RateLimit-Requests-Reset: 2000-01-01T00:01:00Z`,
		`Anthropic-RateLimit-Requests-Limit: 2 | Anthropic-RateLimit-Requests-Remaining: 0 | Anthropic-RateLimit-Requests-Reset: 2000-01-01T00:01:00Z | Retry-After: 57`, 429},
	"stripe": {``, ``, 429},
	"shopify": {
		`X-Shopify-Shop-Api-Call-Limit: 2/2`,
		`Retry-After: 56.5 | X-Shopify-Shop-Api-Call-Limit: 2/2`, 429},
	"hubspot": {
		`X-HubSpot-RateLimit-Interval-Milliseconds: 60000 | X-HubSpot-RateLimit-Max: 2 | X-HubSpot-RateLimit-Remaining: 0`,
		`X-HubSpot-RateLimit-Interval-Milliseconds: 60000 | X-HubSpot-RateLimit-Max: 2 | X-HubSpot-RateLimit-Remaining: 0`, 429},
	"atlassian": {
		`X-RateLimit-Limit: 2 | X-RateLimit-NearLimit: true | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 2000-01-01T00:01Z`,
		`RateLimit-Reason: jira-burst-based | Retry-After: 57 | X-RateLimit-Limit: 2 | X-RateLimit-NearLimit: true | X-RateLimit-Remaining: 0 | X-RateLimit-Reset: 2000-01-01T00:01Z`, 429},
	"slack":    {``, `Retry-After: 57`, 429},
	"httpdate": {``, `Retry-After: Sat, 01 Jan 2000 00:01:00 GMT`, 429},
	"none":     {``, ``, 429},
}

func TestEachDialectSaysItInItsOwnWords(t *testing.T) {
	for _, name := range simulator.Dialects() {
		want, ok := dialectGolden[name]
		if !ok {
			t.Errorf("%s: no golden headers", name)
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{Dialect: name, Limit: 2, Per: time.Minute})
			get(sim, "/limited/window/crm")
			time.Sleep(3500 * time.Millisecond)
			admitted := get(sim, "/limited/window/crm")
			refused := get(sim, "/limited/window/crm")
			if got := said(admitted.Header()); admitted.Code != 200 || got != canonical(want.admitted) {
				t.Errorf("%s admitted: %d\n got %s\nwant %s", name, admitted.Code, got, canonical(want.admitted))
			}
			if got := said(refused.Header()); refused.Code != want.status || got != canonical(want.refused) {
				t.Errorf("%s refused: %d\n got %s\nwant %s", name, refused.Code, got, canonical(want.refused))
			}
			if date := refused.Header().Get("Date"); date != "Sat, 01 Jan 2000 00:00:03 GMT" {
				t.Errorf("%s: Date %q", name, date)
			}
		})
	}
}

func TestConcurrencyIsSaidInItsOwnWords(t *testing.T) {
	for name, want := range map[string]struct {
		headers, body string
		status        int
	}{
		"ietf":   {`RateLimit: "crm";r=0 | RateLimit-Policy: "crm";q=1;qu="concurrent-requests" | Retry-After: 2`, "Quota exceeded", 429},
		"github": {`Retry-After: 2`, "secondary rate limit", 403},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulator(t, simulator.Settings{Dialect: name, Limit: 1, Per: 2 * time.Second})
			go get(sim, "/limited/concurrency/crm?hold=1s")
			synctest.Wait()
			w := get(sim, "/limited/concurrency/crm")
			if got := said(w.Header()); got != canonical(want.headers) || w.Code != want.status || !strings.Contains(w.Body.String(), want.body) {
				t.Errorf("%s: %d %s %s", name, w.Code, got, w.Body)
			}
			time.Sleep(time.Second) // the first call ends
		})
	}
}

// said are the headers about the quota, sorted.
func said(h http.Header) string {
	var lines []string
	for name, values := range h {
		switch name {
		case "Content-Type", "Content-Length", "Date":
		default:
			lines = append(lines, fmt.Sprintf("%s: %s", name, strings.Join(values, "; ")))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, " | ")
}

// canonical spells golden headers as net/http does.
func canonical(golden string) string {
	if golden == "" {
		return ""
	}
	lines := strings.Split(golden, " | ")
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		lines[i] = http.CanonicalHeaderKey(name) + ": " + value
	}
	slices.Sort(lines)
	return strings.Join(lines, " | ")
}
