package limit

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A tree is held against what it stands for: a sorted list.
func TestTreeIsASortedListThatKnowsItsSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tree tree
		var sorted []*waiter
		at := func(second int) time.Time { return time.Unix(int64(second), 0) }
		turnOf := func(ahead, cost int) time.Time { return at(ahead + cost) }
		drawPlace := func(seq uint64) place {
			return place{Priority(rapid.IntRange(-1, 1).Draw(t, "priority")), int64(rapid.IntRange(0, 3).Draw(t, "end")),
				uint64(rapid.IntRange(0, 3).Draw(t, "next")), time.Time{}, seq}
		}
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(sorted) > 0 && rapid.IntRange(0, 2).Draw(t, "leaves") == 0 {
				i := rapid.IntRange(0, len(sorted)-1).Draw(t, "who")
				tree.remove(sorted[i])
				sorted = slices.Delete(sorted, i, i+1)
			} else {
				w := &waiter{place: drawPlace(uint64(i + 1)), cost: rapid.IntRange(1, 9).Draw(t, "cost")}
				w.latest = at(rapid.IntRange(0, 300).Draw(t, "latest"))
				i, _ := slices.BinarySearchFunc(sorted, w, func(a, b *waiter) int {
					if a.before(b.place) {
						return -1
					}
					return 1
				})
				tree.insert(w)
				sorted = slices.Insert(sorted, i, w)
			}
			if got := slices.Collect(tree.all()); !slices.Equal(got, sorted) {
				t.Fatalf("the order is %v, want %v", got, sorted)
			}
			p := drawPlace(uint64(rapid.IntRange(0, i+2).Draw(t, "seq")))
			var late []*waiter
			ahead := 0
			for _, w := range sorted {
				if turnOf(ahead, w.cost).After(w.latest) {
					late = append(late, w)
				}
				ahead += w.cost
			}
			if got := tree.late(turnOf); !slices.Equal(got, late) {
				t.Fatalf("late are %v, want %v", got, late)
			}
			then, gone := at(rapid.IntRange(0, 300).Draw(t, "then")), 0
			for _, w := range sorted {
				if turnOf(gone, w.cost).After(then) {
					break
				}
				gone += w.cost
			}
			if got := tree.until(then, turnOf); got != gone {
				t.Fatalf("those before %v cost %d, want %d", then, got, gone)
			}
			var want load
			for _, w := range sorted {
				if w.before(p) {
					want = want.plus(load{1, w.cost})
				}
			}
			if got := tree.ahead(p); got != want {
				t.Fatalf("%+v are ahead of %+v, want %+v", got, p, want)
			}
			if len(sorted) > 0 && (tree.first() != sorted[0] || tree.last() != sorted[len(sorted)-1]) {
				t.Fatal("the first and the last are others")
			}
		}
	})
}

// A tree that became a list would make each call as slow as the line is long.
func TestTreeStaysFlatWhateverComes(t *testing.T) {
	for name, end := range map[string]func(i int) int64{
		"one behind another":   func(i int) int64 { return int64(i) },
		"one before another":   func(i int) int64 { return int64(-i) },
		"at both ends in turn": func(i int) int64 { return int64(i * (i%2*2 - 1)) },
		"all in one place":     func(int) int64 { return 0 },
	} {
		var tree tree
		for i := range 10000 {
			tree.insert(&waiter{place: place{end: end(i), seq: uint64(i + 1)}, cost: 1})
		}
		if got := depth(tree.root); got > 50 {
			t.Errorf("%s: 10000 waiters are %d deep", name, got)
		}
	}
}

func depth(w *waiter) int {
	if w == nil {
		return 0
	}
	return 1 + max(depth(w.left), depth(w.right))
}
