package store

import (
	"context"
	"errors"
	"fmt"
)

// ListBelow names at most limit slots that keep something and whose names begin with
// prefix, in the order of their bytes, from the one after a name on ("": the first). So
// thousands can be read in pages: each page costs what is on it.
func (s *Store) ListBelow(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	ids, err := s.listBelow(ctx, prefix, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing slots: %w", s.explain(ctx, err))
	}
	return ids, nil
}

func (s *Store) listBelow(ctx context.Context, prefix, after string, limit int) (ids []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM outrider_slots WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3`,
		max(prefix, after), behind(prefix), limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// behind is the first text behind all that begin with prefix, which is ASCII.
func behind(prefix string) string {
	if prefix == "" {
		return "\U0010FFFF"
	}
	last := len(prefix) - 1
	return prefix[:last] + string(rune(prefix[last]+1))
}
