package limit

import (
	"fmt"
	"testing"
	"time"
)

// Each request may name another caller. Those who have nothing in line are only
// remembered until their turn is over.
func TestCallersWithoutCallsAreForgotten(t *testing.T) {
	var l line
	now := time.Now()
	join := func(name string, cost int) {
		l.push(newWaiter(now, Claim{Caller: name}, cost), now, time.Second)
	}
	join("stays", 1<<40)
	for i := range 10000 {
		join(fmt.Sprint(i), 1)
		l.serve(l.first())
	}
	k := &l.classes[Normal.index()]
	if n := len(k.callers); n > minCallers {
		t.Errorf("%d callers are remembered", n)
	}
	for w := l.first(); w != nil; w = l.first() {
		l.remove(w)
	}
	if n := len(k.callers); n != 0 {
		t.Errorf("%d callers are remembered of an empty line", n)
	}
}
