package outbox

import "sync"

// An outage is that of the store: it is told once when it begins, and once when it is over.
type outage struct {
	mu  sync.Mutex
	err error // nil: there is none
}

// note takes the result of asking the store for something, and reports whether it is news.
func (a *outage) note(err error) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news = (a.err == nil) != (err == nil)
	a.err = err
	return news
}

// now is what is wrong with the store; nil: nothing.
func (a *outage) now() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// noteStore notes how the store answered the sender.
func (o *Outbox) noteStore(err error) {
	if !o.away.note(err) {
		return
	}
	if err == nil {
		o.settings.Observe(Event{Kind: StoreBack})
		return
	}
	o.settings.Observe(Event{Kind: StoreAway, Err: err})
}
