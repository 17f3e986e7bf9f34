package limit

import (
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
	agree  int      // by how many answers more these were named than others
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
	name := v.Bucket
	if v.Partition != "" {
		name += " " + v.Partition
	}
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

// assign notes to which buckets a call counted, by its answer.
func (d *dispatcher) assign(t turn, named []*meter, now time.Time) {
	base := t.lane.base
	known := &base.learner
	set := known.of(t.route)
	switch {
	case sameMeters(set.meters, named):
		set.agree = min(set.agree+1, maxAgree)
		return
	case set != &known.usual && sameMeters(known.usual.meters, named):
		delete(known.special, t.route)
		return // Its lane stays as it is, for those who wait there.
	case set != &known.usual, set.agree == 0:
		*set = bucketSet{meters: named, agree: 1}
	default:
		set.agree--
		if len(known.special) >= maxRoutes {
			return
		}
		if known.special == nil {
			known.special = make(map[route]*bucketSet)
		}
		known.special[t.route] = &bucketSet{meters: named, agree: 1}
		return // Its lane begins with the next call.
	}
	of := route{}
	if set != &known.usual {
		of = t.route
	}
	for _, l := range d.lanes {
		if l.base == base && l.route == of {
			d.reroute(l, set.meters, now)
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
