package results

import (
	"sync"
	"time"
)

const (
	// MaxEndpoints is how many endpoints a Watch counts: paths come from outside. Those
	// that were counted last stay.
	MaxEndpoints = 200

	leastUsual = 50  // answers there were, before it is known what is usual
	mostEmpty  = 0.2 // of these were empty, where something is usual
	leastRun   = 20  // answers in a row are empty, before that is no chance
	runFactor  = 2   // times the longest run that there was, which they exceed
	remembered = 8 * 24 * time.Hour
	// halfLife is after how many answers what is usual is halved: what was a month ago
	// says less.
	halfLife = 1000
)

// An Endpoint is one that has become empty.
type Endpoint struct {
	Name  string
	Since time.Time // of the first empty answer
	Run   int       // answers in a row that are empty
	Usual float64   // the share that was, of Of answers before
	Of    int
}

// A Change is what an answer has changed.
type Change int

// The changes.
const (
	None   Change = iota
	Begins        // the endpoint has become empty
	Ends          // it is not any more, or is counted no more
)

// A Watch counts the answers of one upstream. It may be used concurrently; the zero Watch
// has counted nothing.
type Watch struct {
	mu        sync.Mutex
	endpoints map[string]*endpoint
	counted   uint64 // answers, which is the time by which the oldest endpoint is found
}

type endpoint struct {
	Endpoint
	empty     int // of the Of answers before the run
	longest   int // run that has ended
	longestAt time.Time
	told      bool
	used      uint64
}

// Count counts an answer of an endpoint that came at now. changed is told what that changes,
// and of which endpoint: one that is counted no more, to make room, is another.
func (w *Watch) Count(name string, empty bool, now time.Time, changed func(Change, Endpoint)) {
	change, e, gone := w.count(name, empty, now)
	if gone != nil {
		changed(Ends, *gone)
	}
	if change != None {
		changed(change, e)
	}
}

func (w *Watch) count(name string, empty bool, now time.Time) (c Change, as Endpoint, gone *Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, gone := w.endpoint(name)
	w.counted++
	e.used = w.counted
	if !empty {
		c = e.something(now)
		return c, e.Endpoint, gone
	}
	if e.Run++; e.Run == 1 {
		e.Since = now
	}
	if !e.told && e.jumped(now) {
		e.told, c = true, Begins
	}
	return c, e.Endpoint, gone
}

// endpoint gives what is known of an endpoint. A new one takes the place of the one that has
// not answered for longest, if there are too many: gone is that one, if it was told of.
func (w *Watch) endpoint(name string) (e *endpoint, gone *Endpoint) {
	if e = w.endpoints[name]; e != nil {
		return e, nil
	}
	if w.endpoints == nil {
		w.endpoints = make(map[string]*endpoint)
	}
	if len(w.endpoints) >= MaxEndpoints {
		var oldest *endpoint
		for _, other := range w.endpoints {
			if oldest == nil || other.used < oldest.used {
				oldest = other
			}
		}
		delete(w.endpoints, oldest.Name)
		if oldest.told {
			gone = &oldest.Endpoint
		}
	}
	e = &endpoint{Endpoint: Endpoint{Name: name}}
	w.endpoints[name] = e
	return e, gone
}

// something counts an answer that is not empty. What was told of was not usual, and is left
// out of that.
func (e *endpoint) something(now time.Time) (c Change) {
	if e.Run > e.longest || now.Sub(e.longestAt) >= remembered {
		e.longest, e.longestAt = e.Run, now
	}
	if e.told {
		c = Ends
	} else {
		e.Of += e.Run
		e.empty += e.Run
	}
	e.Of++
	for e.Of >= halfLife {
		e.Of, e.empty = e.Of/2, e.empty/2
	}
	e.Usual = float64(e.empty) / float64(e.Of)
	e.Run, e.Since, e.told = 0, time.Time{}, false
	return c
}

// jumped reports whether the run is none that there is by chance.
func (e *endpoint) jumped(now time.Time) bool {
	longest := e.longest
	if now.Sub(e.longestAt) >= remembered {
		longest = 0
	}
	return e.Of >= leastUsual && e.Usual <= mostEmpty && e.Run >= leastRun && e.Run > runFactor*longest
}

// Has reports whether an endpoint has become empty.
func (w *Watch) Has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.endpoints[name]
	return e != nil && e.told
}
