package limit

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// A lane is the calls that pass the same meters, whatever way they came.
type lane struct {
	meters  []*meter   // as a call names them, and then buckets; replaced and never changed: turns have it
	base    *meter     // the last that is configured and learns; nil: none does
	own     *bucketSet // which the calls of its routes count to; nil: the usual buckets
	buckets []bucketed
	sent    uint64 // how many calls have been
	flying  int    // what those cost that are on their way
	maxWait time.Duration
	line    line
	tag     tag
	due     [priorities]int64 // where the next of a class begins at the earliest: see tag
	wake    time.Time         // when rates and gates let the first go; zero: they do

	counted counted
}

func newLane(meters []*meter, own *bucketSet) *lane {
	return &lane{meters: meters, maxWait: patience(meters), base: learning(meters), own: own}
}

// counted is what a lane has added to its meters.
type counted struct {
	all     load
	at      *meter // that it waits for most; nil: nobody waits
	byClass [priorities]load
}

// A laneKey names a lane. Most calls pass one quota, or two; the map of a dispatcher, of
// which there are thousands, has room for eight keys from the first on.
type laneKey struct {
	tables [2]uint64
	keys   [2]string
	rest   string // those that do not fit
	own    *bucketSet
}

func keyOf(stations []station) (key laneKey) {
	for i, s := range stations {
		if i < len(key.keys) {
			key.tables[i], key.keys[i] = s.table, s.key
			continue
		}
		key.rest += strconv.FormatUint(s.table, 10) + " " + strconv.Quote(s.key) + " "
	}
	return key
}

// canonical is the key for the stations in any order, some of them twice perhaps.
func canonical(stations []station) laneKey {
	stations = slices.Clone(stations)
	slices.SortFunc(stations, func(a, b station) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key))
	})
	return keyOf(slices.Compact(stations))
}

// learning is the base among meters.
func learning(meters []*meter) *meter {
	for _, m := range slices.Backward(meters) {
		if m.settings.Learn && m.learned == nil {
			return m
		}
	}
	return nil
}

// stations are those of its meters that are configured.
func (l *lane) stations() []station {
	var stations []station
	for _, m := range l.fixed() {
		stations = append(stations, m.station)
	}
	return stations
}

// name is the key of the one lane that passes these meters and has its set of buckets.
func (l *lane) name() laneKey {
	key := canonical(l.stations())
	key.own = l.own
	return key
}

// has reports whether the calls of the lane pass m.
func (l *lane) has(m *meter) bool { return slices.Contains(l.meters, m) }

// step is the time after which a waiter moves up a class. Two steps take the
// lowest to the highest, so each call has at least the last third of MaxWait in
// which no newcomer goes before it for its priority.
func (l *lane) step() time.Duration { return l.maxWait / priorities }

// patience is how long a call may wait: the least of what its quotas say. One that
// lets nobody wait says nothing of the wait for the others: see dispatcher.expire. With
// no quota left there is nothing to be late for.
func patience(meters []*meter) time.Duration {
	if len(meters) == 0 {
		return math.MaxInt64
	}
	var least time.Duration
	for _, m := range meters {
		if wait := m.settings.MaxWait; wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
	}
	return least
}

// placeOf is where w would stand in line.
func (l *lane) placeOf(w *waiter, now time.Time) place { return l.line.placeOf(w, now, l.step()) }

// obstacle is the meter that keeps the next call from going, one of that cost: the
// first at which somebody has to come back before, or else that which lets it go last.
func (l *lane) obstacle(now time.Time, cost int) *meter {
	var latest *meter
	for _, m := range l.meters {
		if m.full(now, cost) {
			return m
		}
		if latest == nil || m.turnOf(now, 0, cost).After(latest.turnOf(now, 0, cost)) {
			latest = m
		}
	}
	return latest
}

// behind says what a call would wait for that costs so much; "": for nothing that has a name.
func (l *lane) behind(now time.Time, cost int) string {
	if w := l.line.first(); w != nil {
		cost = w.cost
	}
	if m := l.obstacle(now, cost); m != nil {
		return m.obstacle(now)
	}
	return ""
}

// narrowest is the meter that lets the last of the lane go last, among all who wait
// there: that which the lane waits for.
func (l *lane) narrowest(now time.Time) *meter {
	if len(l.meters) == 1 {
		return l.meters[0]
	}
	var narrowest *meter
	var longest time.Duration
	for _, m := range l.meters {
		wait := max(m.turnOf(now, m.waiting.cost, 1).Sub(now), m.slotWait(m.waiting.calls))
		if narrowest == nil || wait > longest || wait == longest && m.full(now, 1) && !narrowest.full(now, 1) {
			narrowest, longest = m, wait
		}
	}
	return narrowest
}

// shared reports whether calls of other lanes have to pass the meter that this one waits
// for.
func (l *lane) shared() bool {
	return l.counted.at != nil && l.counted.at.waiting.calls > l.counted.all.calls
}

// count has the meters know who waits here. Each call that changes the line has to be
// followed by one.
func (l *lane) count(now time.Time) {
	l.uncount()
	c := &l.counted
	c.all = l.line.load()
	for _, m := range l.meters {
		m.waiting = m.waiting.plus(c.all)
	}
	if c.all.calls == 0 || len(l.meters) == 0 {
		return
	}
	c.at, c.byClass = l.narrowest(now), l.line.byClass()
	c.at.lanes++
	for k, waiting := range c.byClass {
		c.at.queued[k] = c.at.queued[k].plus(waiting)
	}
}

// uncount takes back what count has added.
func (l *lane) uncount() {
	c := &l.counted
	for _, m := range l.meters {
		m.waiting = m.waiting.minus(c.all)
	}
	if c.at != nil {
		c.at.lanes--
		for k, waiting := range c.byClass {
			c.at.queued[k] = c.at.queued[k].minus(waiting)
		}
	}
	*c = counted{}
}
