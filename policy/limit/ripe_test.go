package limit_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A head that has missed a slot keeps the next that comes free. When an answer told it to
// wait for its quota, it kept the slot all the same, and nobody used it until the reset.
func TestSlotIsNotKeptForAQuotaThatIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		left := 10
		w.answer = func(name string) *http.Response {
			time.Sleep(time.Second)
			if name == "search" {
				left -= 5
				return w.left(200, 30, left, time.Minute, "search")
			}
			return w.left(200, 5000, 4000, time.Hour, "core")
		}
		s := unlimited()
		s.Concurrency = 1
		c := newCaller(t, newGroup(t, s, nil), w)
		for _, name := range []string{"a", "a", "search"} {
			c.call(t.Context(), name)
		}
		c.start(t.Context(), "search") // at 3s; it leaves nothing
		waits := c.start(t.Context(), "search")
		other := c.start(t.Context(), "a")
		time.Sleep(time.Second)
		if got := <-other; got.at != 5*time.Second {
			t.Errorf("the other ended at %v", got.at)
		}
		if got := <-waits; got.at != time.Minute+time.Second {
			t.Errorf("the search ended at %v", got.at)
		}
	})
}
