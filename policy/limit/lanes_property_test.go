package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A crossing is what happens to quotas that calls pass on several ways.
type crossing struct {
	tables  []limit.Settings
	ways    [][]int // of tables
	calls   []passing
	changes []crossChange
	calm    bool // nobody leaves, is hurried or throttled, and nothing is dropped
}

// A passing is one call on one of the ways.
type passing struct {
	arrival
	way int
}

// A crossChange is a reload.
type crossChange struct {
	at      time.Duration
	count   float64 // of all rates; 0: as it was
	dropped int     // a table; -1: none
}

func (c *crossing) String() string {
	text := fmt.Sprintf("ways %v, calm %v\n", c.ways, c.calm)
	for i, s := range c.tables {
		text += fmt.Sprintf("table %d: %v per %v, burst %d, window %v, %d at once, waits %v\n", i, s.Count, s.Per, s.Burst, s.Kind == pace.Window, s.Concurrency, s.MaxWait)
	}
	for _, call := range c.calls {
		text += fmt.Sprintf("%+v\n", call)
	}
	return text + fmt.Sprintf("changes %+v", c.changes)
}

// dearestCrossing is the highest cost of a call, which each window holds.
const dearestCrossing = 3

func drawCrossing(t *rapid.T) *crossing {
	c := &crossing{calm: rapid.Bool().Draw(t, "calm")}
	for range rapid.IntRange(1, 4).Draw(t, "tables") {
		s := claiming(limit.Settings{Per: time.Second, MaxQueue: 1000, MaxWait: time.Hour, Learn: rapid.Bool().Draw(t, "learns")})
		if !c.calm {
			s.MaxWait = time.Duration(rapid.IntRange(1, 5).Draw(t, "max_wait")) * time.Second
			s.MaxQueue = rapid.SampledFrom([]int{1000, 0, 1, 3}).Draw(t, "max_queue")
		}
		kind := rapid.SampledFrom([]string{"smooth", "window", "slots", "smooth slots", "window slots"}).Draw(t, "kind")
		switch kind {
		case "smooth", "smooth slots":
			s.Count = rapid.SampledFrom([]float64{1, 3, 10, 50}).Draw(t, "count")
			s.Burst = rapid.IntRange(1, 6).Draw(t, "burst")
		case "window", "window slots":
			s.Count = float64(rapid.IntRange(dearestCrossing, 20).Draw(t, "count"))
			s.Per = time.Duration(rapid.IntRange(1, 4).Draw(t, "per")) * time.Second
			s.Kind = pace.Window
		}
		if kind != "smooth" && kind != "window" {
			s.Concurrency = rapid.IntRange(1, 4).Draw(t, "slots")
		}
		c.tables = append(c.tables, s)
	}
	for range rapid.IntRange(1, 4).Draw(t, "ways") {
		way := rapid.Permutation([]int{0, 1, 2, 3}[:len(c.tables)]).Draw(t, "way")
		c.ways = append(c.ways, way[:rapid.IntRange(1, len(way)).Draw(t, "stops")])
	}
	span := rapid.SampledFrom([]int{10, 1000, 10000}).Draw(t, "span")
	for i := range rapid.IntRange(1, 100).Draw(t, "calls") {
		c.calls = append(c.calls, c.drawPassing(t, i, span))
	}
	slices.SortFunc(c.calls, func(a, b passing) int { return int(a.at - b.at) })
	for range rapid.IntRange(0, 3).Draw(t, "reloads") {
		change := crossChange{
			at:      time.Duration(rapid.IntRange(0, span+2000).Draw(t, "reload"))*time.Millisecond + 333*time.Nanosecond,
			count:   rapid.SampledFrom([]float64{0, 5, 20}).Draw(t, "new count"),
			dropped: -1,
		}
		if !c.calm {
			change.dropped = rapid.IntRange(-1, len(c.tables)-1).Draw(t, "dropped")
		}
		c.changes = append(c.changes, change)
	}
	slices.SortFunc(c.changes, func(a, b crossChange) int { return int(a.at - b.at) })
	return c
}

