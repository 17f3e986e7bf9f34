package quota

import (
	"strings"
	"time"
)

// generic reads what can be told apart by the names of the fields and the look
// of their values.
var generic = speaking(
	standard,
	beta,
	common,
	dashed,
	whole("X-Ratelimit-Requests-", "", "requests", Requests),
	whole("X-Ratelimit-Tokens-", "", "tokens", Tokens),
	openAIRequests,
	openAITokens,
	kong("Second", time.Second),
	kong("Minute", time.Minute),
	kong("Hour", time.Hour),
	kong("Day", 24*time.Hour),
	anthropicRequests,
	anthropicTokens,
	anthropicInput,
	anthropicOutput,
	hubSpot,
	hubSpotDaily,
	shopify,
	salesforce,
	brevo,
)

// dialects are the providers by name: their own fields alone, read in their own
// units alone.
var dialects = map[string]*Dialect{
	"akamai":       speaking(common.in(date)),
	"anthropic":    speaking(anthropicRequests, anthropicTokens, anthropicInput, anthropicOutput),
	"atlassian":    speaking(beta, common.in(date)),
	"brevo":        speaking(brevo),
	"github":       speaking(common.in(epoch)),
	"gitlab":       speaking(gitLab),
	"hubspot":      speaking(hubSpot, hubSpotDaily),
	"ietf":         speaking(standard),
	"milliseconds": speaking(common.in(millis), dashed.in(millis)), // whose resets are milliseconds from now
	"openai":       speaking(openAIRequests.in(duration), openAITokens.in(duration)),
	"reddit":       speaking(common.in(seconds)),
	"salesforce":   speaking(salesforce),
	"shopify":      speaking(shopify),
	"twitter":      speaking(dashed.in(epoch)),
	"vimeo":        speaking(common.in(date)),
}

// The fields of the IETF draft.
var (
	standard = ratelimit{
		service: "Ratelimit",
		policy:  "Ratelimit-Policy",
		three: counts{
			limit:     "Ratelimit-Limit",
			remaining: "Ratelimit-Remaining",
			used:      "Ratelimit-Observed", // GitLab
			reset:     "Ratelimit-Reset",    // seconds from now; an epoch at GitLab
			unit:      Requests,
		},
		unit: Requests,
	}

	// Atlassian's points of an hour, ahead of the standard.
	beta = ratelimit{service: "Beta-Ratelimit", policy: "Beta-Ratelimit-Policy", unit: Points}

	gitLab = counts{
		limit:     "Ratelimit-Limit",
		remaining: "Ratelimit-Remaining",
		used:      "Ratelimit-Observed",
		reset:     "Ratelimit-Reset",
		clock:     epoch,
		unit:      Requests,
		refill:    Whole,
	}
)

// The fields without a standard.
var (
	// GitHub, Reddit, Vimeo, Atlassian, Akamai and everybody else.
	common = counts{
		limit:     "X-Ratelimit-Limit",
		remaining: "X-Ratelimit-Remaining",
		used:      "X-Ratelimit-Used",
		reset:     "X-Ratelimit-Reset",
		after:     "X-Ratelimit-Reset-After",
		next:      "X-Ratelimit-Next",
		name:      []string{"X-Ratelimit-Resource", "X-Ratelimit-Bucket"},
		unit:      Requests,
		units:     map[string]Unit{"graphql": Points}, // GitHub's resource
		refill:    Whole,
	}

	// Twitter.
	dashed = whole("X-Rate-Limit-", "", "", Requests)

	// The reset is the time until all is back. Groq, Mistral and others send the
	// same fields.
	openAIRequests = gradual("X-Ratelimit-", "-Requests", "requests", Requests)
	openAITokens   = gradual("X-Ratelimit-", "-Tokens", "tokens", Tokens)

	anthropicRequests = gradual("Anthropic-Ratelimit-Requests-", "", "requests", Requests).in(date)
	anthropicTokens   = gradual("Anthropic-Ratelimit-Tokens-", "", "tokens", Tokens).in(date)
	anthropicInput    = gradual("Anthropic-Ratelimit-Input-Tokens-", "", "input-tokens", Tokens).in(date)
	anthropicOutput   = gradual("Anthropic-Ratelimit-Output-Tokens-", "", "output-tokens", Tokens).in(date)

	// The interval is the length of a window that moves on with each call, and
	// not a time to come back.
	hubSpot = counts{
		limit:     "X-Hubspot-Ratelimit-Max",
		remaining: "X-Hubspot-Ratelimit-Remaining",
		window:    "X-Hubspot-Ratelimit-Interval-Milliseconds",
		unit:      Requests,
	}
	hubSpotDaily = counts{
		limit:     "X-Hubspot-Ratelimit-Daily",
		remaining: "X-Hubspot-Ratelimit-Daily-Remaining",
		bucket:    "daily",
		unit:      Requests,
		length:    24 * time.Hour,
	}

	// A bucket that drains: "32/40". How fast depends on the plan.
	shopify = counts{ratio: "X-Shopify-Shop-Api-Call-Limit", unit: Requests}

	salesforce = usage{"Sforce-Limit-Info"}

	brevo = whole("X-Sib-Ratelimit-", "", "", Requests)
)

// whole are the usual fields of a fixed window. prefix and suffix surround the
// word by which they differ.
func whole(prefix, suffix, bucket string, unit Unit) counts {
	return counts{
		limit:     prefix + "Limit" + suffix,
		remaining: prefix + "Remaining" + suffix,
		used:      prefix + "Used" + suffix,
		reset:     prefix + "Reset" + suffix,
		bucket:    bucket,
		unit:      unit,
		refill:    Whole,
	}
}

// gradual are the same fields of a bucket that refills.
func gradual(prefix, suffix, bucket string, unit Unit) counts {
	c := whole(prefix, suffix, bucket, unit)
	c.refill = Gradual
	return c
}

// kong are the fields of an API gateway that names the window in them.
func kong(window string, length time.Duration) counts {
	c := whole("X-Ratelimit-", "-"+window, strings.ToLower(window), Requests)
	c.length = length
	return c
}

// in is c with a clock of its own.
func (c counts) in(own clock) counts {
	c.clock = own
	return c
}
