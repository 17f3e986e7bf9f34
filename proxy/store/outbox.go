package store

// An Outbox is the letters of a store.
type Outbox struct{ store *Store }

// Outbox is that of the store. It has no state of its own.
func (s *Store) Outbox() *Outbox { return &Outbox{s} }
