package limit

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"outrider/policy/pace"
	"outrider/policy/quota"
)

// A bucket is a quota that the provider's answers told of: a meter without a rate of its
// own, which goes by what they say. It belongs to the meter of a table that learns, its
// base, and has the name that the provider gives it.

// maxBuckets is how many buckets a base has: what names them comes from outside.
const maxBuckets = 64

// bucket is the one that a view is about; nil: there are too many, or the base has gone.
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
	if len(base.learner.buckets) >= maxBuckets || d.meters[base.station] != base {
		return nil
	}
	name = strings.Clone(name) // It is a part of a header.
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

// adopt takes over the settings of the base: how long calls may wait, how what is left is
// used, and whom to tell.
func (m *meter) adopt(base *Settings) {
	s := *base
	s.Count, s.Concurrency = 0, m.slots
	m.settings = &s
	m.learned.Use(s.Style)
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

// makeRoom forgets the buckets of a base of which nothing is known any more, if there
// are too many for those that an answer names.
func (d *dispatcher) makeRoom(base *meter, named int, now time.Time) {
	known := &base.learner
	if len(known.buckets)+named <= maxBuckets {
		return
	}
	forgotten := make(map[*meter]bool)
	for name, m := range known.buckets {
		if m.idle(now) {
			forgotten[m] = true
			delete(known.buckets, name)
			delete(d.meters, m.station)
		}
	}
	d.unassign(base, forgotten, now)
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
	t.leave()
	for _, m := range t.meters {
		if m.learned != nil {
			m.learned.Land(t.cost)
		}
	}
}

// leave is land for the lane, and for those buckets that it has got since.
func (t *turn) leave() {
	l := t.lane
	l.flying -= t.cost
	for i := range l.buckets {
		if b := &l.buckets[i]; t.seq <= b.since {
			b.early -= t.cost
			b.learned.Land(t.cost)
		}
	}
}

// sameMeters reports whether two sets are equal.
func sameMeters(a, b []*meter) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(m *meter) bool { return !slices.Contains(b, m) })
}
