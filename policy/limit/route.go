package limit

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Which buckets a call counts to is known when it has been answered. Most calls of a
// base count to the same ones, its usual buckets. Routes whose calls count to others
// (GitHub's search) have a set of their own, and so their own lanes.

// A route is the calls that are taken to count to the same buckets, by the first part of
// their path and the last. What is between them is mostly names of things, and so is a
// last part with a digit: then it is the one before it (of /items/17, items).
type route struct{ method, first, last string }

func routeOf(req *http.Request) route {
	path := strings.Trim(req.URL.Path, "/")
	first, _, _ := strings.Cut(path, "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	for rest := path; strings.ContainsAny(last, "0123456789"); last = rest[strings.LastIndexByte(rest, '/')+1:] {
		rest = rest[:max(strings.LastIndexByte(rest, '/'), 0)]
	}
	return route{cut(req.Method), cut(first), cut(last)}
}

// cut bounds a part of a route: it comes from outside.
func cut(part string) string { return part[:min(len(part), 64)] }

// clone is r without the path that it is a part of.
func (r route) clone() route {
	return route{strings.Clone(r.method), strings.Clone(r.first), strings.Clone(r.last)}
}

// maxRoutes is how many routes of a base have a set of their own: paths come from
// outside.
const maxRoutes = 256

// maxAgree bounds for how long old usual buckets hold against new ones.
const maxAgree = 8

// A learner is what a base knows of its buckets.
type learner struct {
	buckets map[string]*meter    // by the provider's name
	usual   []*meter             // those of most calls; never changed: lanes have it
	agree   int                  // by how many answers more these were named than others
	special map[route]*bucketSet // routes that have others
}

// A bucketSet is the buckets of some routes. It never changes, and of equal ones there is
// one: calls of all its routes take their turns in one lane.
type bucketSet struct{ meters []*meter }

// of are the buckets of a set; nil: the usual ones.
func (k *learner) of(own *bucketSet) []*meter {
	if own != nil {
		return own.meters
	}
	return k.usual
}

// setApart gives a route a set of its own. One of too many routes goes by the usual
// buckets again, until the next answer to it.
func (k *learner) setApart(r route, named []*meter) {
	set := &bucketSet{named}
	for _, other := range k.special {
		if sameMeters(other.meters, named) {
			set = other
			break
		}
	}
	if k.special == nil {
		k.special = make(map[route]*bucketSet)
	}
	for other := range k.special {
		if k.special[r] != nil || len(k.special) < maxRoutes {
			break
		}
		delete(k.special, other)
	}
	k.special[r.clone()] = set
}

// assign notes to which buckets a call counted, by its answer.
func (d *dispatcher) assign(t *turn, named []*meter, now time.Time) {
	r := routeOf(t.req)
	base := t.lane.base
	known := &base.learner
	own := known.special[r]
	switch {
	case own != nil && sameMeters(own.meters, named):
	case sameMeters(known.usual, named):
		known.agree = min(known.agree+1, maxAgree)
		if own != nil {
			delete(known.special, r)
			d.settle(base, r, now)
		}
	case own != nil, known.agree > 0, len(known.usual) == 0 && !known.common(named):
		if own == nil {
			known.agree = max(known.agree-1, 0)
		}
		known.setApart(r, named)
		d.settle(base, r, now)
	default:
		known.agree = 1
		d.setUsual(base, named, now)
	}
}

// setUsual has the calls of a base pass these buckets, but for those of routes that have
// others.
func (d *dispatcher) setUsual(base *meter, buckets []*meter, now time.Time) {
	known := &base.learner
	known.usual = buckets
	for _, l := range d.lanes {
		if l.base == base && l.own == nil {
			d.reroute(l, buckets, now)
		}
	}
	for r, set := range known.special {
		if sameMeters(set.meters, buckets) {
			delete(known.special, r)
			d.settle(base, r, now)
		}
	}
}

// unassign has no calls of a base count to buckets that are forgotten.
func (d *dispatcher) unassign(base *meter, forgotten map[*meter]bool, now time.Time) {
	known := &base.learner
	gone := func(m *meter) bool { return forgotten[m] }
	for r, set := range known.special {
		if slices.ContainsFunc(set.meters, gone) {
			delete(known.special, r)
			d.settle(base, r, now)
		}
	}
	if slices.ContainsFunc(known.usual, gone) {
		known.agree = 0
		d.setUsual(base, slices.DeleteFunc(slices.Clone(known.usual), gone), now)
	}
}

// settle has those who wait and take a route go on in the lanes that calls like theirs
// take now.
func (d *dispatcher) settle(base *meter, r route, now time.Time) {
	for _, l := range slices.Clone(d.backlog) {
		if l.base != base {
			continue
		}
		var calls []*waiter
		for w := range l.line.order.all() {
			if w.route == r {
				calls = append(calls, w)
			}
		}
		if len(calls) == 0 {
			continue
		}
		if to := d.lane(now, l.stations(), r); to != l {
			to.join(calls, now)
			d.changed(l, now)
			d.changed(to, now)
			d.disturbed = true
		}
	}
}

// common reports whether buckets that are named for the first time can be those of most
// calls: by their names, or because another route has them too. If not, they may be a
// quota of a few calls, which must not hold up the others.
func (k *learner) common(named []*meter) bool {
	if !slices.ContainsFunc(named, func(m *meter) bool { return !general(m.bucket) }) {
		return true
	}
	for _, set := range k.special {
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
