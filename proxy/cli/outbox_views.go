package cli

import (
	"outrider/proxy"
	"outrider/proxy/alarm"
	"outrider/proxy/letters"
	"outrider/proxy/outbox"
)

// kept is the outbox, for those who look after it; nil: there is none.
func (s *sidecar) kept() letters.Outbox {
	if !s.storage.forLetters.Load() {
		return nil
	}
	return pacedOutbox{s.outbox, s.live.Load}
}

// alarmingOutbox is the outbox as the alerts see it: as it was looked at last, or anew.
func (s *sidecar) alarmingOutbox(anew bool) (alarm.Outbox, bool) {
	standing := s.standing.standing
	if anew {
		standing = s.standing.anew
	}
	return alarming(standing(), s.live.Load().File.Outbox.MaxAge)
}

// amend holds a letter that somebody has changed to the configuration that is live.
func (s *sidecar) amend(l, sent *outbox.Letter) error { return proxy.Amend(s.live.Load(), l, sent) }
