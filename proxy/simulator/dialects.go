package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A view is what a dialect puts into words: a verdict, when, about what.
type view struct {
	verdict
	now  time.Time
	name string // of the quota
}

// A dialect is how one provider tells its clients about a quota.
type dialect struct {
	name   string
	status int // of a refusal
	body   string
	// say sets the headers. It returns when the headers of a refusal invite
	// the client back, as a client must read them; zero: they do not say.
	say func(h http.Header, v view) time.Time
}

// refusal is the body of a refusal.
func (d dialect) refusal(v verdict) string {
	if d.name == "github" && v.window == 0 {
		return `{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}`
	}
	return d.body
}

// dialects are the ones we speak, by the word that a URL uses for them.
func dialects() []dialect {
	return []dialect{
		{"ietf", 429, `{"title":"Quota exceeded","status":429}`, sayIETF},
		{"draft07", 429, `{"title":"Quota exceeded","status":429}`, sayDraft07},
		{"draft06", 429, `{"title":"Quota exceeded","status":429}`, sayDraft06},
		{"gitlab", 429, `Retry later`, sayGitLab},
		{"github", 403, `{"message":"API rate limit exceeded for user ID 1.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"}`, sayGitHub},
		{"openai", 429, `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, sayOpenAI},
		{"anthropic", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your rate limit"}}`, sayAnthropic},
		{"stripe", 429, `{"error":{"code":"rate_limit","message":"Request rate limit exceeded","type":"invalid_request_error"}}`, sayNothing},
		{"shopify", 429, `{"errors":"Exceeded the call rate limit for api client. Reduce request rates to resume uninterrupted service."}`, sayShopify},
		{"hubspot", 429, `{"status":"error","message":"You have reached your ten_secondly_rolling limit.","errorType":"RATE_LIMIT","policyName":"TEN_SECONDLY_ROLLING"}`, sayHubSpot},
		{"atlassian", 429, `{"errorMessages":["Rate limit exceeded."]}`, sayAtlassian},
		{"slack", 429, `{"ok":false,"error":"ratelimited"}`, saySlack},
		{"httpdate", 429, `{"title":"Quota exceeded","status":429}`, sayHTTPDate},
		{"none", 429, `{"title":"Quota exceeded","status":429}`, sayNothing},
	}
}

// Dialects names the header dialects of /limited.
func Dialects() []string {
	var names []string
	for _, d := range dialects() {
		names = append(names, d.name)
	}
	return names
}

// sayIETF speaks draft-ietf-httpapi-ratelimit-headers from revision 8 on:
// structured fields, seconds as integers, a quota unit for concurrency.
func sayIETF(h http.Header, v view) time.Time {
	if v.window == 0 {
		h.Set("RateLimit-Policy", fmt.Sprintf(`%q;q=%d;qu="concurrent-requests"`, v.name, v.limit))
		h.Set("RateLimit", fmt.Sprintf(`%q;r=%d`, v.name, v.remaining))
	} else {
		h.Set("RateLimit-Policy", fmt.Sprintf(`%q;q=%d;w=%d`, v.name, v.limit, seconds(v.window)))
		h.Set("RateLimit", fmt.Sprintf(`%q;r=%d;t=%d`, v.name, v.remaining, seconds(v.reset)))
	}
	return retryAfter(h, v)
}

// sayDraft07 speaks revision 7 of the same draft: one dictionary.
func sayDraft07(h http.Header, v view) time.Time {
	h.Set("RateLimit-Policy", fmt.Sprintf("%d;w=%d", v.limit, seconds(v.window)))
	h.Set("RateLimit", fmt.Sprintf("limit=%d, remaining=%d, reset=%d", v.limit, v.remaining, seconds(v.reset)))
	return retryAfter(h, v)
}

// sayDraft06 speaks revision 6 and before: three fields, reset in seconds from now.
func sayDraft06(h http.Header, v view) time.Time {
	h.Set("RateLimit-Limit", strconv.Itoa(v.limit))
	h.Set("RateLimit-Remaining", strconv.Itoa(v.remaining))
	h.Set("RateLimit-Reset", strconv.FormatInt(seconds(v.reset), 10))
	return retryAfter(h, v)
}

// sayGitLab has the names of draft06 with an epoch in the reset.
func sayGitLab(h http.Header, v view) time.Time {
	sayDraft06(h, v)
	h.Set("RateLimit-Reset", strconv.FormatInt(roundUp(v.now.Add(v.reset), time.Second).Unix(), 10))
	return invitation(v, time.Duration(seconds(v.wait))*time.Second)
}

