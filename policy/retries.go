package policy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"outrider/policy/config"
	"outrider/policy/retry"
)

// RetryForecast says whether an end of an attempt would be followed by another.
type RetryForecast struct {
	When  string `json:"when"`
	Retry bool   `json:"retry"`
	Why   string `json:"why"`
}

// forecastRetries reads the safety table for a call like req, and gives its class. Of
// what only the request itself would show, it says what that would change.
func forecastRetries(req *http.Request, plan *Plan) (string, []RetryForecast) {
	cfg := plan.Policy.Retry
	class := plan.retry.Class(req)
	if class == retry.Unsafe && cfg.MintKey && retry.Mints(req.Method) {
		class = retry.Keyed
	}
	if cfg.Attempts < 2 {
		return string(class), []RetryForecast{{"always", false, "retry.attempts is 1"}}
	}
	var list []RetryForecast
	add := func(when string, c retry.Class, p retry.Phase, v retry.Verdict) {
		row := retry.Lookup(c, p, v)
		list = append(list, RetryForecast{when, row.Retry, row.Why})
	}
	did := func(status int) bool { return !slices.Contains(cfg.Unprocessed, status) }
	listed := slices.DeleteFunc(slices.Clone(cfg.Statuses), func(status int) bool {
		return !did(status) || class == retry.Keyed && status == http.StatusUnprocessableEntity
	})
	add("nothing was sent", class, retry.Unsent, "")
	add("no answer came", class, retry.NoAnswer, "")
	if len(listed) > 0 {
		add("answered "+statuses(listed), class, retry.Answered, retry.Listed)
	}
	if slices.Contains(cfg.Statuses, http.StatusTooManyRequests) && slices.ContainsFunc(plan.Policy.Answers, ofPoints) {
		add("answered THROTTLED by GraphQL, with its cost", class, retry.Answered, retry.Unprocessed)
	}
	for _, like := range []struct {
		when   string
		is     func(config.Answer) bool
		status int
	}{
		{"answered what means throttled or busy", likeThrottle, http.StatusTooManyRequests},
		{"answered what means a fault", likeFault, http.StatusInternalServerError},
	} {
		if !slices.ContainsFunc(plan.Policy.Answers, like.is) {
			continue
		}
		verdict := retry.Final
		if slices.Contains(cfg.Statuses, like.status) {
			verdict = retry.Listed
		}
		add(like.when, class, retry.Answered, verdict)
	}
	if len(cfg.Unprocessed) > 0 {
		add("answered "+statuses(cfg.Unprocessed), class, retry.Answered, retry.Unprocessed)
	}
	add("answered 421", class, retry.Answered, retry.Misdirected)
	if class == retry.Keyed {
		if did(http.StatusConflict) && !slices.Contains(cfg.Statuses, http.StatusConflict) {
			add("answered 409", class, retry.Answered, retry.Running)
		}
		if did(http.StatusUnprocessableEntity) {
			add("answered 422", class, retry.Answered, retry.Reused)
		}
	}
	add("an error with x-should-retry: true", class, retry.Answered, retry.Asked)
	add("an error with x-should-retry: false", class, retry.Answered, retry.Forbidden)
	add("answered anything else", class, retry.Answered, retry.Final)
	if class == retry.Unsafe && cfg.IdempotencyHeader != "" {
		add("any of these, with "+cfg.IdempotencyHeader, retry.Keyed, retry.NoAnswer, "")
	}
	if class == retry.Unsafe {
		add("any of these, with Outrider-Idempotent: true", retry.Vouched, retry.NoAnswer, "")
	}
	add("any of these, of an upgrade, early data, or a body beyond replay_body", retry.Once, retry.NoAnswer, "")
	return string(class), list
}

func statuses(codes []int) string { return strings.Trim(fmt.Sprint(codes), "[]") }
