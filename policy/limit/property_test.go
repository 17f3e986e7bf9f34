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

// A script is what happens to a quota: who comes when and how long they stay,
// which of them the provider throttles, and when the settings change.
type script struct {
	first    limit.Settings
	arrivals []arrival
	changes  []change
}

type arrival struct {
	at       time.Duration
	patience time.Duration // the context's deadline; 0: none
	cancel   time.Duration // after which the client goes away; 0: never
	gate     int           // seconds of the Retry-After that it gets; 0: none
	answer   time.Duration // until its answer
	body     time.Duration // until its body is closed, after that
	claim    limit.Claim
	cost     int
}

type change struct {
	at    time.Duration
	count float64
	burst int
}

const (
	maxWait  = 3 * time.Second
	maxQueue = 40
)

func (s *script) String() string {
	return fmt.Sprintf("%v per %v, burst %d, window %v, %d at once\narrivals %+v\nchanges %+v", s.first.Count, s.first.Per, s.first.Burst, s.windowed(), s.first.Concurrency, s.arrivals, s.changes)
}

// drawKind is how a rate is used. The even kind is the business of package pace.
func drawKind(t *rapid.T) pace.Kind {
	return rapid.SampledFrom([]pace.Kind{pace.Smooth, pace.Window}).Draw(t, "kind")
}

func (s *script) windowed() bool { return s.first.Kind == pace.Window }

func drawScript(t *rapid.T) *script {
	count := rapid.SampledFrom([]float64{1, 2, 3, 7, 10, 30, 100})
	burst := rapid.IntRange(1, 20)
	s := &script{first: limit.Settings{
		Count: count.Draw(t, "count"), Per: time.Second, Burst: burst.Draw(t, "burst"),
		Kind: drawKind(t), Learn: true, MaxWait: maxWait, MaxQueue: maxQueue,
	}}
	s.first.Concurrency = rapid.SampledFrom([]int{0, 0, 1, 3, 10}).Draw(t, "concurrency")
	span := rapid.SampledFrom([]int{10, 1000, 10000}).Draw(t, "span") // from a stampede to a trickle, in ms
	gated := rapid.Bool().Draw(t, "gated")
	for i := range rapid.IntRange(1, 150).Draw(t, "calls") {
		// The microseconds keep the order of arrival known.
		a := arrival{at: time.Duration(rapid.IntRange(0, span).Draw(t, "at"))*time.Millisecond + time.Duration(i)*time.Microsecond, cost: 1}
		switch rapid.IntRange(0, 5).Draw(t, "leaves") {
		case 0:
			a.patience = time.Duration(rapid.IntRange(1, 4000).Draw(t, "patience")) * time.Millisecond
		case 1:
			a.cancel = time.Duration(rapid.IntRange(1, 4000).Draw(t, "cancel")) * time.Millisecond
		}
		if gated && rapid.IntRange(0, 20).Draw(t, "throttled") == 0 {
			a.gate = rapid.IntRange(1, 5).Draw(t, "gate")
		}
		if s.first.Concurrency > 0 {
			a.answer = time.Duration(rapid.IntRange(0, 500).Draw(t, "answer")) * time.Millisecond
			a.body = time.Duration(rapid.IntRange(0, 500).Draw(t, "body")) * time.Millisecond
		}
		s.arrivals = append(s.arrivals, a)
	}
	slices.SortFunc(s.arrivals, func(a, b arrival) int { return int(a.at - b.at) })
	for range rapid.IntRange(0, 3).Draw(t, "reloads") {
		s.changes = append(s.changes, change{
			at:    time.Duration(rapid.IntRange(0, span+3000).Draw(t, "reload")) * time.Millisecond,
			count: count.Draw(t, "count"), burst: burst.Draw(t, "burst"),
		})
	}
	slices.SortFunc(s.changes, func(a, b change) int { return int(a.at - b.at) })
	return s
}

