package quota

import (
	"maps"
	"slices"
)

// A Dialect is how one provider tells of its quotas: in which fields, in which
// units.
type Dialect struct {
	statements []statement
	fields     map[string]uint32 // field → a bit for each statement that reads it
	initials   uint32            // of the fields, a bit for each letter
	lengths    uint64            // of the fields: see length
}

// length is a bit for that of a field: one for all that are longest.
func length(field string) uint64 { return 1 << min(len(field), 63) }

// may reports whether a field of the dialect begins as this one does, and one is as long.
func (d *Dialect) may(field string) bool {
	return field != "" && d.lengths&length(field) != 0 && d.initials&(1<<(field[0]-'A')) != 0
}

// A statement is what some fields say together.
type statement interface {
	fields() []string // in canonical form; empty ones do not count
	read(r *reading)
}

// Named returns the dialect of a provider, by one of Names.
func Named(name string) (*Dialect, bool) {
	d, ok := dialects[name]
	return d, ok
}

// Names are the names of the dialects, sorted.
func Names() []string { return slices.Sorted(maps.Keys(dialects)) }

// speaking makes a dialect of at most 32 statements. Their views come in this
// order.
func speaking(statements ...statement) *Dialect {
	d := &Dialect{statements: statements, fields: map[string]uint32{}}
	for i, s := range statements {
		for _, field := range s.fields() {
			d.fields[field] |= 1 << i
			if field != "" {
				d.initials |= 1 << (field[0] - 'A')
				d.lengths |= length(field)
			}
		}
	}
	return d
}
