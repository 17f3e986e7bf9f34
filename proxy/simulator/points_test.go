package simulator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/proxy/simulator"
)

// costs are what an answer of /graphql tells.
type costs struct {
	Errors []struct {
		Extensions struct{ Code string }
	}
	Extensions struct {
		Cost struct {
			RequestedQueryCost int
			ActualQueryCost    *int
			ThrottleStatus     struct{ MaximumAvailable, CurrentlyAvailable, RestoreRate float64 }
		}
	}
}

// available asks with a query of that cost, and gives what is left.
func available(t *testing.T, sim *simulator.Simulator, query string) (left float64, throttled bool) {
	t.Helper()
	w := get(sim, "/graphql/shop?maximum=100&restore=10&"+query)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	told := parse[costs](t, w.Body.Bytes())
	return told.Extensions.Cost.ThrottleStatus.CurrentlyAvailable, len(told.Errors) == 1 && told.Errors[0].Extensions.Code == "THROTTLED"
}

func TestQueryIsChargedByWhatItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		for i, c := range []struct {
			query     string
			pause     time.Duration
			left      float64
			throttled bool
		}{
			{"cost=60&actual=20", 0, 80, false},
			{"cost=80", 0, 0, false},
			{"cost=1", 0, 0, true},
			{"cost=30&actual=30", 3 * time.Second, 0, false},
			{"cost=30&actual=30", 3*time.Second - 1, 29, true}, // a nanosecond too early
			{"cost=30&actual=30", 1, 0, false},
			{"cost=0", time.Minute, 100, false},
		} {
			time.Sleep(c.pause)
			if left, throttled := available(t, sim, c.query); left != c.left || throttled != c.throttled {
				t.Errorf("%d: %v are left, throttled %v; want %v, %v", i, left, throttled, c.left, c.throttled)
			}
		}
		q := sim.Stats().Quotas["points/shop/"]
		if q.Admitted != 5 || q.Throttled != 2 || q.Points != 160 {
			t.Errorf("counted %+v", q)
		}
	})
}

// While a query runs, it holds all that it may cost.
func TestQueryHoldsWhatItMayCostUntilItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := newSimulator(t, simulator.Settings{})
		go get(sim, "/graphql/shop?maximum=100&restore=10&cost=90&actual=10&hold=1s")
		synctest.Wait()
		if left, throttled := available(t, sim, "cost=20"); left != 10 || !throttled {
			t.Errorf("%v are left during it, throttled %v", left, throttled)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if left, throttled := available(t, sim, "cost=20"); left != 80 || throttled { // full again, but for this one
			t.Errorf("%v are left after it, throttled %v", left, throttled)
		}
	})
}

func TestThrottledQueryTellsNoCostOfItsOwn(t *testing.T) {
	sim := newSimulator(t, simulator.Settings{})
	get(sim, "/graphql/shop?maximum=10&restore=1")
	w := get(sim, "/graphql/shop?maximum=10&restore=1&cost=7")
	told := parse[costs](t, w.Body.Bytes()).Extensions.Cost
	if told.RequestedQueryCost != 7 || told.ActualQueryCost != nil || told.ThrottleStatus.MaximumAvailable != 10 || told.ThrottleStatus.RestoreRate != 1 {
		t.Errorf("told %+v", told)
	}
	if w := get(sim, "/graphql/shop?maximum=10&cost=11&actual=12"); w.Code != 400 || !strings.Contains(w.Body.String(), "cost = ") || !strings.Contains(w.Body.String(), "actual = ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A bucket that holds less than the usual query costs throttled all of them for ever.
func TestUsualQueryGoesWhateverTheBucketHolds(t *testing.T) {
	w := get(newSimulator(t, simulator.Settings{}), "/graphql/shop?maximum=5")
	if told := parse[costs](t, w.Body.Bytes()); len(told.Errors) > 0 || told.Extensions.Cost.RequestedQueryCost != 5 {
		t.Errorf("told %+v", told)
	}
}
