package auth

import "context"

// Look reads what is kept now, without waiting for a refresh, and goes on with it where
// it goes before what is in use: another process may have refreshed it, or somebody
// put a new grant there. found is false where nothing is kept; a credential that
// is only kept is given up then. After an error what was known holds.
func (o *OAuth2) Look(ctx context.Context) (found bool, err error) {
	defer o.relieved(o.troubled())
	for {
		o.mu.Lock()
		used := o.held.grant
		o.mu.Unlock()
		kept, err := o.kept.load(ctx)
		if err != nil {
			return false, err
		}
		if o.found(kept, used) {
			return kept != nil, nil
		}
	}
}

// found goes on with what was found kept while used was in use. It is not ok if that has
// changed meanwhile: a refresh, which is alone with what is kept, knows better.
func (o *OAuth2) found(kept *grant, used grant) (ok bool) {
	var a attempt
	unknown := o.introduce(&a) // with an error a flight will say why
	now := wallClock()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.held.grant != used:
		return false
	case kept == nil && o.kept.only:
		o.giveUp(now)
	case kept != nil && kept.replaces(&o.held.grant):
		g := *kept
		if unknown != nil || g.Terms != "" && g.Terms != o.terms(a.who) {
			g.Access = Secret{} // it was given for something else
		}
		o.adopt(&g, now)
		o.hold = hold{}
	}
	return true
}
