package auth

import "context"

// Look reads what is kept now, without waiting for a refresh, and goes on with it where
// it is newer than what is in use: another process may have refreshed it, or somebody
// put a new grant there. found is false where nothing is kept; a credential that
// is only kept is given up then. After an error what was known holds.
func (o *OAuth2) Look(ctx context.Context) (found bool, err error) {
	defer o.relieved(o.troubled())
	kept, err := o.kept.load(ctx)
	if err != nil {
		return false, err
	}
	var a attempt
	unknown := o.introduce(&a) // with an error a flight will say why
	now := wallClock()
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case kept == nil && o.kept.only:
		o.giveUp(now)
	case kept != nil && kept.newer(&o.held.grant):
		g := *kept
		if unknown != nil || g.Terms != "" && g.Terms != o.terms(a.who) {
			g.Access = Secret{} // it was given for something else
		}
		o.take(&g)
		o.held.keepLater(o.kept.unsaved(&g), now)
		o.hold = hold{}
	}
	return kept != nil, nil
}