// sayGitHub gives the primary limit as an epoch on every answer and no
// Retry-After; the limit of calls at once is the secondary one, which does
// the opposite.
func sayGitHub(h http.Header, v view) time.Time {
	if v.window == 0 {
		return retryAfter(h, v)
	}
	back := v.reset
	if !v.admitted {
		back = v.wait // its windows are fixed, so that these are the same
	}
	reset := roundUp(v.now.Add(back), time.Second)
	h.Set("X-Ratelimit-Limit", strconv.Itoa(v.limit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(v.remaining))
	h.Set("X-Ratelimit-Used", strconv.Itoa(v.limit-v.remaining))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	h.Set("X-Ratelimit-Resource", v.name)
	return invitation(v, reset.Sub(v.now))
}

// sayOpenAI gives duration strings, and the wait in seconds and milliseconds.
func sayOpenAI(h http.Header, v view) time.Time {
	h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(v.limit))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(v.remaining))
	h.Set("X-Ratelimit-Reset-Requests", ceil(v.reset, time.Millisecond).String())
	if v.admitted {
		return time.Time{}
	}
	ms := ceil(v.wait, time.Millisecond)
	retryAfter(h, v)
	h.Set("Retry-After-Ms", strconv.FormatInt(ms.Milliseconds(), 10))
	h.Set("X-Should-Retry", "true")
	return invitation(v, ms)
}

func sayAnthropic(h http.Header, v view) time.Time {
	h.Set("Anthropic-Ratelimit-Requests-Limit", strconv.Itoa(v.limit))
	h.Set("Anthropic-Ratelimit-Requests-Remaining", strconv.Itoa(v.remaining))
	h.Set("Anthropic-Ratelimit-Requests-Reset", roundUp(v.now.Add(v.reset), time.Second).UTC().Format(time.RFC3339))
	return retryAfter(h, v)
}

// sayShopify gives used/limit, and a wait with a decimal point.
func sayShopify(h http.Header, v view) time.Time {
	h.Set("X-Shopify-Shop-Api-Call-Limit", fmt.Sprintf("%d/%d", v.limit-v.remaining, v.limit))
	if v.admitted {
		return time.Time{}
	}
	tenths := ceil(v.wait, 100*time.Millisecond)
	h.Set("Retry-After", strconv.FormatFloat(tenths.Seconds(), 'f', 1, 64))
	return invitation(v, tenths)
}

// sayHubSpot gives the length of the window, which is not a time to come back.
func sayHubSpot(h http.Header, v view) time.Time {
	h.Set("X-Hubspot-Ratelimit-Max", strconv.Itoa(v.limit))
	h.Set("X-Hubspot-Ratelimit-Remaining", strconv.Itoa(v.remaining))
	h.Set("X-Hubspot-Ratelimit-Interval-Milliseconds", strconv.FormatInt(v.window.Milliseconds(), 10))
	return time.Time{}
}

// sayAtlassian gives a reset of minute precision, with neither seconds nor a
// strict RFC 3339 spelling, and warns when a fifth of the quota is left.
func sayAtlassian(h http.Header, v view) time.Time {
	h.Set("X-Ratelimit-Limit", strconv.Itoa(v.limit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(v.remaining))
	h.Set("X-Ratelimit-Reset", roundUp(v.now.Add(v.reset), time.Minute).UTC().Format("2006-01-02T15:04Z"))
	if v.remaining*5 < v.limit {
		h.Set("X-Ratelimit-Nearlimit", "true")
	}
	if !v.admitted {
		h.Set("Ratelimit-Reason", "jira-burst-based")
	}
	return retryAfter(h, v)
}

func saySlack(h http.Header, v view) time.Time { return retryAfter(h, v) }

func sayHTTPDate(h http.Header, v view) time.Time {
	if v.admitted {
		return time.Time{}
	}
	at := roundUp(v.now.Add(v.wait), time.Second)
	h.Set("Retry-After", at.UTC().Format(http.TimeFormat))
	return invitation(v, at.Sub(v.now))
}

func sayNothing(http.Header, view) time.Time { return time.Time{} }

// retryAfter sets Retry-After (RFC 9110 section 10.2.3) in whole seconds, at
// least one, on a refusal.
func retryAfter(h http.Header, v view) time.Time {
	if v.admitted {
		return time.Time{}
	}
	s := seconds(v.wait)
	h.Set("Retry-After", strconv.FormatInt(s, 10))
	return invitation(v, time.Duration(s)*time.Second)
}

func invitation(v view, after time.Duration) time.Time {
	if v.admitted {
		return time.Time{}
	}
	return v.now.Add(after)
}

// seconds rounds up, so that what we say is never too early.
func seconds(d time.Duration) int64 { return int64(ceil(d, time.Second) / time.Second) }

func ceil(d, unit time.Duration) time.Duration {
	if up := d.Truncate(unit); up < d {
		return up + unit
	}
	return d
}

func roundUp(t time.Time, unit time.Duration) time.Time {
	if down := t.Truncate(unit); down.Before(t) {
		return down.Add(unit)
	}
	return t
}
