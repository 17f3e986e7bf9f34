package cli

import (
	"fmt"
	"strings"

	"outrider/policy"
	"outrider/proxy/alarm"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"
)

// kept is the outbox, for those who look after it; nil: there is none.
func (s *sidecar) kept() letters.Outbox {
	if !s.storage.forLetters.Load() {
		return nil
	}
	return pacedOutbox{s.outbox, s.states}
}

// alarmingOutbox is the outbox as the alerts see it.
func (s *sidecar) alarmingOutbox() (alarm.Outbox, bool) {
	return s.standing.alarming(s.live.Load().File.Outbox.MaxAge)
}

// keepable finds out whether a letter may be as somebody wants it.
func (s *sidecar) keepable(l *outbox.Letter) error { return keepable(s.live.Load(), l) }

// keepable takes from a letter that somebody changes what the credential of its upstream sets
// anyway. A credential of somebody's own is an error: no letter has one.
func keepable(set *policy.Set, l *outbox.Letter) error {
	u, there := set.ByName(l.Upstream)
	if !there {
		return fmt.Errorf("there is no [upstream.%s] any more, so that nobody knows what its credential is", l.Upstream)
	}
	path, query, _ := strings.Cut(l.Target, "?")
	plan := u.Plan(l.Method, path)
	header, refused := plan.KeepableHeader(l.Header)
	if refused == "" {
		query, refused = plan.KeepableQuery(query)
	}
	if refused != "" {
		return fmt.Errorf("%s is a credential, and a letter has none: it gets that of [upstream.%s] when it is sent", refused, l.Upstream)
	}
	l.Header, l.Target = header, path
	if query != "" {
		l.Target += "?" + query
	}
	return nil
}
