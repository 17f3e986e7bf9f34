package store

import (
	"context"
	"fmt"
	"time"
)

// Place says where the store is, for people, without any secret: "/path/store.db" or
// "postgres at host/database".
func (s *Store) Place() string { return s.db.place }

// KeyFrom says where the sealing key comes from, for people: "OUTRIDER_KEY",
// "/path/store.key" or "the configuration".
func (s *Store) KeyFrom() string { return s.key.from }

// KeyFile is the file of the key, if Outrider made it or would make it; else "".
func (s *Store) KeyFile() string { return s.key.file }

// KeyMade reports whether this store made the file of its key.
func (s *Store) KeyMade() bool { return s.key.made }

// Warnings say what works, and should not stay so.
func (s *Store) Warnings() []string { return s.db.warnings }

// Info is what there is to know about a store without its values.
type Info struct {
	Engine string    // "sqlite" or "postgres"
	Size   int64     // in bytes, with what the engine needs beside the values
	Slots  int       // that keep something
	Saved  time.Time // when something was saved last; zero: nothing is kept
}

// Info looks at the store.
func (s *Store) Info(ctx context.Context) (Info, error) {
	info, err := s.info(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("looking at the store: %w", s.explain(ctx, err))
	}
	return info, nil
}

func (s *Store) info(ctx context.Context) (Info, error) {
	info := Info{Engine: s.db.name}
	if err := s.db.QueryRowContext(ctx, s.db.size).Scan(&info.Size); err != nil {
		return Info{}, err
	}
	var saved int64
	const kept = `SELECT count(*), COALESCE(MAX(saved), 0) FROM outrider_slots`
	if err := s.db.QueryRowContext(ctx, kept).Scan(&info.Slots, &saved); err != nil {
		return Info{}, err
	}
	if saved > 0 {
		info.Saved = time.UnixMilli(saved)
	}
	return info, nil
}
