package store

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// A Plan says where a store is, and what seals it, for people and without any secret.
type Plan struct {
	Place   string // "/path/store.db" or "postgres at host/database"
	KeyFrom string // "OUTRIDER_KEY", "/path/store.key" or "the configuration"
	KeyFile string // "/path/store.key", if the key is there, or would be made there; else ""
}

// Plan is that of the store which Open would open. It looks at nothing.
func (s Settings) Plan() (Plan, error) {
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return Plan{}, err
	}
	key := newKey(s.Key, dir)
	plan := Plan{Place: filepath.Join(dir, fileName), KeyFrom: key.from, KeyFile: key.file}
	if s.URL != "" {
		config, err := parseURL(s.URL)
		if err != nil {
			return Plan{}, err
		}
		plan.Place = placeOf(config)
	}
	return plan, nil
}

// Plan is that of the store.
func (s *Store) Plan() Plan {
	return Plan{Place: s.db.place, KeyFrom: s.key.from, KeyFile: s.key.file}
}

// KeyMade reports whether this store made the file of its key.
func (s *Store) KeyMade() bool { return s.key.made }

// Warnings say what works, and should not stay so.
func (s *Store) Warnings() []string { return s.db.warnings }

// Info is what there is to know about a store without its values.
type Info struct {
	Engine  string    // "sqlite" or "postgres"
	Size    int64     // in bytes, with what the engine needs beside the values
	Slots   int       // that keep something
	Saved   time.Time // when a slot was saved last; zero: none keeps anything
	Quotas  int       // that are kept, and not over
	Letters int       // of all states
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
	if err := s.db.QueryRowContext(ctx, s.db.words.Replace(`SELECT count(*) FROM outrider_quotas WHERE until > {now}`)).Scan(&info.Quotas); err != nil {
		return Info{}, err
	}
	err := s.db.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(letters), 0) AS BIGINT) FROM outrider_tallies`).Scan(&info.Letters)
	return info, err
}
