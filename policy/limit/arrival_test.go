package limit

import (
	"container/list"
	"math/rand/v2"
	"testing"
	"time"
)

// Where a call from another quota belongs was once looked for from the newest on only:
// with hundreds of calls that went from quota to quota, little else was done.
func TestWhoComesFromElsewhereStandsWhereItArrived(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var calls list.List
	for seq := range 500 {
		w := newWaiter(time.Unix(random.Int64N(100), 0), Claim{}, 1)
		w.seq = uint64(seq)
		byArrival(&calls, w)
	}
	for e := calls.Front(); e.Next() != nil; e = e.Next() {
		a, b := e.Value.(*waiter), e.Next().Value.(*waiter)
		if a.arrived.After(b.arrived) || a.arrived.Equal(b.arrived) && a.seq > b.seq {
			t.Fatalf("%v, %d stands before %v, %d", a.arrived, a.seq, b.arrived, b.seq)
		}
	}
}
