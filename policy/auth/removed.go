package auth

import (
	"errors"
	"time"
)

// ErrRemoved says that a credential is gone which is there only as long as the Keeper has
// it (an OAuth2 without a refresh token of the configuration, and [Kept]): nothing is kept
// any more. What a process still had of it in memory is not sent, and not saved again.
var ErrRemoved = errors.New("nothing is kept of this connection: it was removed, or nobody has logged in or handed it over yet")

// removed ends a flight that found nothing kept of a credential that is only kept.
func (o *OAuth2) removed(a attempt) error {
	now := wallClock()
	o.mu.Lock()
	news := o.giveUp(now)
	event := RefreshEvent{Reason: a.reason, Took: now.Sub(a.began), Err: o.hold.err, Dead: true, NextTry: o.hold.until}
	o.mu.Unlock()
	if news {
		o.tell(event)
	}
	return event.Err
}

// giveUp forgets the grant that is used, and tells whether that is news. The lock is
// held. It is looked at the Keeper again, like in every hold: there may be another grant
// one day.
func (o *OAuth2) giveUp(now time.Time) (news bool) {
	if o.hold.gone && o.hold.active(now) {
		o.hold.looked = pauseOf(lookEvery, now)
		return false
	}
	o.held = held{}
	o.doubted.Store(false)
	err := ErrRemoved
	if o.set.Grant == "authorization_code" {
		err = o.noRefreshToken(&grant{})
	}
	o.hold.extend(hold{kind: terminal, err: err, gone: true}, 0, o.set.Jitter, now)
	return true
}

// Removed reports that the credential was found to be removed: see ErrRemoved.
func (o *OAuth2) Removed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hold.gone
}
