package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// letterColumns are what scanLetter reads.
const letterColumns = `id, upstream, lane, state, reason, created, due, expires, departed, ended, attempts, records, size, body, answer, key, version, holder, ordered, {now}`

// A row is a letter's, with what only the store knows of it.
type row struct {
	Stored
	records, key, version int
	answer                int64 // bytes of the answer's body; -1: there is no answer
	holder                string
	ordered               []byte
}

func (r *row) tallied() tallied { return tallied{r.Upstream, r.State, r.Reason} }

func scanLetter(rows *sql.Rows) (r row, err error) {
	var created, due, expires, departed, ended, now int64
	err = rows.Scan(&r.ID, &r.Upstream, &r.Lane, &r.State, &r.Reason, &created, &due, &expires, &departed, &ended,
		&r.Attempts, &r.records, &r.Size, &r.BodySize, &r.answer, &r.key, &r.version, &r.holder, &r.ordered, &now)
	r.Created, r.Due, r.Expires, r.Departed, r.Ended = instant(created), instant(due), instant(expires), instant(departed), instant(ended)
	r.Expired = expires > 0 && expires <= now
	if departed > 0 {
		r.Gone = time.Duration(now-departed) * time.Millisecond
	}
	r.Held, r.Ordered = r.holder != "", r.ordered != nil
	return r, err
}

// instant is a time of the database; 0 is none.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// readLetters runs a query for letterColumns.
func (s *Store) readLetters(ctx context.Context, from querier, query string, args ...any) (letters []row, err error) {
	err = eachRow(ctx, from, func(rows *sql.Rows) error {
		letter, err := scanLetter(rows)
		letters = append(letters, letter)
		return err
	}, s.db.words.Replace(query), args...)
	return letters, err
}

// readHeads opens the heads of letters.
func (s *Store) readHeads(ctx context.Context, letters []row) error {
	return readHeads(ctx, s.db, letters, func(of *row) (*letterKey, error) { return s.openLetter(ctx, of) })
}

// readHeads opens the heads of letters with the keys that opener gives.
func readHeads(ctx context.Context, from querier, letters []row, opener func(*row) (*letterKey, error)) error {
	if len(letters) == 0 {
		return nil
	}
	sealed := map[string][]byte{} // id → sealed head
	places, args := inList(len(letters), func(i int) any { return letters[i].ID })
	err := eachRow(ctx, from, func(rows *sql.Rows) error {
		var id string
		var version int
		var head []byte
		if err := rows.Scan(&id, &version, &head); err != nil {
			return err
		}
		if at := slices.IndexFunc(letters, func(r row) bool { return r.ID == id }); letters[at].version == version {
			sealed[id] = head
		}
		return nil
	}, `SELECT letter, n, sealed FROM outrider_pieces WHERE part = 0 AND letter IN (`+places+`)`, args...)
	if err != nil {
		return err
	}
	for i := range letters {
		key, err := opener(&letters[i])
		if err != nil {
			return err
		}
		letters[i].Head, err = key.open(headPart, int64(letters[i].version), true, sealed[letters[i].ID])
		letters[i].Damaged = err != nil
	}
	return nil
}

// openLetter gives the key of a letter, outside of transactions: it may have to read it.
func (s *Store) openLetter(ctx context.Context, of *row) (*letterKey, error) {
	ring, err := s.readingRing(ctx, of.key)
	if err != nil {
		return nil, err
	}
	return ring.opener(of)
}

// openLetter does so in a transaction, by its own connection: there may be no other.
func (t *transaction) openLetter(ctx context.Context, of *row) (*letterKey, error) {
	ring := t.ring
	if ring.keys[of.key] == nil {
		var err error
		if ring, err = readRing(ctx, t.tx, t.store.seal.Load()); err != nil {
			return nil, err
		}
	}
	return ring.opener(of)
}

// inList gives the places of n parameters, from the first on, and their values.
func inList(n int, value func(int) any) (places string, args []any) {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("$%d", i+1))
		args = append(args, value(i))
	}
	return strings.Join(list, ", "), args
}

