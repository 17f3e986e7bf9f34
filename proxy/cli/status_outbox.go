package cli

import (
	"fmt"
	"io"
	"slices"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/outbox"
)

// printOutbox tells of the outbox what belongs to no upstream that is configured.
func printOutbox(w io.Writer, view statusView) {
	s := view.Outbox
	if s == nil {
		return
	}
	if s.Away != "" {
		fmt.Fprintf(w, "WARNING: the outbox takes and sends nothing: %s\n", printable(s.Away))
		return
	}
	warnRefusing(w, *s)
	fmt.Fprintf(w, "letters are kept: %s of %s used\n", roundSize(s.Size), config.Size(s.MaxSize))
	for _, u := range s.Upstreams {
		switch configured := slices.ContainsFunc(view.Upstreams, func(up policy.UpstreamStatus) bool { return up.Name == u.Upstream }); {
		case u.Upstream == callbacks:
			fmt.Fprintf(w, "  callbacks: %s\n", standingText(u))
		case !configured:
			fmt.Fprintf(w, "  of %s, which is not configured: %s\n", u.Upstream, standingText(u))
		}
	}
}

// lettersOf is how the letters of an upstream stand; nil: there are none.
func lettersOf(s *outbox.Standing, upstream string) *outbox.UpstreamStanding {
	if s == nil || s.Away != "" {
		return nil
	}
	at := slices.IndexFunc(s.Upstreams, func(u outbox.UpstreamStanding) bool { return u.Upstream == upstream })
	if at < 0 {
		return nil
	}
	return &s.Upstreams[at]
}
