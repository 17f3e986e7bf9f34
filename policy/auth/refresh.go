package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Why the token endpoint is asked.
const (
	reasonFirst   = "first"   // there is no token yet
	reasonExpired = "expired" // the token's time is over
	reasonAhead   = "ahead"   // it soon will be
	reasonQueue   = "queue"   // it will be before the turn of a call that waits
	reasonRefused = "refused" // the upstream answered 401
	reasonSave    = "save"    // it is not: what the Keeper did not take is tried again
)

// A flight is one refresh, by one goroutine, for all who need it.
type flight struct {
	reason string
	ctx    context.Context // governs the goroutine; guarded by the lock, as OnFlight may replace it
	done   chan struct{}   // closed at the end
	err    error           // why it brought nothing; set before done is closed
}

// start begins a flight. The lock is held, and there is none. It outlives the call
// that needs it: a caller who leaves must not have a refresh token spent for nothing.
func (o *OAuth2) start(ctx context.Context, reason string) *flight {
	f := &flight{ctx: context.WithoutCancel(ctx), reason: reason, done: make(chan struct{})}
	o.flight = f
	go func() { // Close waits for it
		ctx, landed := o.takeOff(f)
		err := o.fly(ctx, reason)
		landed(err)
		o.mu.Lock()
		f.err, o.flight = err, nil
		o.mu.Unlock()
		close(f.done)
	}()
	return f
}

// takeOff tells of a flight, and gives what it goes on with.
func (o *OAuth2) takeOff(f *flight) (ctx context.Context, landed func(error)) {
	o.mu.Lock()
	ctx = f.ctx
	o.mu.Unlock()
	if o.set.OnFlight == nil || f.reason == reasonSave { // which asks for nothing
		return ctx, func(error) {}
	}
	ctx, landed = o.set.OnFlight(ctx, f.reason)
	o.mu.Lock()
	f.ctx = ctx
	o.mu.Unlock()
	return ctx, landed
}

