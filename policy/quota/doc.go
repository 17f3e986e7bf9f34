// Package quota reads what a response says of the provider's quotas: how much
// there is, how much is left, and until when.
//
// It is a pure function of header fields, with no clock and no state. Every
// provider has a spelling of its own, and most of what goes wrong with quotas
// goes wrong here: an epoch read as seconds, a window read as a wait, an
// "6m0s" read as nothing. So the fields are a table, and what it cannot make
// sense of it leaves out, field by field: a View says less rather than
// something wrong.
//
// # What is understood
//
// Without any configuration: RateLimit and RateLimit-Policy of the IETF draft
// (draft-ietf-httpapi-ratelimit-headers, revisions 8 to 11, the dictionary of 7,
// and the three fields of 0 to 6), X-RateLimit-* in its many spellings, and the
// fields of Akamai, Anthropic, Atlassian, Brevo, Docker, GitHub, GitLab,
// HubSpot, Kong, OpenAI, Reddit, Salesforce, Shopify, Twitter and Vimeo. A
// reset may be an epoch in seconds or milliseconds, seconds from now, a
// duration as Go writes it, RFC 3339, ISO 8601 without seconds, or an
// HTTP-date: it is told by its look. Where the look deceives, a Dialect by name
// says what the fields mean. GraphQL tells of its points in the body:
// ParseThrottle.
//
// # Whose clock
//
// A View's Reset is an instant on our clock. Where the provider gives an
// instant, it is compared with the response's own Date, so that neither clock
// need be right. Date has whole seconds, so Reset is up to a second late, and
// never early; two answers of one window may therefore give resets a second
// apart.
//
// # What a reset does not say
//
// Most providers send their reset with every answer. It is no request to wait:
// a 502 that carries a reset in 55 minutes and 4,000 calls left is a 502. It
// counts when nothing is left, or when the answer is a 429 that nothing else
// explains: View.Holds. And a Retry-After goes first (section 7 of the draft):
// package hint reads it. Nor does a View say how many of our own calls are
// still on their way, which the provider had not counted when it answered.
//
// # How it is meant to be used
//
// By policy/limit, for each answer, whatever its status:
//
//	views := quota.Parse(resp.Header, now, dialect)
//	for _, v := range views {
//		// the dispatcher of host + credential + v.Bucket + v.Partition takes
//		// over v.Limit and v.Window, and lets v.Remaining less the calls on
//		// their way be spent until v.Reset
//	}
//	_, hinted := hint.RetryAfter(resp.Header, now)
//	if until, exhausted := quota.Exhausted(views, resp.StatusCode, hinted, now); exhausted {
//		// the gate closes until then
//	}
//
// Names of buckets and partitions come from outside: each is bounded, and how
// many of them are kept is for the one who keeps them to bound.
//
// It is a package of its own, and not a part of limit, so that status pages and
// presets can speak of quotas without the dispatcher.
package quota