// letter reads one letter, without its head. ErrUnknown.
func (o *Outbox) letter(ctx context.Context, id string) (row, error) {
	letters, err := o.store.readLetters(ctx, o.store.db, `SELECT `+letterColumns+` FROM outrider_letters WHERE id = $1 AND state <> 'arriving'`, id)
	if err != nil {
		return row{}, o.store.explain(ctx, err)
	}
	if len(letters) == 0 {
		return row{}, ErrUnknown
	}
	return letters[0], nil
}

// Get gives a letter. ErrUnknown.
func (o *Outbox) Get(ctx context.Context, id string) (Stored, error) {
	letter, err := o.letter(ctx, id)
	if err != nil {
		return Stored{}, fmt.Errorf("reading letter %s: %w", id, err)
	}
	one := []row{letter}
	if err := o.store.readHeads(ctx, one); err != nil {
		return Stored{}, fmt.Errorf("reading letter %s: %w", id, o.store.explain(ctx, err))
	}
	return one[0].Stored, nil
}

// List gives letters in the order of their ids, from the one after an id on ("": the
// first). A page costs what is on it, but where the filter names a Reason or a time: then it
// costs what it passes over.
func (o *Outbox) List(ctx context.Context, f Filter, after string, limit int) ([]Stored, error) {
	return o.list(ctx, f, page{from: after, limit: limit})
}

// ListBack is List from the newest on, from the one before an id on ("": the last).
func (o *Outbox) ListBack(ctx context.Context, f Filter, before string, limit int) ([]Stored, error) {
	return o.list(ctx, f, page{from: before, limit: limit, back: true})
}

func (o *Outbox) list(ctx context.Context, f Filter, p page) (listed []Stored, err error) {
	p.limit = min(p.limit, portion)
	letters, err := o.store.find(ctx, o.store.db, f, p)
	if err == nil {
		err = o.store.readHeads(ctx, letters)
	}
	if err != nil {
		return nil, fmt.Errorf("listing letters: %w", o.store.explain(ctx, err))
	}
	for _, letter := range letters {
		listed = append(listed, letter.Stored)
	}
	return listed, nil
}

// A page says which of the letters that a filter finds.
type page struct {
	from  string // after this id, or before it
	back  bool   // the newest first
	limit int
}

// find gives letters that are not arriving, without their heads. It asks for each upstream
// and state by itself, for so there is an index; the tallies tell which there are.
func (s *Store) find(ctx context.Context, from querier, f Filter, p page) (found []row, err error) {
	if f.IDs != nil {
		return s.findNamed(ctx, from, f, p)
	}
	var parts []tallied
	err = eachRow(ctx, from, func(rows *sql.Rows) error {
		var of tallied
		err := rows.Scan(&of.upstream, &of.state)
		if f.State(of.state) && (f.Upstream == "" || f.Upstream == of.upstream) {
			parts = append(parts, of)
		}
		return err
	}, `SELECT DISTINCT upstream, state FROM outrider_tallies WHERE letters > 0`)
	for _, of := range parts {
		query, args := f.query(`upstream = $1 AND state = $2 AND id `+p.beyond()+` $3`, of.upstream, of.state, p.start())
		part, failed := s.readLetters(ctx, from, fmt.Sprintf(`%s ORDER BY id %s LIMIT %d`, query, p.direction(), p.limit), args...)
		found, err = append(found, part...), errors.Join(err, failed)
	}
	return p.cut(found), err
}

// findNamed is find for a filter with ids.
func (s *Store) findNamed(ctx context.Context, from querier, f Filter, p page) (found []row, err error) {
	if len(f.IDs) == 0 {
		return nil, nil
	}
	places, args := inList(min(len(f.IDs), portion), func(i int) any { return f.IDs[i] })
	query, args := f.query(`id IN (`+places+`)`, args...)
	all, err := s.readLetters(ctx, from, query, args...)
	for _, letter := range all {
		beyond := cmp.Compare(letter.ID, p.from)
		if p.back {
			beyond = -beyond
		}
		if f.State(letter.State) && (f.Upstream == "" || letter.Upstream == f.Upstream) && (p.from == "" || beyond > 0) {
			found = append(found, letter)
		}
	}
	return p.cut(found), err
}

// State reports whether letters of a state are among those of the filter.
func (f Filter) State(state string) bool {
	return state != Arriving && (len(f.States) == 0 || slices.Contains(f.States, state))
}