// await returns when a flight has ended that a call needs, or the call has.
func (o *OAuth2) await(ctx context.Context, f *flight) error {
	began := time.Now()
	var err error
	select {
	case <-f.done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if o.set.OnWait != nil {
		o.mu.Lock()
		flight := f.ctx
		o.mu.Unlock()
		o.set.OnWait(ctx, flight, f.reason, time.Since(began))
	}
	return err
}

// fly does one flight, inside of the refresh slot of all processes.
func (o *OAuth2) fly(ctx context.Context, reason string) error {
	a := attempt{reason: reason, began: wallClock()}
	kept, unlock, err := o.open(ctx, reason)
	if err != nil {
		return o.fail(a, transient, fmt.Errorf("oauth2: %w", err), 0)
	}
	defer unlock()
	if kept == nil && o.kept.only {
		return o.removed(a)
	}
	if reason == reasonSave {
		return o.resave(ctx, kept)
	}
	if err = o.introduce(&a); err != nil {
		return o.fail(a, transient, fmt.Errorf("oauth2: %w", err), 0)
	}
	a.began = wallClock()
	troubled := o.troubled()
	if done, err := o.prepare(&a, kept); done {
		o.relieved(troubled)
		return err
	}
	if o.kind.spends && a.from.Refresh == (Secret{}) {
		if a.noSeed != nil {
			return o.fail(a, transient, fmt.Errorf("oauth2: reading the refresh token: %w", a.noSeed), 0)
		}
		return o.fail(a, terminal, o.noRefreshToken(&a.from), 0)
	}
	return o.exchange(ctx, a)
}

// noRefreshToken is the error of a credential that cannot be refreshed with g.
func (o *OAuth2) noRefreshToken(g *grant) error {
	switch {
	case o.set.LoginCommand == "":
		return errors.New("oauth2: there is no refresh token: log in, or give a refresh_token")
	case g.Generation == 0:
		return errors.New("oauth2: nobody has logged in yet: " + o.set.LoginCommand)
	}
	return errors.New("oauth2: the token has ended, and the login brought no refresh token: log in again: " + o.set.LoginCommand)
}

// open takes the refresh slot, and reads what is kept. A credential that has nothing
// to lose does without, where the Keeper is lost: at worst two processes have a token
// each.
func (o *OAuth2) open(ctx context.Context, reason string) (kept *grant, unlock func(), err error) {
	patience := 3 * o.set.Timeout
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if reason == reasonSave { // Close may wait for that
		patience = keptTimeout
	} else { // nothing is spent yet: Close ends the wait
		defer context.AfterFunc(o.ending, cancel)()
	}
	unlock, err = o.kept.lock(waiting, patience)
	if err == nil {
		if kept, err = o.kept.load(ctx); err == nil {
			return kept, unlock, nil
		}
		unlock()
	}
	if !o.kind.spends && o.ending.Err() == nil {
		return nil, func() {}, nil
	}
	return nil, nil, err
}

// introduce reads who we are, as it is configured now. A refresh token that cannot be
// read is none: the first one is needed once, and may be gone since.
func (o *OAuth2) introduce(a *attempt) error {
	s, c := &o.set, &a.who
	for _, part := range []struct {
		name string
		read func() (string, error)
		to   *Secret
	}{
		{"the client id", s.ClientID, &c.id},
		{"the client secret", s.ClientSecret, &c.secret},
		{"the private key", s.Signing.PrivateKey, &c.key},
		{"the certificate", s.Signing.Certificate, &c.certificate},
		{"the client assertion", s.Signing.Client, &c.assertion},
		{"the issuer", s.Assertion.Issuer, &c.issuer},
		{"the subject", s.Assertion.Subject, &c.subject},
		{"the subject token", s.Exchange.SubjectToken, &c.subjectToken},
		{"the actor token", s.Exchange.ActorToken, &c.actorToken},
		{"the installation id", s.Installation.ID, &c.installation},
	} {
		if part.read == nil {
			continue
		}
		value, err := part.read()
		if err != nil {
			return fmt.Errorf("reading %s: %w", part.name, err)
		}
		*part.to = NewSecret(value)
	}
	if o.kind.spends && s.RefreshToken != nil {
		value, err := s.RefreshToken()
		c.refresh, a.noSeed = NewSecret(value), err
	}
	return c.signer(s)
}

// signer settles who signs: the service account where there is one, whose assertions
// are about nobody else unless they say so. RFC 7523 §3 wants a subject of all others.
func (c *client) signer(s *OAuth2Settings) error {
	c.keyID = s.Signing.KeyID
	if s.Assertion.Account != nil {
		account, err := s.Assertion.Account()
		if err != nil {
			return fmt.Errorf("reading the key of the service account: %w", err)
		}
		c.issuer, c.key, c.keyID = NewSecret(account.Email), account.PrivateKey, account.KeyID
		return nil
	}
	if c.issuer == (Secret{}) {
		c.issuer = c.id
	}
	if c.subject == (Secret{}) {
		c.subject = c.issuer
	}
	return nil
}

// An attempt is a token request, from what is needed for it to what came of it.
type attempt struct {
	reason   string
	who      client
	noSeed   error   // why the configured refresh token cannot be read
	from     grant   // what it is refreshed with
	login    []param // what is asked for in place of a refresh; nil: a refresh
	began    time.Time
	requests int
}

// prepare settles with what the token is refreshed, now that nobody else does. It is
// done if nothing has to be sent: another process was faster, or a hold lasts.
func (o *OAuth2) prepare(a *attempt, kept *grant) (done bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := &o.held
	a.from = h.grant
	if kept != nil && kept.replaces(&h.grant) {
		a.from = *kept
	}
	if a.newSeed(&o.hold) {
		a.from = grant{version: a.from.version, Refresh: a.who.refresh, Learned: a.from.Learned,
			Seed: mark(a.who.refresh.Reveal()), Former: a.from.former()}
	}
	if a.from.Terms != "" && a.from.Terms != o.terms(a.who) { // "": see Introduce
		a.from.Access = Secret{} // it was given for something else
	}
	now := wallClock()
	living := a.from.Access != h.Access && a.from.living(now)
	if living || a.from.Login != h.Login {
		o.adopt(&a.from, now)
	}
	if living {
		o.hold = hold{}
		return true, nil
	}
	if o.hold.holds(a, now) {
		o.hold.looked = pauseOf(lookEvery, now)
		return true, o.hold.err
	}
	return false, nil
}

// onlyKept reports that a grant comes from the Keeper alone.
func (s *OAuth2Settings) onlyKept() bool {
	return grantKinds[s.Grant].spends && s.RefreshToken == nil && s.Keeper != nil
}

// newSeed reports whether the configured refresh token is one that what we have does
// not descend from: then the operator wants that one. A grant without a seed comes
// from a login, and goes first for as long as it lives; so does one with a seed after
// the configured one, which a process with an older environment still has.
func (a *attempt) newSeed(h *hold) bool {
	seed := mark(a.who.refresh.Reveal())
	switch {
	case seed == "" || a.from.Seed == seed:
		return false
	case slices.Contains(strings.Fields(a.from.Former), seed):
		return h.kind == terminal
	}
	return a.from.Seed != "" || a.from.Refresh == (Secret{}) || h.kind == terminal
}

// terms marks what a token is asked for: one that was given for something else is
// not used, after a change of the configuration.
func (o *OAuth2) terms(c client) string {
	text := []string{o.set.TokenURL, o.set.Grant, c.id.Reveal(), strings.Join(o.set.Scopes, " "), o.set.Audience,
		c.issuer.Reveal(), c.subject.Reveal(), o.set.Assertion.TargetAudience,
		o.set.Exchange.RequestedTokenType, o.set.Exchange.Resource, c.installation.Reveal(), string(o.installation)}
	for _, p := range slices.Concat(o.params, o.claims) {
		text = append(text, p.name, p.value.Reveal())
	}
	return mark(strings.Join(text, "\x00"))
}
