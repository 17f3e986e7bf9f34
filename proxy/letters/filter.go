package letters

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"outrider/proxy/outbox"
)

// The words that a filter may have.
var (
	states = []string{outbox.StateWaiting, outbox.StateSending, outbox.StateDelivered, outbox.StateDead, outbox.StateCancelled}

	reasons = []string{outbox.ReasonRefused, outbox.ReasonRedirected, outbox.ReasonAge, outbox.ReasonAttempts,
		outbox.ReasonKeyAge, outbox.ReasonUnknown, outbox.ReasonDamaged, outbox.ReasonUnsendable}
)

// choosing are the parameters of which filters are made.
var choosing = []string{"state", "upstream", "reason", "older", "id"}

// maxNamed bounds how many letters one request names.
const maxNamed = 1000

// parameters reads those of an address, of which others than known are errors.
func parameters(text string, known []string) (url.Values, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("the parameters cannot be read: %w", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return nil, fmt.Errorf("unknown parameter %q; known here: %s", name, strings.Join(known, ", "))
		case slices.Contains(values, ""):
			return nil, fmt.Errorf("%s is empty: leave it out for all", name)
		case len(values) > 1 && name != "id":
			return nil, fmt.Errorf("%s is there %d times; once is right", name, len(values))
		}
	}
	return query, nil
}

// readFilter reads which letters are meant, at now.
func readFilter(query url.Values, now time.Time) (outbox.Filter, error) {
	f := outbox.Filter{IDs: query["id"], Upstream: query.Get("upstream"), State: query.Get("state"), Reason: query.Get("reason")}
	switch {
	case f.State != "" && !slices.Contains(states, f.State):
		return outbox.Filter{}, fmt.Errorf("state = %q: must be one of %s", f.State, strings.Join(states, ", "))
	case f.Reason != "" && !slices.Contains(reasons, f.Reason):
		return outbox.Filter{}, fmt.Errorf("reason = %q: must be one of %s", f.Reason, strings.Join(reasons, ", "))
	case len(f.IDs) > maxNamed:
		return outbox.Filter{}, fmt.Errorf("id is there %d times; at most %d at once", len(f.IDs), maxNamed)
	}
	if text := query.Get("older"); text != "" {
		age, err := time.ParseDuration(text)
		if err != nil || age <= 0 {
			return outbox.Filter{}, fmt.Errorf("older = %q: must be a duration longer than 0, such as 2h", text)
		}
		f.Before = now.Add(-age)
	}
	return f, nil
}

// readChoice reads which letters something is to be done to. That all are meant has to be said.
func readChoice(text string, now time.Time) (outbox.Filter, error) {
	query, err := parameters(text, append([]string{"all"}, choosing...))
	if err != nil {
		return outbox.Filter{}, err
	}
	all := query.Get("all")
	query.Del("all")
	switch {
	case all != "" && all != "true":
		return outbox.Filter{}, fmt.Errorf("all = %q: must be true, or not there", all)
	case all == "" && len(query) == 0:
		return outbox.Filter{}, errors.New("which letters? Say id, state, upstream, reason or older; or all=true")
	case all != "" && len(query) > 0:
		return outbox.Filter{}, errors.New("all=true and a filter: one of them is right")
	}
	return readFilter(query, now)
}

// readRetry reads which letters are to be sent: dead ones, if nobody says that those which wait
// are meant.
func readRetry(text string, now time.Time) (outbox.Filter, error) {
	f, err := readChoice(text, now)
	if err == nil && f.State != "" && f.State != outbox.StateDead && f.State != outbox.StateWaiting {
		err = fmt.Errorf("state = %q: must be dead or waiting, for others are not sent again", f.State)
	}
	return f, err
}

// A page of a list has at most maxPage letters, and defaultPage if nobody says.
const (
	defaultPage = 100
	maxPage     = 500
)

func pageSize(query url.Values) (int, error) {
	text := query.Get("limit")
	if text == "" {
		return defaultPage, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxPage {
		return 0, fmt.Errorf("limit = %q: must be a number from 1 to %d", text, maxPage)
	}
	return limit, nil
}
