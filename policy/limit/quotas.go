package limit

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"outrider/policy/pace"
)

// A Table is one limit, of which each key has a quota of its own.
type Table struct {
	// Name tells the tables of a Quotas apart, and is what a reload finds them by.
	Name     string
	Settings Settings
}

// Quotas are all quotas of one upstream: for each Table one for each key. A quota
// begins with the first call to its key, with all its room. Its methods may be called
// at the same time.
type Quotas struct {
	tables     []Table
	ids        []uint64 // of the tables: those that went on have the one that they had
	generation uint64
	scopes     *scopes // the same in every generation
	wider      func(scope string) string
}

// lastID is what the tables are numbered by: an id that has gone does not come back.
var lastID atomic.Uint64

// New returns the quotas of these tables. Those of prev that have the name of one go
// on. It does not change prev, whose tables hold for both until Adopt. prev may be nil.
// The error names every table and field that is wrong.
func New(tables []Table, prev *Quotas) (*Quotas, error) {
	q := &Quotas{tables: slices.Clone(tables)}
	var errs []error
	for i := range q.tables {
		t := &q.tables[i]
		if err := t.Settings.check(); err != nil {
			errs = append(errs, fmt.Errorf("checking %s: %w", cmp.Or(t.Name, "limit"), err))
		}
		if slices.ContainsFunc(q.tables[:i], func(other Table) bool { return other.Name == t.Name }) {
			errs = append(errs, fmt.Errorf("checking %s: the name is that of another table", t.Name))
		}
		q.ids = append(q.ids, prev.idOf(t.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if prev == nil {
		q.scopes = newScopes(q)
		return q, nil
	}
	q.generation, q.scopes = prev.generation+1, prev.scopes
	return q, nil
}

// idOf is the id of the table with this name, or a new one. q may be nil.
func (q *Quotas) idOf(name string) uint64 {
	if q != nil {
		for i := range q.tables {
			if q.tables[i].Name == name {
				return q.ids[i]
			}
		}
	}
	return lastID.Add(1)
}

// table is that with this id; nil: there is none.
func (q *Quotas) table(id uint64) *Table {
	if i := slices.Index(q.ids, id); i >= 0 {
		return &q.tables[i]
	}
	return nil
}

// Adopt puts the tables of q in force for the quotas that it took over, and for the
// calls in line there; those without a table are dropped. Call it when q has been
// published; the first call through q does it otherwise. Further calls do nothing, and
// neither does a Quotas that a later one has followed.
func (q *Quotas) Adopt() {
	if q.scopes.generation.Load() < q.generation {
		q.scopes.adopt(q)
	}
}

// Widen has Adopt bring together quotas that were apart so far: those of each scope go on
// in the scope that wider names for it. It is for ways whose scopes have become wider,
// and has to be called before Adopt.
func (q *Quotas) Widen(wider func(scope string) string) { q.wider = wider }

// State is one quota at one moment.
type State struct {
	Table   string        `json:"table"` // the name of its table
	Key     string        `json:"key"`
	Bucket  string        `json:"bucket,omitempty"`  // the provider's name for it, "default" if it has none; "": it is that of the table
	Learned *Learned      `json:"learned,omitempty"` // what answers tell of a bucket; nil: nothing any more
	Slots   int           `json:"slots,omitempty"`   // of a bucket: calls that may be on their way, as answers tell; 0: any number
	Adapted float64       `json:"adapted,omitempty"` // calls a second, as refusals tell; 0: as many as there are
	Tokens  float64       `json:"tokens"`            // calls that may be sent at once; 0 without a rate
	Room    float64       `json:"room"`              // the most that Tokens can be; 0 without a rate
	Active  int           `json:"active"`            // calls on their way
	Waiting int           `json:"waiting"`           // calls in line, for this quota more than for their others
	Line    Line          `json:"line"`              // the same by class
	Wait    time.Duration `json:"wait_ns"`           // how long a call of normal priority that costs one would wait
	Gate    time.Time     `json:"gate,omitzero"`     // closed by the provider until then; zero: open
}

// Learned is what is known of a bucket, in the units of the provider.
type Learned struct {
	pace.Facts
	Remaining float64 // what may be spent now: what is on its way is subtracted
}

// Line is how many calls wait in each class. A call that has waited long is in a
// higher class than that of its priority.
type Line struct {
	High   int `json:"high"`
	Normal int `json:"normal"`
	Low    int `json:"low"`
}

// Snapshot returns the state of every quota, in the order of the tables and by key.
func (q *Quotas) Snapshot() []State {
	now := time.Now()
	states := []State{}
	for _, d := range q.scopes.list() {
		states = d.appendStates(states, now)
	}
	order := make(map[string]int, len(q.tables)) // name of a table → where it stands
	for i := range q.tables {
		order[q.tables[i].Name] = i
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(order[a.Table], order[b.Table]), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Bucket, b.Bucket))
	})
	return states
}

// Refuses reports whether a call that arrives after a while would be refused, as things
// stand now: by rate and gate its turn comes later than its context ends, or than it may
// wait. Slots are not looked at, since nobody knows when they are given back.
func (q *Quotas) Refuses(way Way, req *http.Request, after time.Duration) bool {
	d := q.scopes.find(way.scope(req))
	if d == nil {
		return false
	}
	var buf [few]station
	w := newWaiter(time.Now(), q.claim(req.Context(), &way), way.cost())
	w.route = routeOf(req)
	w.deadline, _ = req.Context().Deadline()
	return d.refuses(w, q.stations(&buf, &way, req), after)
}

// A Prospect is what a call would meet at one of its quotas.
type Prospect struct {
	State        // of one that no call has come to: Key alone. Wait is the call's, and not that of one of normal priority
	Why   string // what it would wait for, as Settings.OnWait tells it; "": it could go
}

// Forecast says how long a call that arrives now would wait, and at which of its
// stops, after which come the buckets that it is taken to count to: exactly, as far as
// rate and gate go, if one line has all to itself and nobody comes who goes before it;
// by the mean time that calls took so far, for a slot.
func (q *Quotas) Forecast(way Way, req *http.Request, claim Claim) (stops []Prospect, wait time.Duration) {
	stations := q.stations(new([few]station), &way, req)
	stops = make([]Prospect, len(stations))
	for i, s := range stations {
		stops[i].Key = s.key
	}
	scope := way.scope(req)
	d := q.scopes.find(scope)
	if d == nil && q.holds(stations) {
		d = q.scopes.get(scope)
	}
	if d != nil {
		return d.forecast(stops, stations, routeOf(req), claim, way.cost())
	}
	return stops, 0
}
