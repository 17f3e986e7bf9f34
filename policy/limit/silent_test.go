package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/pace"
)

// TestSilentAnswerIsAsOneThatIsLearnedFrom draws calls of two quotas and what is answered,
// and has them come to two dispatchers: to one as always, and to one that learns from every
// answer, also from one that says nothing. At each step both are the same, and it was right
// that nobody was looked at for such an answer.
func TestSilentAnswerIsAsOneThatIsLearnedFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tables := func() []Table {
			return []Table{
				{"first", Settings{Count: 1000, Per: time.Second, Learn: rapid.Bool().Draw(t, "first learns"), Guard: 20 * time.Millisecond}},
				{"second", Settings{Kind: pace.Window, Count: 1000, Per: time.Minute, Learn: rapid.Bool().Draw(t, "second learns"), Concurrency: rapid.SampledFrom([]int{0, 1000}).Draw(t, "slots")}},
			}
		}
		q, err := New(tables(), nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		short, long := newDispatcher(q), newDispatcher(q)
		type call struct{ short, long turn }
		var under []*call
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 20 * time.Second, 5 * time.Minute}).Draw(t, "later"))
			switch rapid.IntRange(0, 12).Draw(t, "what") {
			case 0:
				if hasOwnLanes(short) {
					break // Which of the lanes that become one goes on is for a map to say.
				}
				if q, err = New(tables(), q); err != nil {
					t.Fatal(err)
				}
				resetAt(short, q, now)
				resetAt(long, q, now)
			case 1, 2, 3, 4, 5:
				stations := []station{{table: q.ids[0], key: "key"}, {table: q.ids[1], key: "key"}}[:rapid.IntRange(1, 2).Draw(t, "stops")]
				req, _ := http.NewRequest("GET", rapid.SampledFrom([]string{"http://api.example/a", "http://api.example/search"}).Draw(t, "path"), nil)
				c := &call{turn{req: req, cost: 1}, turn{req: req, cost: 1}}
				err := short.try(now, &c.short, stations)
				if also := long.try(now, &c.long, stations); !errors.Is(also, err) {
					t.Fatalf("one goes, and the other does not: %v, %v", err, also)
				}
				if err == nil {
					under = append(under, c)
				}
			default:
				if len(under) == 0 {
					break
				}
				i := rapid.IntRange(0, len(under)-1).Draw(t, "which")
				c := under[i]
				under = slices.Delete(under, i, i+1)
				said := drawVerdict(t, now, c.short.learner)
				c.short.said, c.long.said = said, said
				plain := said.nothing() && len(c.long.lane.buckets) == 0 && !slices.ContainsFunc(c.long.meters, func(m *meter) bool { return m.learned != nil || m.adaptive.Rate() > 0 })
				hold, tell := short.lands(context.Background(), &c.short, now)
				longHold, moved, longTell := longLands(long, &c.long, now)
				if hold != longHold || len(tell) != len(longTell) {
					t.Fatalf("holds %t and tells %d times, and the long way %t and %d", hold, len(tell), longHold, len(longTell))
				}
				if plain && moved {
					t.Fatal("an answer that says nothing has moved somebody's turn")
				}
				if hold {
					c.short.free()
					c.long.free()
				}
			}
			if a, b := factsOf(short), factsOf(long); !reflect.DeepEqual(a, b) {
				t.Fatalf("the dispatcher is\n%v\nand the long way\n%v", a, b)
			}
		}
	})
}

func hasOwnLanes(d *dispatcher) bool {
	for _, l := range d.lanes {
		if l.own != nil {
			return true
		}
	}
	return false
}

// resetAt puts tables in force, and looks at no clock.
func resetAt(d *dispatcher, q *Quotas, now time.Time) {
	d.tables = q
	for at, m := range d.meters {
		if table := q.table(at.table); m.learned != nil && !table.Settings.Learn {
			delete(d.meters, at)
		} else {
			m.reset(&table.Settings, now)
		}
	}
	d.relane(now)
}

// drawVerdict is what an answer says to who learns by these settings; nil: nobody does.
func drawVerdict(t *rapid.T, now time.Time, s *Settings) (said verdict) {
	said.fine = true
	if s == nil {
		return said
	}
	header := http.Header{}
	if rapid.IntRange(0, 3).Draw(t, "tells") == 0 {
		header["X-Ratelimit-Limit"] = []string{"1000"}
		header["X-Ratelimit-Remaining"] = []string{strconv.Itoa(rapid.IntRange(0, 1000).Draw(t, "left"))}
		header["X-Ratelimit-Reset"] = []string{strconv.FormatInt(now.Add(time.Minute).Unix(), 10)}
		header["X-Ratelimit-Resource"] = []string{rapid.SampledFrom([]string{"core", "search"}).Draw(t, "bucket")}
	}
	if rapid.IntRange(0, 5).Draw(t, "hints") == 0 {
		header["Retry-After"] = []string{"1"}
	}
	status := rapid.SampledFrom([]int{200, 200, 200, 200, 403, 429, 503}).Draw(t, "status")
	said.byStatus(status, header, now, s.Dialect)
	return said
}

// longLands is lands for a dispatcher that learns from every answer.
func longLands(d *dispatcher, t *turn, now time.Time) (hold, moved bool, tell []func()) {
	now = d.at(now)
	for _, m := range t.meters {
		hold = hold || m.settings.Concurrency > 0
		_, delayed := pace.Answered(m.shape, now, t.taken, t.cost)
		d.disturbed = d.disturbed || delayed && m.waiting.calls > 0
	}
	t.land()
	moved, tell = d.learn(context.Background(), t, now)
	if !hold {
		t.free()
	}
	for _, m := range t.eased {
		m.gate.answered(t.said.fine, now, m.waiting.calls == 0)
	}
	return hold, moved, tell
}

// factsOf is what a dispatcher is that can be compared.
func factsOf(d *dispatcher) (facts []any) {
	names := func(meters []*meter) (names []string) {
		for _, m := range meters {
			names = append(names, m.key+m.bucket)
		}
		return names
	}
	var meters []*meter
	for _, m := range d.meters {
		meters = append(meters, m)
	}
	slices.SortFunc(meters, func(a, b *meter) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.bucket, b.bucket))
	})
	facts = append(facts, d.disturbed, d.latest)
	for _, m := range meters {
		special := make(map[route][]string)
		for r, set := range m.learner.special {
			special[r] = names(set.meters)
		}
		facts = append(facts, m.station, m.active, m.held, m.slots, m.spoken, m.gate, m.adaptive, m.shape, m.learned,
			names(m.learner.usual), m.learner.agree, special)
	}
	var lanes []string
	for key, l := range d.lanes {
		lane := fmt.Sprint(key.tables, key.keys, names(l.meters), l.sent, l.flying)
		for _, b := range l.buckets {
			lane += fmt.Sprint(b.bucket, b.since, b.early)
		}
		lanes = append(lanes, lane)
	}
	slices.Sort(lanes)
	return append(facts, lanes)
}
