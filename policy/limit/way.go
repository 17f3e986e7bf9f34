package limit

import "net/http"

// A Way is which quotas a call passes.
type Way struct {
	// Cost is how many tokens of each rate a call spends, at least 1.
	Cost int

	// Scope says which calls may have a quota in common: only those of one scope. The
	// calls of a scope share a lock and a timer. Nil: all calls are of one scope.
	Scope func(*http.Request) string

	// Stops are the quotas. One that is named twice counts once. No stop: no limit.
	Stops []Stop
}

// A Stop is the quota of one table, counted from 0, that Key names for a call.
type Stop struct {
	Table int
	Key   func(*http.Request) string
}

func (w *Way) cost() int { return max(w.Cost, 1) }

func (w *Way) scope(req *http.Request) string {
	if w.Scope == nil {
		return ""
	}
	return w.Scope(req)
}

// A station is a stop of one call, or a bucket of one.
type station struct {
	table  uint64 // its id
	key    string
	bucket string // the provider's name for it; "": it is no bucket
}

// few is how many stations a call has without memory of its own for them.
const few = 4

// stations are those of a call, in buf if there is room.
func (q *Quotas) stations(buf *[few]station, w *Way, req *http.Request) []station {
	stations := buf[:]
	if len(w.Stops) > len(buf) {
		stations = make([]station, len(w.Stops))
	}
	for i := range w.Stops {
		stop, s := &w.Stops[i], &stations[i] // written where it stays: to copy what was just written takes as long as the rest
		s.table, s.key = q.ids[stop.Table], stop.Key(req)
	}
	return stations[:len(w.Stops)]
}
