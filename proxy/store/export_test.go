package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Lease is how long a lock outlives its holder.
const Lease = lease

// Exec runs a statement behind the back of the store.
func (s *Store) Exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.db.ExecContext(ctx, statement, args...)
	return err
}

// Fill makes the store behave as if the disk had no room for another page.
func (s *Store) Fill(ctx context.Context) error {
	s.db.SetMaxOpenConns(1) // the limit is a connection's own
	var pages int
	if err := s.db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	return s.Exec(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
}

// Migrate brings the store to a version that there is not yet.
func (s *Store) Migrate(ctx context.Context, more ...[]string) error {
	return migrate(ctx, s.db, slices.Concat(migrations, more))
}

// Abandon is Lock by a holder that dies at once, and did so some time ago.
func (s *Slot) Abandon(ctx context.Context, ago time.Duration) (bool, error) {
	return s.take(ctx, "somebody who died", time.Now().Add(-ago))
}