// query asks for letters with a condition, and with those of the filter that no index has.
func (f Filter) query(where string, args ...any) (string, []any) {
	if f.Reason != "" {
		args = append(args, f.Reason)
		where += fmt.Sprintf(` AND reason = $%d`, len(args))
	}
	if !f.Before.IsZero() {
		args = append(args, f.Before.UnixMilli())
		where += fmt.Sprintf(` AND created < $%d`, len(args))
	}
	return `SELECT ` + letterColumns + ` FROM outrider_letters WHERE ` + where, args
}

func (p page) beyond() string {
	if p.back {
		return "<"
	}
	return ">"
}

func (p page) direction() string {
	if p.back {
		return "DESC"
	}
	return "ASC"
}

// start is p.from, or what is before the first of all letters.
func (p page) start() string {
	if p.from == "" && p.back {
		return behind("")
	}
	return p.from
}

// cut gives the first ones of several that were found.
func (p page) cut(found []row) []row {
	slices.SortFunc(found, func(a, b row) int {
		if p.back {
			a, b = b, a
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return found[:min(len(found), p.limit)]
}

// Attempts gives the records of a letter's attempts, oldest first; one that does not open is
// nil. ErrUnknown.
func (o *Outbox) Attempts(ctx context.Context, id string) (records [][]byte, err error) {
	letter, err := o.letter(ctx, id)
	if err == nil {
		records, err = o.attempts(ctx, &letter)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the attempts of letter %s: %w", id, err)
	}
	return records, nil
}

func (o *Outbox) attempts(ctx context.Context, letter *row) (records [][]byte, err error) {
	key, err := o.store.openLetter(ctx, letter)
	if err != nil {
		return nil, err
	}
	err = eachRow(ctx, o.store.db, func(rows *sql.Rows) error {
		var n int64
		var sealed []byte
		if err := rows.Scan(&n, &sealed); err != nil {
			return err
		}
		record, _ := key.open(attemptPart, n, true, sealed)
		records = append(records, record)
		return nil
	}, `SELECT n, sealed FROM outrider_pieces WHERE letter = $1 AND part = 2 ORDER BY n`, letter.ID)
	if err != nil {
		return nil, o.store.explain(ctx, err)
	}
	return records, nil
}

// Body reads the body of a letter that has not been delivered or cancelled: afterwards it
// is not kept (ErrEnded). A read that finds it changed ends with ErrDamaged. ctx governs
// the reads.
func (o *Outbox) Body(ctx context.Context, id string) (io.ReadCloser, error) {
	letter, err := o.letter(ctx, id)
	if err == nil && (letter.State == Delivered || letter.State == Cancelled) {
		err = ErrEnded
	}
	if err != nil {
		return nil, fmt.Errorf("reading the body of letter %s: %w", id, err)
	}
	body, err := o.read(ctx, &letter, bodyPart, firstOf(letter.version), letter.BodySize)
	if err != nil {
		return nil, fmt.Errorf("reading the body of letter %s: %w", id, err)
	}
	return body, nil
}

func (o *Outbox) read(ctx context.Context, letter *row, part int, first, size int64) (io.ReadCloser, error) {
	key, err := o.store.openLetter(ctx, letter)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	return &pieceReader{ctx: ctx, end: end, store: o.store, id: letter.ID, key: key, part: part, next: first, left: size}, nil
}

// Response gives what End kept of the answer. head is nil where there is none. ErrUnknown,
// ErrDamaged.
func (o *Outbox) Response(ctx context.Context, id string) (head []byte, body io.ReadCloser, err error) {
	letter, err := o.letter(ctx, id)
	if err == nil && letter.answer < 0 {
		return nil, io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err == nil {
		head, err = o.answerHead(ctx, &letter)
	}
	if err == nil {
		body, err = o.read(ctx, &letter, ansBodyPart, 0, letter.answer)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer to letter %s: %w", id, err)
	}
	return head, body, nil
}

func (o *Outbox) answerHead(ctx context.Context, letter *row) ([]byte, error) {
	key, err := o.store.openLetter(ctx, letter)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	err = o.store.db.QueryRowContext(ctx, `SELECT sealed FROM outrider_pieces WHERE letter = $1 AND part = 3 AND n = 0`, letter.ID).Scan(&sealed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, o.store.explain(ctx, err)
	}
	return key.open(ansHeadPart, 0, true, sealed)
}
