package cli

import (
	"fmt"
	"net/url"
	"strings"

	"outrider/policy/config"
)

// capturedText says what becomes of https:// calls through the proxy.
func capturedText(intercepted bool) string {
	if intercepted {
		return "opened with the local certificate authority"
	}
	return "passed through unopened: no credential, quota or retries"
}

// wayText says which proxy is on the way to an upstream; "" for none.
func (s *sidecar) wayText(u *config.Upstream) string {
	way, err := s.way(u.Egress)
	if err != nil || way == nil {
		return "" // an error was reported when the configuration was compiled
	}
	proxy := way(&url.URL{Scheme: u.URL.Scheme, Host: u.URL.Host})
	if proxy == nil {
		return ""
	}
	return "through the proxy " + proxy.String()
}

func timeoutText(p *config.Policy) string {
	return fmt.Sprintf("%s for the call, %s for an attempt, %s of silence in a body; bodies up to %s can be sent again",
		config.Duration(p.Timeout), config.Duration(p.AttemptTimeout), config.Duration(p.IdleTimeout), config.Size(p.ReplayBody))
}

// staleText says what is given when the upstream fails; "": nothing is.
func staleText(p *config.Policy) string {
	if p.StaleIfError == 0 {
		return ""
	}
	return fmt.Sprintf("if it fails, GET and HEAD get their last good answer, at most %s old", config.Duration(p.StaleIfError))
}

func quotaTexts(limits []config.Limit) []string {
	texts := make([]string, 0, len(limits))
	for _, l := range limits {
		var parts []string
		if l.Rate.Count > 0 {
			parts = append(parts, l.Rate.String())
		}
		if l.Burst > 0 {
			parts = append(parts, fmt.Sprintf("burst %d", l.Burst))
		}
		if l.Concurrency > 0 {
			parts = append(parts, fmt.Sprintf("%d at once", l.Concurrency))
		}
		switch l.Shape {
		case "window":
			parts = append(parts, "spent at once")
		case "smooth":
			parts = append(parts, "spread evenly")
		}
		switch {
		case !l.Learn:
			parts = append(parts, "whatever its answers tell")
		case l.Rate.Count == 0 && l.Concurrency == 0:
			parts = append(parts, "learned from its answers")
		default:
			parts = append(parts, "and what its answers tell")
		}
		if l.Dialect != "auto" {
			parts = append(parts, "dialect "+l.Dialect)
		}
		texts = append(texts, fmt.Sprintf("%s, per %s; waits up to %s, %d in line",
			strings.Join(parts, ", "), l.Per, config.Duration(l.MaxWait), l.MaxQueue))
	}
	return texts
}

// answerTexts say what answers mean whose status does not say it.
func answerTexts(answers []config.Answer) []string {
	texts := make([]string, 0, len(answers))
	for _, a := range answers {
		text := strings.Trim(fmt.Sprint(a.Statuses), "[]")
		if a.Calls != "" {
			text += " to " + a.Calls
		}
		switch {
		case a.GraphQL:
			text += " of GraphQL, THROTTLED"
		case a.Header != "":
			text += " with " + a.Header
		default:
			text += " with " + a.Field
		}
		switch {
		case len(a.Values) > 0:
			text += " = " + strings.Join(a.Values, ", ")
		case len(a.Contains) > 0:
			text += ` that has "` + strings.Join(a.Contains, `", "`) + `" in it`
		}
		if a.AtLeast > 0 {
			text += fmt.Sprintf(" >= %d", a.AtLeast)
		}
		if a.Unless != "" {
			text += ", without " + a.Unless
		}
		text += ": " + a.Means
		if a.Wait > 0 {
			text += fmt.Sprintf(", for %s where it names no time", config.Duration(a.Wait))
		}
		texts = append(texts, text)
	}
	return texts
}

// resultsText says which lists are looked at; "": none.
func resultsText(p *config.Policy) string {
	if len(p.Results) == 0 {
		return ""
	}
	places := make([]string, 0, len(p.Results))
	for _, path := range p.Results {
		if path == "." {
			places = append(places, "in the body itself")
			continue
		}
		places = append(places, "at "+path)
	}
	return "an alert when the lists that GET finds become empty: " + strings.Join(places, ", or ")
}

// retryText says after what there is another attempt.
func retryText(r config.Retry) string {
	if r.Attempts < 2 {
		return "off"
	}
	text := fmt.Sprintf("up to %d attempts, after transport errors", r.Attempts)
	if len(r.Statuses) > 0 {
		text += " and " + strings.Trim(fmt.Sprint(r.Statuses), "[]")
	}
	if len(r.Unprocessed) > 0 {
		text += fmt.Sprintf("; after %s whatever the method", strings.Trim(fmt.Sprint(r.Unprocessed), "[]"))
	}
	return text
}

// repeatText says which requests may be sent again.
func repeatText(r config.Retry) string {
	text := "GET, HEAD, OPTIONS, PUT, DELETE"
	switch {
	case r.MintKey:
		text += "; POST and PATCH, under " + r.IdempotencyHeader + ", which is added where it is missing (a client's own retry without it gets another)"
	case r.IdempotencyHeader != "":
		text += "; POST and PATCH that carry " + r.IdempotencyHeader
	}
	return text + "; anything that was provably not sent"
}

// pauseText says how long is waited before an attempt, and who pays for it.
func pauseText(r config.Retry) string {
	return fmt.Sprintf("random, up to %s · 2ⁿ (1s · 2ⁿ after 429 and 503), at most %s; Retry-After in full; budget %s of calls",
		config.Duration(r.Base), config.Duration(r.Cap), config.Ratio(r.Budget))
}

// hedgeText says when there is a second request beside the first; "": never.
func hedgeText(p *config.Policy) string {
	if !p.Hedge {
		return ""
	}
	return "a second GET or HEAD where the first takes longer than 95% did; at most 5% of calls, each paid from the budget of retries"
}

func circuitText(c config.Circuit) string {
	text := fmt.Sprintf("opens at %s failures or %s slower than %s, of at least %d in %s, or %d failures or %d refused connections in a row; for %s to %s",
		config.Ratio(c.FailureRatio), config.Ratio(c.SlowRatio), config.Duration(c.Slow), c.MinCalls, config.Duration(c.Window),
		c.FailureRun, c.Consecutive, config.Duration(c.Open), config.Duration(c.OpenMax))
	if c.Overdue > 0 {
		text += fmt.Sprintf("; no answer for %s, and for twice as long as others took, is a failure until it comes", config.Duration(c.Overdue))
	}
	if c.Ramp > 0 {
		text += fmt.Sprintf("; calls come back over %s", config.Duration(c.Ramp))
	}
	return text
}
