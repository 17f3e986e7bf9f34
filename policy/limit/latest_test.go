package limit

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"outrider/policy/pace"
)

// A call has looked at the clock before it had the lock, and another one may have had it
// meanwhile. Were time to go back for the second, a bucket would fill up twice for the time
// between.
func TestTimeDoesNotGoBackForWhoHasWaitedForTheLock(t *testing.T) {
	q, err := New([]Table{{Settings: Settings{Count: 1, Per: time.Second, Burst: 1, Kind: pace.Smooth}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("GET", "http://api.example/", nil)
	d, stations, began := q.scopes.get(""), []station{{table: q.ids[0], key: "key"}}, time.Now()
	for i, call := range []struct {
		after time.Duration
		goes  bool
	}{{10 * time.Second, true}, {0, false}, {10*time.Second + 500*time.Millisecond, false}, {11 * time.Second, true}} {
		err := d.try(began.Add(call.after), &turn{req: req, cost: 1}, stations)
		if goes := err == nil; goes != call.goes || !goes && !errors.Is(err, errOccupied) {
			t.Errorf("call %d, after %s: it goes: %v, %v", i, call.after, goes, err)
		}
	}
}
