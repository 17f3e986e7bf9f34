package simulator

import (
	"hash/fnv"
	"sync"
)

// A plan says which calls of a fault fail. The zero share and no times: all.
type plan struct {
	id    string  // calls of the same id are counted together
	times int     // the first so many fail; negative: no such bound
	share float64 // of those that may fail, this share does
	seed  uint64
}

// planOf reads a plan from the query; times is its default.
func (s *Simulator) planOf(p *params, path string, times int) plan {
	return plan{
		id:    path + " " + p.text("key", ""),
		times: p.count("times", times, 0, 1<<30),
		share: p.share("p", 1),
		seed:  p.seed(s.set.Seed),
	}
}

// plans count the calls of each id.
type plans struct {
	mu     sync.Mutex
	calls  *bounded[int]
	firsts *bounded[string] // id → the first credential it was called with, as a fingerprint
}

func newPlans(most int) *plans {
	return &plans{calls: newBounded[int](most), firsts: newBounded[string](most)}
}

func (ps *plans) reset() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.calls.clear()
	ps.firsts.clear()
}

// first returns the fingerprint that an id was first called with, which is
// this one if there was none.
func (ps *plans) first(id, shown string) string {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	v, ok := ps.firsts.get(id)
	if !ok {
		ps.firsts.put(id, shown)
		return shown
	}
	return v
}

// next counts a call. It returns its number, from 1, and whether it fails.
func (ps *plans) next(p plan) (call int, fails bool) {
	ps.mu.Lock()
	n, _ := ps.calls.get(p.id)
	n++
	ps.calls.put(p.id, n)
	ps.mu.Unlock()
	return n, (p.times < 0 || n <= p.times) && chance(p.seed, p.id, n) < p.share
}

// chance is a number in [0, 1) that depends on nothing but its arguments: the
// finalizer of splitmix64 over them. So the n-th call of an id fares the same
// in every run, in whatever order calls of other ids come between.
func chance(seed uint64, id string, n int) float64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	z := seed ^ h.Sum64() + uint64(n)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
