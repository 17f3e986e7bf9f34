package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// quotas are the limiters in use, each for one credential, name and terms.
type quotas struct {
	mu    sync.Mutex
	table *bounded[*quota]
}

// A quota is a limiter and what it last told its clients.
type quota struct {
	limiter
	// The earliest invitation that is still ahead, and when it was given. A
	// request that comes before it was invited by nobody.
	invited, since time.Time
}

func newQuotas(most int) *quotas { return &quotas{table: newBounded[*quota](most)} }

func (q *quotas) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.table.clear()
}

// A ruling is what became of one arrival.
type ruling struct {
	verdict
	violation bool
	leave     func() // ends the call, for the limits of calls at once
}

// arrive counts one arrival and writes the dialect's headers. Whoever comes
// within grace of the refusal that told everybody to wait was already on the
// wire, and broke no rule.
func (q *quotas) arrive(id string, t terms, grace time.Duration, say func(verdict, time.Time) time.Time) ruling {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	entry, ok := q.table.get(id)
	if !ok {
		entry = &quota{limiter: newLimiter(t)}
		q.table.put(id, entry)
	}
	r := ruling{verdict: entry.take(now)}
	ahead := now.Before(entry.invited)
	r.violation = ahead && now.Sub(entry.since) > grace
	invited := say(r.verdict, now)
	if !r.admitted && !invited.IsZero() && (!ahead || invited.Before(entry.invited)) {
		entry.invited = invited
		if !ahead {
			entry.since = now
		}
	}
	r.leave = func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		entry.limiter.leave()
	}
	return r
}

// limited serves /limited/KIND/NAME/…: an API behind a limiter.
func limited(s *Simulator, w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/limited/"), "/", 3)
	p := paramsOf(r)
	t := terms{kind: parts[0], limit: p.count("limit", s.set.Limit, 1, maxLimit), per: p.atLeast(time.Millisecond, "per", s.set.Per)}
	t.burst = p.count("burst", orElse(s.set.Burst, t.limit), 1, maxLimit)
	d, ok := s.dialects[p.text("dialect", s.set.Dialect)]
	if !ok {
		p.fail("dialect = %q: must be one of %s", p.text("dialect", ""), strings.Join(Dialects(), ", "))
	}
	status := p.count("status", d.status, 400, 599)
	lasts, grace := p.duration("hold", 0), p.duration("grace", s.set.Grace)
	if p.refused(w) {
		return
	}

	name := "default"
	if len(parts) > 1 && parts[1] != "" {
		name = headerSafe(parts[1])
	}
	who := p.text("key", Fingerprint(credentialOf(r)))
	label := t.kind + "/" + name + "/" + who
	id := fmt.Sprintf("%s %d %d %d", label, t.limit, t.per, t.burst)
	ruling := s.quotas.arrive(id, t, grace, func(v verdict, now time.Time) time.Time {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat)) // the clock that the fields below were made with
		return d.say(w.Header(), view{verdict: v, now: now, name: name})
	})
	if !ruling.admitted {
		s.tally.quota(label, func(q *QuotaStats) {
			q.Throttled++
			q.Violations += int64(btoi(ruling.violation))
		})
		respondBytes(w, status, "application/json", []byte(d.refusal(ruling.verdict)+"\n"))
		return
	}
	s.tally.quota(label, func(q *QuotaStats) {
		q.Admitted++
		q.inFlight++
		q.Violations += int64(btoi(ruling.violation))
	})
	defer s.tally.quota(label, func(q *QuotaStats) { q.inFlight-- })
	defer ruling.leave()
	drain(r)
	hold(r.Context(), lasts)
	respondBytes(w, http.StatusOK, "application/json", []byte(`{"ok":true,"quota":"`+name+`","remaining":`+strconv.Itoa(ruling.remaining)+"}\n"))
}

// headerSafe keeps of a quota's name what may stand in a quoted header value.
func headerSafe(name string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, name[:min(len(name), 64)])
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