func (c *crossing) drawPassing(t *rapid.T, i, span int) passing {
	p := passing{way: rapid.IntRange(0, len(c.ways)-1).Draw(t, "way")}
	// The microseconds keep the order of arrival known.
	p.at = time.Duration(rapid.IntRange(0, span).Draw(t, "at"))*time.Millisecond + time.Duration(i)*time.Microsecond
	p.cost = rapid.SampledFrom([]int{1, 1, 1, dearestCrossing}).Draw(t, "cost")
	p.answer = time.Duration(rapid.IntRange(0, 300).Draw(t, "answer")) * time.Millisecond
	p.body = time.Duration(rapid.IntRange(0, 300).Draw(t, "body")) * time.Millisecond
	p.claim = limit.Claim{
		Priority: limit.Priority(rapid.IntRange(-1, 1).Draw(t, "priority")),
		Caller:   rapid.SampledFrom([]string{"a", "b"}).Draw(t, "caller"),
	}
	if c.calm {
		return p
	}
	switch rapid.IntRange(0, 9).Draw(t, "leaves") {
	case 0:
		p.patience = time.Duration(rapid.IntRange(1, 4000).Draw(t, "patience")) * time.Millisecond
	case 1:
		p.cancel = time.Duration(rapid.IntRange(1, 4000).Draw(t, "cancel")) * time.Millisecond
	case 2:
		p.gate = rapid.IntRange(0, 2).Draw(t, "gate")
	}
	return p
}

// A crossed is how a crossing went.
type crossed struct {
	*crossing
	outcomes []outcome            // in the order of arrival
	gates    [][][2]time.Duration // of each table: by when and until when its gate was closed
	problems []string
}

// cross plays it. While calls wait, what the dispatcher believes is looked at now and then.
func cross(t *testing.T, c *crossing) *crossed {
	r := &crossed{crossing: c, outcomes: make([]outcome, len(c.calls)), gates: make([][][2]time.Duration, len(c.tables))}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex // guards quotas and r
		tables := make([]limit.Table, len(c.tables))
		for i, s := range c.tables {
			s.OnGate = func(_ context.Context, _ string, until time.Time) {
				mu.Lock()
				defer mu.Unlock()
				r.gates[i] = append(r.gates[i], [2]time.Duration{time.Since(start), until.Sub(start)})
			}
			tables[i] = limit.Table{Name: strconv.Itoa(i), Settings: s}
		}
		quotas, err := limit.New(tables, nil)
		if err != nil {
			t.Fatal(err)
		}
		send := func(i int) {
			call, o := c.calls[i], &r.outcomes[i]
			time.Sleep(call.at)
			o.arrival, o.sent = call.arrival, -1
			ctx, cancel := context.WithCancel(as(t.Context(), call.claim.Caller, call.claim.Priority))
			defer cancel()
			if call.patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, call.patience)
				defer cancel()
			}
			if call.cancel > 0 {
				leaving := time.AfterFunc(call.cancel, cancel)
				defer leaving.Stop()
			}
			mu.Lock()
			through, way := quotas, limit.Way{Cost: call.cost}
			for _, table := range c.ways[call.way] {
				if at := slices.IndexFunc(tables, func(t limit.Table) bool { return t.Name == strconv.Itoa(table) }); at >= 0 {
					way.Stops = append(way.Stops, limit.Stop{Table: at, Key: byHost})
				}
			}
			mu.Unlock()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://api.example/", nil)
			resp, err := through.Wrap(way)(roundTripper(func(*http.Request) (*http.Response, error) {
				o.sent = time.Since(start)
				o.ended = o.sent
				time.Sleep(call.answer)
				if call.gate > 0 {
					return respond(429, "Retry-After", strconv.Itoa(call.gate)), nil
				}
				return respond(200), nil
			})).RoundTrip(req)
			if o.err = err; err != nil {
				o.ended = time.Since(start)
				return
			}
			time.Sleep(call.body)
			o.closed = time.Since(start)
			resp.Body.Close()
		}
		var all sync.WaitGroup
		for i := range c.calls {
			all.Go(func() { send(i) })
		}
		all.Go(func() {
			for _, change := range c.changes {
				time.Sleep(change.at - time.Since(start))
				mu.Lock()
				tables = change.apply(tables)
				next, err := limit.New(tables, quotas)
				if err != nil {
					t.Error(err)
				}
				quotas = next
				mu.Unlock()
				next.Adopt()
			}
		})
		for range 40 {
			time.Sleep(237*time.Millisecond + 11*time.Nanosecond)
			mu.Lock()
			r.problems = append(r.problems, quotas.Problems()...)
			mu.Unlock()
		}
		all.Wait()
		for _, q := range quotas.Snapshot() {
			if q.Active != 0 || q.Waiting != 0 {
				r.problems = append(r.problems, fmt.Sprintf("left %+v", q))
			}
		}
		r.problems = append(r.problems, quotas.Problems()...)
	})
	return r
}

// apply gives the tables after a reload.
func (change *crossChange) apply(tables []limit.Table) (next []limit.Table) {
	for _, t := range tables {
		if t.Name == strconv.Itoa(change.dropped) {
			continue
		}
		if change.count > 0 && t.Settings.Count > 0 {
			t.Settings.Count = change.count
		}
		next = append(next, t)
	}
	return next
}

func TestWhateverCallsPassTheRulesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := cross(t, drawCrossing(rt))
		for _, problem := range slices.Concat(r.problems, r.outstayed(), r.outOfTurn(), r.starved(), r.beyond()) {
			rt.Errorf("%s", problem)
		}
		if rt.Failed() {
			rt.Log(r.crossing)
		}
	})
}

// dropped is when a table is, or long after.
func (c *crossing) dropped(table int) time.Duration {
	for _, change := range c.changes {
		if change.dropped == table {
			return change.at
		}
	}
	return 1000 * time.Hour
}

// outstayed: nobody waits beyond the end of the context, or of what the quotas say that
// are there from the first to the last.
func (r *crossed) outstayed() (problems []string) {
	for i, o := range r.outcomes {
		most := time.Duration(1 << 62)
		for _, table := range r.ways[r.calls[i].way] {
			if r.dropped(table) > time.Hour {
				most = min(most, o.at+r.tables[table].MaxWait)
			}
		}
		if o.patience > 0 {
			most = min(most, o.at+o.patience)
		}
		if o.cancel > 0 {
			most = min(most, o.at+o.cancel)
		}
		var refused *limit.RefusedError
		left := errors.Is(o.err, context.Canceled) || errors.Is(o.err, context.DeadlineExceeded)
		if o.ended > most || o.err != nil && !left && !errors.As(o.err, &refused) {
			problems = append(problems, fmt.Sprintf("arrived at %v and ended at %v, not %v, with %v", o.at, o.ended, most, o.err))
		}
	}
	return problems
}

// outOfTurn: first come, first served, among those of a way who claim the same.
func (r *crossed) outOfTurn() (problems []string) {
	type same struct {
		way   int
		claim limit.Claim
	}
	lines := make(map[same][]outcome)
	for i, o := range r.outcomes {
		line := same{r.calls[i].way, o.claim}
		lines[line] = append(lines[line], o)
	}
	for _, line := range lines {
		problems = append(problems, overtaken(line)...)
	}
	return problems
}

// starved: where nobody is refused, all are sent, and wait no longer than if they were
// sent one after the other, each as slow as the slowest of its quotas.
func (r *crossed) starved() (problems []string) {
	if !r.calm {
		return nil
	}
	var all time.Duration
	for i, call := range r.calls {
		var slowest time.Duration
		for _, table := range r.ways[r.calls[i].way] {
			s := r.tables[table]
			switch {
			case s.Kind == pace.Window:
				slowest = max(slowest, s.Per)
			case s.Count > 0:
				slowest = max(slowest, time.Duration(float64(call.cost)/min(s.Count, 5)*float64(time.Second)))
			}
		}
		all += slowest + call.answer + call.body
	}
	for _, o := range r.outcomes {
		if o.err != nil || o.sent-o.at > all {
			problems = append(problems, fmt.Sprintf("arrived at %v and sent at %v with %v, of %v in all", o.at, o.sent, o.err, all))
		}
	}
	return problems
}

// beyond: no quota lets more go than it allows.
func (r *crossed) beyond() (problems []string) {
	for i, s := range r.tables {
		var through []outcome
		for k, o := range r.outcomes {
			if o.sent >= 0 && o.sent < r.dropped(i) && slices.Contains(r.ways[r.calls[k].way], i) {
				through = append(through, o)
			}
		}
		slices.SortStableFunc(through, func(a, b outcome) int { return int(a.sent - b.sent) })
		problems = append(problems, r.tooMany(i, through)...)
		atOnce := &script{first: s}
		problems = append(problems, atOnce.crowded(through)...)
		problems = append(problems, early(through, r.gates[i])...)
	}
	return problems
}

// tooMany: from any call to any other, no more are spent of a table than its highest
// rate and its burst allow, or its windows.
func (r *crossed) tooMany(table int, through []outcome) (problems []string) {
	s := r.tables[table]
	if s.Count == 0 {
		return nil
	}
	rate := s.Count
	for _, change := range r.changes {
		rate = max(rate, change.count)
	}
	for i := range through {
		spent := 0.0
		for _, o := range through[i:] {
			spent += float64(o.cost)
			took := o.sent - through[i].sent
			allowed := rate*took.Seconds() + float64(max(s.Burst, dearestCrossing))
			if s.Kind == pace.Window {
				allowed = rate * float64(took/s.Per+2)
			}
			if spent > allowed+1e-6 {
				problems = append(problems, fmt.Sprintf("of table %d %v were spent from %v to %v, of %v", table, spent, through[i].sent, o.sent, allowed))
			}
		}
	}
	return problems
}