// drawClaims gives those who come priorities, callers and costs, no cost higher
// than a window holds.
func (s *script) drawClaims(t *rapid.T) {
	s.first = claiming(s.first)
	cost := rapid.SampledFrom([]int{1, 1, 1, 2, 5})
	if rapid.Bool().Draw(t, "all cost one") {
		cost = rapid.Just(1)
	}
	most := s.first.Count
	for _, c := range s.changes {
		most = min(most, c.count)
	}
	for i := range s.arrivals {
		a := &s.arrivals[i]
		a.claim.Priority = limit.Priority(rapid.IntRange(-1, 1).Draw(t, "priority"))
		a.claim.Caller = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "caller")
		a.cost = cost.Draw(t, "cost")
		if s.windowed() {
			a.cost = min(a.cost, int(most))
		}
	}
}

// dearest is the highest cost of a call.
func (s *script) dearest() int {
	dearest := 1
	for _, a := range s.arrivals {
		dearest = max(dearest, a.cost)
	}
	return dearest
}

// overdraft is how much more than there is the last call may spend.
func (s *script) overdraft() float64 {
	least := s.first.Burst
	for _, c := range s.changes {
		least = min(least, c.burst)
	}
	if s.windowed() {
		return 0
	}
	return float64(max(s.dearest()-least, 0))
}

// foreseen reports whether the limit knows when each turn comes, as far as those
// go who are in line: not with slots, and not where costs share out a window.
func (s *script) foreseen() bool {
	return s.first.Concurrency == 0 && !(s.windowed() && s.dearest() > 1)
}

// An outcome is how one arrival ended, in times since the start.
type outcome struct {
	arrival
	sent   time.Duration // -1: not sent
	ended  time.Duration // when it was sent or knew that it would not be
	closed time.Duration // its body
	err    error
}

// play runs a script and returns the outcomes in the order of arrival, and
// until when each gate was closed, by when.
func play(t *testing.T, s *script) (outcomes []outcome, gates [][2]time.Duration, left limit.State) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex // guards gates
		first := s.first
		first.OnGate = func(_ context.Context, _ string, until time.Time) {
			mu.Lock()
			defer mu.Unlock()
			gates = append(gates, [2]time.Duration{time.Since(start), until.Sub(start)})
		}
		first.Jitter = func(most time.Duration) time.Duration { return most / 3 }
		begun := newGroup(t, first, nil)
		g := begun
		outcomes = make([]outcome, len(s.arrivals))
		wire := roundTripper(func(req *http.Request) (*http.Response, error) {
			i, _ := strconv.Atoi(req.URL.Path[1:])
			outcomes[i].sent = time.Since(start)
			outcomes[i].ended = outcomes[i].sent
			time.Sleep(s.arrivals[i].answer)
			if s.arrivals[i].gate > 0 {
				return respond(429, "Retry-After", strconv.Itoa(s.arrivals[i].gate)), nil
			}
			return respond(200), nil
		})

		var all sync.WaitGroup
		for i, a := range s.arrivals {
			all.Go(func() {
				time.Sleep(a.at)
				o := &outcomes[i]
				o.arrival, o.sent = a, -1
				ctx := as(t.Context(), a.claim.Caller, a.claim.Priority)
				if a.patience > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, a.patience)
					defer cancel()
				}
				if a.cancel > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(a.cancel, cancel)
				}
				req, _ := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://api.example/%d", i), nil)
				resp, err := begun.wrapCosting(a.cost)(wire).RoundTrip(req)
				if o.err = err; err != nil {
					o.ended = time.Since(start)
					return
				}
				time.Sleep(a.body)
				o.closed = time.Since(start)
				resp.Body.Close()
			})
		}
		all.Go(func() {
			for _, c := range s.changes {
				time.Sleep(c.at - time.Since(start))
				next := first
				next.Count, next.Burst = c.count, c.burst
				g = newGroup(t, next, g)
				g.Adopt()
			}
		})
		all.Wait()
		left = g.Snapshot()[0]
	})
	return outcomes, gates, left
}

func TestWhateverHappensTheRulesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScript(rt)
		outcomes, gates, left := play(t, s)
		for _, problem := range slices.Concat(
			overtaken(outcomes), s.outstayed(outcomes), early(outcomes, gates),
			s.overrun(outcomes), s.crowded(outcomes), s.wasted(outcomes, gates), s.untruthful(outcomes),
		) {
			rt.Errorf("%s", problem)
		}
		if left.Active != 0 || left.Waiting != 0 {
			rt.Errorf("left %+v", left)
		}
		if rt.Failed() {
			rt.Log(s)
		}
	})
}

func TestWhateverIsClaimedTheRulesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawScript(rt)
		s.drawClaims(rt)
		outcomes, gates, left := play(t, s)
		for _, problem := range slices.Concat(
			overtakenByTheirOwn(outcomes), s.outstayed(outcomes), early(outcomes, gates),
			s.overrun(outcomes), s.crowded(outcomes), s.wasted(outcomes, gates), s.untruthful(outcomes),
		) {
			rt.Errorf("%s", problem)
		}
		if left.Active != 0 || left.Waiting != 0 || left.Line != (limit.Line{}) {
			rt.Errorf("left %+v", left)
		}
		if rt.Failed() {
			rt.Log(s)
		}
	})
}

func sentOnly(outcomes []outcome) (sent []outcome) {
	for _, o := range outcomes {
		if o.sent >= 0 {
			sent = append(sent, o)
		}
	}
	return sent
}

// overtaken: first come, first served.
func overtaken(outcomes []outcome) (problems []string) {
	latest := time.Duration(0)
	for _, o := range sentOnly(outcomes) {
		if o.sent < latest {
			problems = append(problems, fmt.Sprintf("arrived at %v and sent at %v, before an earlier one at %v", o.at, o.sent, latest))
		}
		latest = max(latest, o.sent)
	}
	return problems
}

// overtakenByTheirOwn: first come, first served, among those who claim the same.
func overtakenByTheirOwn(outcomes []outcome) (problems []string) {
	byClaim := make(map[limit.Claim][]outcome)
	for _, o := range outcomes {
		byClaim[o.claim] = append(byClaim[o.claim], o)
	}
	for _, same := range byClaim {
		problems = append(problems, overtaken(same)...)
	}
	return problems
}

// outstayed: nobody waits beyond the end of the context or MaxWait, and who
// does not leave by himself is sent or refused.
func (s *script) outstayed(outcomes []outcome) (problems []string) {
	for _, o := range outcomes {
		most := o.at + maxWait
		if o.patience > 0 {
			most = min(most, o.at+o.patience)
		}
		if o.cancel > 0 {
			most = min(most, o.at+o.cancel)
		}
		var refused *limit.RefusedError
		switch {
		case o.ended > most || o.sent > most:
			problems = append(problems, fmt.Sprintf("arrived at %v and waited until %v, not %v", o.at, o.ended, most))
		case o.patience > 0 && o.sent >= o.at+o.patience:
			problems = append(problems, fmt.Sprintf("arrived at %v and sent at its deadline", o.at))
		case o.err == nil || errors.As(o.err, &refused):
		case o.cancel > 0 && errors.Is(o.err, context.Canceled) && o.ended == o.at+o.cancel:
		case o.patience > 0 && !s.foreseen() && errors.Is(o.err, context.DeadlineExceeded) && o.ended == o.at+o.patience:
		default: // The limit foresees each deadline, unless it is a slot that makes it wait.
			problems = append(problems, fmt.Sprintf("arrived at %v and ended at %v with %v", o.at, o.ended, o.err))
		}
	}
	return problems
}

// early: nothing is sent while a gate is closed. In the instant in which it
// closes somebody may have been on his way.
func early(outcomes []outcome, gates [][2]time.Duration) (problems []string) {
	for _, o := range sentOnly(outcomes) {
		for _, gate := range gates {
			if o.sent > gate[0] && o.sent < gate[1] {
				problems = append(problems, fmt.Sprintf("sent at %v, though the gate was closed from %v to %v", o.sent, gate[0], gate[1]))
			}
		}
	}
	return problems
}

// allowance is what the rates allow from a to b, not counting what was saved
// up before, and the largest room in that time.
func (s *script) allowance(a, b time.Duration) (calls, room float64) {
	count, burst, since := s.first.Count, s.first.Burst, time.Duration(0)
	add := func(until time.Duration) {
		from, to := max(a, since), min(b, until)
		if from > to {
			return
		}
		calls += count * (to - from).Seconds()
		if s.windowed() {
			room = max(room, count)
		} else {
			room = max(room, float64(burst))
		}
	}
	for _, c := range s.changes {
		add(c.at)
		count, burst, since = c.count, c.burst, c.at
	}
	add(1 << 62)
	return calls, room
}

