package auth

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// succeed puts a new grant in place: first where it survives us, then where calls
// see it. A grant that cannot be kept is used all the same, and saved later: the
// refresh token before it is spent.
func (o *OAuth2) succeed(ctx context.Context, a attempt, r tokenResponse) error {
	g := a.from
	g.Generation++
	g.Terms, g.Obtained, g.Expires = o.terms(a.who), a.began, time.Time{}
	if lifetime := r.lifetime; lifetime > 0 {
		g.Expires = a.began.Add(lifetime)
	} else if o.set.Lifetime > 0 {
		g.Expires = a.began.Add(o.set.Lifetime)
	}
	g.Access = NewSecret(r.access)
	if o.kind.spends {
		g.rotate(r.refresh, r.lapse(a.began))
	}
	g.Forced = 0
	if a.reason == reasonRefused {
		o.mu.Lock()
		g.Forced, g.Learned = o.held.forced(a.began), o.held.learned(&g)
		o.mu.Unlock()
	}

	err := o.kept.save(ctx, &g)
	now := wallClock()
	o.mu.Lock()
	o.take(&g)
	o.held.early = a.reason == reasonQueue
	o.held.keepLater(err, now)
	o.hold = hold{}
	event := RefreshEvent{Reason: a.reason, Requests: a.requests, Took: now.Sub(a.began),
		Expires: g.Expires, Rotated: g.Refresh != a.from.Refresh, NotKept: err}
	o.mu.Unlock()
	o.tell(event)
	return nil
}

// rotate puts the successor of the refresh token in place, where there is one. lapse is
// when the one in use then lapses; zero: unknown.
func (g *grant) rotate(refresh string, lapse time.Time) {
	if next := NewSecret(refresh); next != (Secret{}) && next != g.Refresh {
		g.Previous, g.Refresh, g.Lapses = g.Refresh, next, time.Time{}
	}
	if !lapse.IsZero() {
		g.Lapses = lapse
	}
}

// rescue keeps a refresh token that came with an access token which is of no use:
// the one before it may be spent. The next request will be made with it.
func (o *OAuth2) rescue(ctx context.Context, a *attempt, r *result) {
	if !o.kind.spends || r.tokenResponse.failed || r.refresh == "" || r.refresh == a.from.Refresh.Reveal() {
		return
	}
	o.mu.Lock()
	used := o.held.grant
	o.mu.Unlock()
	g := a.from
	g.Generation++
	g.Access, g.Terms, g.Obtained, g.Expires, g.Forced = used.Access, used.Terms, used.Obtained, used.Expires, used.Forced
	if used.Origin != g.Origin {
		g.Access = Secret{} // it belongs elsewhere
	}
	g.rotate(r.refresh, r.lapse(a.began))
	err := o.kept.save(ctx, &g)
	o.mu.Lock()
	o.held.grant = g
	o.held.keepLater(err, wallClock())
	o.mu.Unlock()
	a.from = g
}

// fail holds back the next request, and gives the error to who waits.
func (o *OAuth2) fail(a attempt, kind failure, err error, asked time.Duration) error {
	if a.reason == reasonSave {
		return o.saved(err)
	}
	if kind != transient && o.set.Refused != nil {
		o.set.Refused()
	}
	now := wallClock()
	o.mu.Lock()
	if a.requests == 0 && kind == transient && o.hold.active(now) {
		defer o.mu.Unlock()
		o.hold.looked = pauseOf(lookEvery, now) // in vain: what was known holds
		return o.hold.err
	}
	o.hold.extend(hold{kind: kind, err: err, tried: a.who, with: a.from.version}, asked, o.set.Jitter, now)
	event := RefreshEvent{Reason: a.reason, Requests: a.requests, Took: now.Sub(a.began), Err: err, Dead: kind == terminal,
		Expires: o.held.Expires, NextTry: o.hold.until, NotKept: o.held.unsaved}
	o.mu.Unlock()
	o.tell(event)
	return err
}

// resave tries once more to keep what is in memory only, unless another process has
// gone on meanwhile from what it found, or somebody has put another grant there.
func (o *OAuth2) resave(ctx context.Context, kept *grant) error {
	o.mu.Lock()
	g := o.held.grant
	o.mu.Unlock()
	if kept != nil && kept.replaces(&g) {
		o.found(kept, g)
		return o.saved(nil)
	}
	return o.saved(o.kept.save(ctx, &g))
}

// saved notes how a try to save ended. No caller waits for that.
func (o *OAuth2) saved(err error) error {
	o.mu.Lock()
	o.held.keepLater(err, wallClock())
	event := RefreshEvent{Reason: reasonSave, Expires: o.held.Expires, NotKept: err}
	o.mu.Unlock()
	o.tell(event)
	return nil
}

// keepLater notes how saving ended. While it fails it is tried again: after a
// second, then after twice as long each time.
func (h *held) keepLater(err error, now time.Time) {
	if err == nil {
		h.unsaved, h.saveTries = nil, 0
		return
	}
	h.unsaved = err
	h.later = pauseOf(doubled(time.Second, h.saveTries, time.Minute), now)
	h.saveTries++
}

