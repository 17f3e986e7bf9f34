package limit

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// A bucket is a quota that the provider's answers told of: a meter without a rate of its
// own, which goes by what they say. It belongs to the meter of a table that learns, its
// base, and has the name that the provider gives it.
//
// Which buckets a call counts to is known when it has been answered. Most calls of a
// base count to the same ones, its usual buckets. A route whose calls count to others
// (GitHub's search) has lanes of its own.

// maxBuckets is how many buckets a base has, and maxRoutes how many routes that have
// others than the usual ones: what names them comes from outside.
const (
	maxBuckets = 64
	maxRoutes  = 256
)

// A route is the calls that are taken to count to the same buckets: what is between the
// first and the last part of a path is mostly names of things. The zero route is all
// that have none of their own.
type route struct{ method, first, last string }

func routeOf(req *http.Request) route {
	path := strings.Trim(req.URL.Path, "/")
	first, _, _ := strings.Cut(path, "/")
	return route{req.Method, first, path[strings.LastIndexByte(path, '/')+1:]}
}

// A learner is what a base knows of its buckets.
type learner struct {
	buckets map[string]*meter // by the provider's name
	usual   bucketSet
	special map[route]*bucketSet // routes that have others
}

// A bucketSet is the buckets of a route.
type bucketSet struct {
	meters []*meter // never changed: lanes have it
	agree  int      // of the usual ones: by how many answers more these were named than others
}

// maxAgree bounds for how long an old set holds against a new one.
const maxAgree = 8

// of is the set of a route that has one of its own.
func (l *learner) of(r route) *bucketSet {
	if set := l.special[r]; set != nil {
		return set
	}
	return &l.usual
}

// bucket is the one that a view is about; nil: there are too many.
func (d *dispatcher) bucket(base *meter, v quota.View) *meter {
	name := cmp.Or(v.Bucket, "default")
	if v.Partition != "" {
		name += " " + v.Partition
	}
	return d.bucketNamed(base, name)
}

func (d *dispatcher) bucketNamed(base *meter, name string) *meter {
	if m := base.learner.buckets[name]; m != nil {
		return m
	}
	if len(base.learner.buckets) >= maxBuckets {
		return nil
	}
	m := newBucket(base, name)
	if base.learner.buckets == nil {
		base.learner.buckets = make(map[string]*meter)
	}
	base.learner.buckets[name] = m
	d.meters[m.station] = m
	return m
}

func newBucket(base *meter, name string) *meter {
	m := &meter{station: base.station, name: base.name, learned: pace.NewLearned(base.settings.Style)}
	m.bucket, m.shape = name, m.learned
	m.adopt(base.settings)
	return m
}

// adopt takes over the settings of the base: how long calls may wait, and whom to tell.
func (m *meter) adopt(base *Settings) {
	s := *base
	s.Count, s.Concurrency = 0, m.slots
	m.settings = &s
}

// knows reports whether anything is known of a bucket, and holds calls up.
func (m *meter) knows(now time.Time) bool { return m.learned.Known(now) || m.slots > 0 }

// known is what is known of a bucket; nil: nothing.
func (m *meter) known(now time.Time) *Learned {
	facts, left, known := m.learned.About(now)
	if !known {
		return nil
	}
	return &Learned{facts, left}
}

// assign notes to which buckets a call counted, by its answer.
func (d *dispatcher) assign(t turn, named []*meter, now time.Time) {
	base := t.lane.base
	known := &base.learner
	usual, own := &known.usual, known.special[t.route]
	switch {
	case own != nil && sameMeters(own.meters, named), sameMeters(usual.meters, named):
		if own == nil {
			usual.agree = min(usual.agree+1, maxAgree)
		}
	case own != nil:
		own.meters = named
		d.rerouteAll(base, t.route, named, now)
	case usual.agree > 0, len(usual.meters) == 0 && !known.common(named):
		usual.agree = max(usual.agree-1, 0)
		if known.special == nil {
			known.special = make(map[route]*bucketSet)
		}
		if len(known.special) < maxRoutes {
			known.special[t.route] = &bucketSet{meters: named} // Its lane begins with the next call.
		}
	default:
		*usual = bucketSet{meters: named, agree: 1}
		d.rerouteAll(base, route{}, named, now)
	}
}

// common reports whether buckets that are named for the first time can be those of most
// calls: by their names, or because another route has them too. If not, they may be a
// quota of a few calls, which must not hold up the others.
func (l *learner) common(named []*meter) bool {
	if !slices.ContainsFunc(named, func(m *meter) bool { return !general(m.bucket) }) {
		return true
	}
	for _, set := range l.special {
		if sameMeters(set.meters, named) {
			return true
		}
	}
	return false
}

// general reports whether a bucket has one of the names that package quota gives itself,
// or GitHub to what most calls count to.
func general(bucket string) bool {
	switch bucket {
	case "default", "core", "requests", "tokens", "input-tokens", "output-tokens", "daily", "second", "minute", "hour", "day", "api-usage":
		return true
	}
	return strings.HasPrefix(bucket, "w=")
}

// rerouteAll has all lanes of a base and a route pass these buckets.
func (d *dispatcher) rerouteAll(base *meter, r route, buckets []*meter, now time.Time) {
	for _, l := range d.lanes {
		if l.base == base && l.route == r {
			d.reroute(l, buckets, now)
		}
	}
}

// A bucketed is a bucket in a lane.
type bucketed struct {
	*meter
	since uint64 // lane.sent, when it was put there
	early int    // what the calls cost that had been sent before, and are on their way
}

// reroute has the calls of a lane pass these buckets, and those on their way count to
// them.
func (d *dispatcher) reroute(l *lane, buckets []*meter, now time.Time) {
	if sameMeters(l.bucketMeters(), buckets) {
		return
	}
	l.uncount()
	l.buckets = slices.DeleteFunc(l.buckets, func(b bucketed) bool {
		gone := !slices.Contains(buckets, b.meter)
		if gone {
			b.learned.Land(b.early)
		}
		return gone
	})
	for _, m := range buckets {
		if !slices.Contains(l.bucketMeters(), m) {
			l.buckets = append(l.buckets, bucketed{m, l.sent, l.flying})
			m.learned.Fly(l.flying)
		}
	}
	l.meters = slices.Concat(l.fixed(), l.bucketMeters())
	l.line.order.judge(l.maxWait)
	d.changed(l, now)
	d.disturbed = true
}

func (l *lane) bucketMeters() []*meter {
	var meters []*meter
	for _, b := range l.buckets {
		meters = append(meters, b.meter)
	}
	return meters
}

// fixed are the meters of the lane that are configured.
func (l *lane) fixed() []*meter {
	return slices.DeleteFunc(slices.Clone(l.meters), func(m *meter) bool { return m.learned != nil })
}

// land notes that the call of a turn is not on its way any more.
func (t *turn) land() {
	l := t.lane
	l.flying -= t.cost
	for i := range l.buckets {
		if b := &l.buckets[i]; t.seq <= b.since {
			b.early -= t.cost
			b.learned.Land(t.cost)
		}
	}
	for _, m := range t.meters {
		if m.learned != nil {
			m.learned.Land(t.cost)
		}
	}
}

// sameMeters reports whether two sets are equal.
func sameMeters(a, b []*meter) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m *meter) bool { return !slices.Contains(b, m) })
}
