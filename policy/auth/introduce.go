package auth

import (
	"context"
	"errors"
	"time"
)

// A Pair is what a login brought, or a token request that somebody else made.
type Pair struct {
	Access   Secret    // "": there is only a refresh token
	Refresh  Secret    // "": the connection ends with the access token
	Obtained time.Time // when Access was; zero: now
	Expires  time.Time // when Access does; zero: that is not known
}

// Introduce puts p where a credential keeps its tokens, in place of what is kept there:
// for all processes that share the Keeper it is the newest from then on. It waits for
// a refresh that is under way, which would bring the successor of what is replaced, so
// that nothing older is sent after it has returned. The error is ErrNothing, or one of the Keeper.
func Introduce(ctx context.Context, keeper Keeper, p Pair) error {
	if p.Access == (Secret{}) && p.Refresh == (Secret{}) {
		return ErrNothing
	}
	s := shelf{keeper: keeper, lost: &lost{}}
	unlock, err := s.lock(ctx, introduceTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := s.load(ctx)
	if err != nil {
		return err
	}
	now := wallClock()
	next := grant{Generation: 1, Introduced: now, Access: p.Access, Refresh: p.Refresh, Obtained: p.Obtained, Expires: p.Expires}
	if next.Obtained.IsZero() {
		next.Obtained = now
	}
	if kept != nil {
		// Its lifetime is that of the provider's tokens; a configured refresh token that
		// it descends from must not come back.
		next.Generation, next.Learned, next.Former = kept.Generation+1, kept.Learned, kept.former()
		if !now.After(kept.Introduced) { // by a clock that is ahead of ours
			next.Introduced = kept.Introduced.Add(time.Nanosecond)
		}
	}
	return s.save(ctx, &next)
}

// ErrNothing says that a Pair has neither token.
var ErrNothing = errors.New("there is neither an access token nor a refresh token")

// introduceTimeout is how long Introduce waits for the refresh slot.
const introduceTimeout = time.Minute