// take puts a grant in use. The lock is held.
func (o *OAuth2) take(g *grant) {
	o.held = held{
		grant: *g, refreshAt: g.refreshAt(&o.set),
		token: Token{
			Kind: oauth2Kind, Header: authorization, Value: NewSecret("Bearer " + g.Access.Reveal()),
			Placeholder: o.set.Placeholder, Origin: o.origin(g), Hidden: [maxHidden]Secret{g.Access}, Owner: o.owner(g),
		},
		later: o.held.later, saveTries: o.held.saveTries,
	}
	o.doubted.Store(g.Forced > 0)
}

// adopt puts a grant in use that was found where it is kept. The lock is held. An access
// token that the upstream has refused stays refused.
func (o *OAuth2) adopt(g *grant, now time.Time) {
	refused := o.held.refused && g.Access == o.held.Access
	o.take(g)
	o.held.refused = refused
	o.held.keepLater(o.kept.unsaved(g), now)
}

// owner is Token.Owner: the login or the configured refresh token that a grant comes from,
// or what a machine says of itself. Whose token was exchanged is not known, so that each
// exchange brings another one's.
func (o *OAuth2) owner(g *grant) Secret {
	name := g.Terms
	if o.kind.spends {
		name = g.Login + g.Seed
	}
	if name == "" || o.set.Grant == "token_exchange" {
		return g.Access
	}
	return NewSecret(name)
}

// origin is where alone a grant is sent; "": wherever requests go.
func (o *OAuth2) origin(g *grant) string { return cmp.Or(o.set.Origin, g.Origin) }

// Origin is where alone the grant that is used is sent; "": wherever requests go.
func (o *OAuth2) Origin() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.origin(&o.held.grant)
}

const oauth2Kind = "oauth2"

// refreshAt is when a grant is refreshed ahead of time. Several processes with one
// token do not come at the same instant, and none comes late.
func (g *grant) refreshAt(s *OAuth2Settings) time.Time {
	if g.Expires.IsZero() {
		if g.Learned == 0 {
			return time.Time{}
		}
		return g.Obtained.Add(g.Learned * 4 / 5)
	}
	lifetime := g.Expires.Sub(g.Obtained)
	margin := s.RefreshBefore
	if margin == 0 {
		margin = time.Duration(s.RefreshShare * float64(lifetime))
	}
	if margin == 0 {
		return time.Time{}
	}
	margin = min(margin, lifetime/2) // of a token that lives shortly: not at once again
	if spread := margin / 10; spread > 0 {
		margin += s.Jitter(spread)
	}
	return g.Expires.Add(-margin)
}

// leastLearned is the shortest age at which a refusal says something about the
// lifetime: no token is made for less.
const leastLearned = time.Minute

// refuse notes that the upstream answered 401 to the token.
func (h *held) refuse(now time.Time) {
	h.refused = true
	if age := now.Sub(h.Obtained); h.Expires.IsZero() && age >= leastLearned {
		h.age = age
	}
}

// learned is the lifetime that the end of the last token shows. If the refresh
// gives the same one it had not ended.
func (h *held) learned(next *grant) time.Duration {
	if h.age == 0 || next.Access == h.Access {
		return next.Learned
	}
	if next.Learned == 0 {
		return h.age
	}
	return min(next.Learned, h.age)
}

// young reports that a refusal is not about the token: it comes from a refresh that
// a refusal caused, just now. An upstream that answers 401 to one kind of request
// whatever the token is must not have it replaced for each of them; the time until
// the next doubles. A token that the upstream has accepted meanwhile may have been
// revoked since, but not time and again: then it is the kind of request, too.
func (h *held) young(now time.Time) bool { return h.spaced().lasts(now) }

// spaced is for how long it is young.
func (h *held) spaced() pause {
	if h.Forced == 0 || h.accepted && h.Forced < unspaced {
		return pause{}
	}
	return pauseOf(spacing(h.Forced), h.Obtained)
}

// unspaced is the length of a row of refreshes that refusals caused, from which on
// they are spaced although each token was accepted in between.
const unspaced = 3

// forced is how many refreshes in a row, with the one of now, refusals caused.
func (h *held) forced(now time.Time) int {
	if h.Forced > 0 && now.Sub(h.Obtained) < 2*spacing(h.Forced) {
		return h.Forced + 1
	}
	return 1
}

func spacing(forced int) time.Duration { return doubled(5*time.Second, forced-1, 10*time.Minute) }

// lack says why there is no living token.
func (h *held) lack() string {
	switch {
	case h.Access == (Secret{}):
		return reasonFirst
	case h.refused:
		return reasonRefused
	}
	return reasonExpired
}

// bearer reports whether a token of this type is sent as a bearer token (RFC 6750).
// The type is missing at some providers; Slack's bot and user, and Apigee's
// BearerToken, are no types of their own.
func bearer(tokenType string) bool {
	return slices.Contains([]string{"", "bearer", "bot", "user", "bearertoken"}, strings.ToLower(tokenType))
}
