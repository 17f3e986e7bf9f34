package policy

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/answer"
	"outrider/policy/config"
	"outrider/policy/results"
)

// EmptyEndpoint is an endpoint whose answers have become empty lists. Its Name is such as
// "GET api.test/v1/orders/*".
type EmptyEndpoint = results.Endpoint

// watchesResults reports whether an upstream, or one of its rules, says where lists are.
func watchesResults(cfg *config.Upstream) bool {
	return len(cfg.Results) > 0 || slices.ContainsFunc(cfg.Rules, func(r config.Rule) bool { return len(r.Results) > 0 })
}

// resultsWatch is what counts the lists of an upstream; nil: nothing does. One that goes
// elsewhere than before begins anew.
func resultsWatch(u, old *Upstream) *results.Watch {
	switch {
	case !watchesResults(u.Config):
		return nil
	case old.results != nil && *old.Config.URL == *u.Config.URL:
		return old.results
	}
	return new(results.Watch)
}

// resultsStage is what looks at the lists of a plan's answers.
func (c *compiler) resultsStage(u *Upstream, places []string) Stage {
	paths := make([][]string, 0, len(places))
	for _, place := range places {
		paths = append(paths, listPath(place))
	}
	name, watch, observe := u.Config.Name, u.results, c.env.Observe
	count := results.Wrap(paths, func(req *http.Request, empty bool) {
		watch.Count(endpointOf(req), empty, time.Now(), func(change results.Change, e results.Endpoint) {
			observe(req.Context(), emptyEvent(name, change, e))
		})
	})
	return Stage{"results", func(next http.RoundTripper) http.RoundTripper {
		counted := count(next)
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Method == http.MethodGet {
				req = answer.Legible(req)
			}
			return counted.RoundTrip(req)
		})
	}}
}

// listPath is where a list is, as a path; "." is the body itself.
func listPath(place string) []string {
	if place == "." {
		return nil
	}
	return strings.Split(place, ".")
}

func emptyEvent(upstream string, change results.Change, e results.Endpoint) Event {
	event := Event{Kind: EventFilled, Upstream: upstream, Key: e.Name}
	if change == results.Begins {
		event.Kind, event.Empty = EventEmpty, &e
	}
	return event
}

// Emptied reports whether the answers of an endpoint have become empty lists.
func (u *Upstream) Emptied(endpoint string) bool {
	return u.results != nil && u.results.Has(endpoint)
}
