package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// A Pair is what a login brought, or a token request that somebody else made.
type Pair struct {
	Access   Secret    // "": there is only a refresh token
	Refresh  Secret    // "": the connection ends with the access token
	Obtained time.Time // when Access was; zero: now
	Expires  time.Time // when Access does; zero: that is not known
	Lapses   time.Time // when Refresh does; zero: that is not known
	Origin   string    // where alone Access is sent: see Token.Origin
}

// Renewable reports whether there can be another access token after this one.
func (p Pair) Renewable() bool { return p.Refresh != (Secret{}) }

func (p Pair) empty() bool { return p.Access == (Secret{}) && p.Refresh == (Secret{}) }

// Introduce puts p where a credential keeps its tokens, in place of what is kept there:
// for all processes that share the Keeper it is the newest from then on. It waits for
// a refresh that is under way, which would bring the successor of what is replaced.
// The error is ErrNothing, or one of the Keeper.
func Introduce(ctx context.Context, keeper Keeper, p Pair) error {
	if p.empty() {
		return ErrNothing
	}
	s := shelf{keeper: keeper, lost: &lost{}}
	unlock, err := s.lock(ctx, introduceTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := s.load(ctx)
	if err != nil && !errors.Is(err, errAnotherType) {
		return err
	}
	next := grant{
		version: version{Login: rand.Text(), Generation: 1},
		Access:  p.Access, Refresh: p.Refresh, Obtained: p.Obtained, Expires: p.Expires, Lapses: p.Lapses, Origin: p.Origin,
	}
	if next.Obtained.IsZero() {
		next.Obtained = wallClock()
	}
	if kept != nil {
		// Its lifetime is that of the provider's tokens; a configured refresh token that
		// it descends from must not come back.
		next.Learned, next.Former = kept.Learned, kept.former()
	}
	return s.save(ctx, &next)
}

// A Forgetter is a Keeper that can forget what it keeps.
type Forgetter interface {
	Keeper
	Remove(ctx context.Context) error
}

// Forget takes away what is kept, and gives it for Revoke: nil if nothing was, or if it is
// there still, after an error. It waits for a refresh that is under way, which would bring
// it back. A process that has the grant in memory goes on with the access token until it is
// to be refreshed, or looks: see ErrRemoved.
func Forget(ctx context.Context, keeper Forgetter) (*Pair, error) {
	unlock, err := shelf{keeper: keeper}.lock(ctx, introduceTimeout)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	data, err := keeper.Load(ctx)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	if err := keeper.Remove(ctx); err != nil {
		return nil, err
	}
	var p Pair
	if g, err := decodeGrant(data); err == nil { // what cannot be read is forgotten, too
		p = Pair{Access: g.Access, Refresh: g.Refresh, Obtained: g.Obtained, Expires: g.Expires}
	}
	return &p, nil
}

// ErrNothing says that a Pair has neither token.
var ErrNothing = errors.New("there is neither an access token nor a refresh token")

// introduceTimeout is how long the refresh slot is waited for.
const introduceTimeout = time.Minute
