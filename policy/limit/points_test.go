package limit_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/limit"
	"outrider/policy/quota"
)

// graphql are the settings of an API whose answers to /graphql tell of points: left of 1000,
// of which 50 come back in a second, and what the query asked for and took.
func graphql(means limit.Meaning, after time.Duration, left, asked, taken float64) limit.Settings {
	s := unlimited()
	s.Answer = func(req *http.Request, _ *http.Response) limit.Answer {
		if !strings.HasSuffix(req.URL.Path, "graphql") {
			return limit.Answer{}
		}
		view := quota.View{
			Bucket: "graphql", Unit: quota.Points, Limit: quota.Known(1000), Remaining: quota.Known(left), Refill: quota.Gradual,
			Reset: time.Now().Add(time.Duration((1000 - left) / 50 * 1e9)), Restore: 50, Asked: quota.Known(asked),
		}
		if means == limit.AsStatus {
			view.Taken = quota.Known(taken)
		}
		return limit.Answer{Meaning: means, After: after, Points: &view}
	}
	return s
}

// A good answer that leaves too few points for the next query holds it up, and no call that
// takes none.
func TestGoodAnswerWithFewPointsHoldsUpTheNextQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, graphql(limit.AsStatus, 0, 40, 100, 60), nil)
		c := newCaller(t, g, w)
		c.call(t.Context(), "admin/graphql")
		if got := g.waitOf("/admin/products"); got != 0 {
			t.Errorf("a call of another kind waits for %v", got)
		}
		if got := c.call(t.Context(), "admin/graphql"); got.at != 1200*time.Millisecond { // (100 - 40) / 50
			t.Errorf("the next query went at %v, want 1.2s", got.at)
		}
		known := g.Snapshot()[1]
		if known.Bucket != "graphql" || known.Learned == nil || known.Learned.Unit != quota.Points || known.Learned.Each != 100 || known.Learned.Limit != 1000 {
			t.Errorf("known of the points: %+v, %+v", known, known.Learned)
		}
	})
}

// A query that was refused for its points closes the gate of the points. That of all
// quotas was closed so far: calls that take no points stood behind it.
func TestQueryThatIsThrottledHoldsUpQueriesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		g := newGroup(t, graphql(limit.Throttled, 2*time.Second, 400, 500, 0), nil)
		newCaller(t, g, w).call(t.Context(), "admin/graphql")
		if got := g.waitOf("/admin/products"); got != 0 {
			t.Errorf("a call of another kind waits for %v", got)
		}
		if got := g.waitOf("/admin/graphql"); got != 2*time.Second {
			t.Errorf("the next query waits for %v, want 2s", got)
		}
	})
}