// spent is what calls cost together.
func spent(sent []outcome) (sum int) {
	for _, o := range sent {
		sum += o.cost
	}
	return sum
}

// overrun: from any call to any other, no more are sent than rate × time +
// burst; of a window, no more than Count in each.
func (s *script) overrun(outcomes []outcome) (problems []string) {
	sent := sentOnly(outcomes)
	slices.SortStableFunc(sent, func(a, b outcome) int { return int(a.sent - b.sent) })
	for i := range sent {
		for j := i; j < len(sent); j++ {
			a, b := sent[i].sent, sent[j].sent
			calls, room := s.allowance(a, b)
			if s.windowed() {
				// Up to b there are the windows that began since a, and the one before.
				calls = room * float64(int((b-a)/s.first.Per)+1)
			}
			if n := float64(spent(sent[i : j+1])); n > calls+room+s.overdraft()+1e-6 {
				problems = append(problems, fmt.Sprintf("%v were sent from %v to %v, of %v", n, a, b, calls+room))
			}
		}
	}
	return append(problems, s.overfull(sent)...)
}

// crowded: never more are on their way than there are slots.
func (s *script) crowded(outcomes []outcome) (problems []string) {
	sent := sentOnly(outcomes)
	for _, o := range sent {
		n := 0
		for _, other := range sent {
			if other.sent <= o.sent && other.closed > o.sent {
				n++
			}
		}
		if s.first.Concurrency > 0 && n > s.first.Concurrency {
			problems = append(problems, fmt.Sprintf("%d were on their way at %v", n, o.sent))
		}
	}
	return problems
}

// overfull follows the windows of settings that never change.
func (s *script) overfull(sent []outcome) (problems []string) {
	if !s.windowed() || len(s.changes) > 0 {
		return nil
	}
	begin, n := time.Duration(-1<<62), 0
	for _, o := range sent {
		if o.sent >= begin+s.first.Per {
			begin, n = o.sent, 0
		}
		if n += o.cost; n > int(s.first.Count) {
			problems = append(problems, fmt.Sprintf("%d were sent in the window from %v", n, begin))
		}
	}
	return problems
}

// wasted: as long as somebody waits and no gate is closed, at least 97 % of
// what the rates allow is sent, but for the call that is about to be.
// With slots, the rate is not all that decides; and what is left of a window may be
// too little for the next call.
func (s *script) wasted(outcomes []outcome, gates [][2]time.Duration) (problems []string) {
	if !s.foreseen() {
		return nil
	}
	sent := sentOnly(outcomes)
	for _, o := range sent {
		from, to := o.at, o.sent
		if slices.ContainsFunc(gates, func(gate [2]time.Duration) bool { return gate[0] <= to && gate[1] >= from }) {
			continue
		}
		n := 0
		for _, other := range sent {
			if other.sent >= from && other.sent <= to {
				n += other.cost
			}
		}
		want, _ := s.allowance(from, to)
		want = 0.97*want - float64(s.dearest()) - s.overdraft() // which somebody may have left before
		if s.windowed() {
			if len(s.changes) > 0 {
				continue
			}
			want = s.first.Count * float64(int((to-from)/s.first.Per))
		}
		if float64(n) < want {
			problems = append(problems, fmt.Sprintf("%d were sent while one waited from %v to %v, of %v", n, from, to, want))
		}
	}
	return problems
}

// untruthful: who is refused for the time is told a time that he did not have.
// (For a slot it is an estimate.)
func (s *script) untruthful(outcomes []outcome) (problems []string) {
	if !s.foreseen() {
		return nil
	}
	for _, o := range outcomes {
		var refused *limit.RefusedError
		if !errors.As(o.err, &refused) || refused.Reason == limit.QueueFull {
			continue
		}
		turn := o.ended + refused.RetryAfter
		if turn <= o.at+maxWait && (o.patience == 0 || turn < o.at+o.patience) {
			problems = append(problems, fmt.Sprintf("arrived at %v and refused at %v with %v, though its turn came at %v", o.at, o.ended, o.err, turn))
		}
	}
	return problems
}
