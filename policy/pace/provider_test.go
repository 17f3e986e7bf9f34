package pace_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/hint"
	"outrider/policy/pace"
	"outrider/policy/quota"
	"outrider/proxy/simulator"
)

// A backlog is callers who send to a limit of the simulator as fast as a quota allows
// that knows nothing but what the answers say. They stop for a Retry-After, as the gate
// of package limit does.
type backlog struct {
	limit   string // of the simulator, as in its URL behind /limited/, or with a / at its begin as a whole
	callers int    // who are on their way at a time, at most
	delay   time.Duration
	jitter  time.Duration // by how much more some are on their way, in each direction
	late    time.Duration // they begin so long after somebody else has sent a call
	style   pace.Style
	warm    time.Duration // is not counted
	length  time.Duration
}

// A run is what came of it.
type run struct {
	fine, refused int
	facts         pace.Facts
}

type answer struct {
	code    int
	header  http.Header
	points  *quota.View // nil: the body tells of none
	refused bool
	sent    time.Time
}

// ask makes a call to the limit of the backlog.
func (b backlog) ask(sim *simulator.Simulator) *httptest.ResponseRecorder {
	target := b.limit
	if !strings.HasPrefix(target, "/") {
		target = "/limited/" + target
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	return w
}

// answered is what a call that was sent then has got.
func answered(w *httptest.ResponseRecorder, sent time.Time) answer {
	a := answer{code: w.Code, header: w.Header(), refused: w.Code != http.StatusOK, sent: sent}
	if said, ok := quota.ParseThrottle(w.Body.Bytes(), time.Now()); ok {
		a.points, a.refused = &said.View, said.Refused
	}
	return a
}

func (b backlog) run(t *testing.T) (r run) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := simulator.New(simulator.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		defer sim.Close()
		if b.late > 0 {
			b.ask(sim)
			time.Sleep(b.late)
		}
		learned := pace.NewLearned(b.style)
		answers := make(chan answer)
		start, gate := time.Now(), time.Now()
		flying, sent := 0, 0
		for time.Since(start) < b.warm+b.length || flying > 0 {
			now := time.Now()
			open := now.Sub(start) < b.warm+b.length && !now.Before(gate) && flying < b.callers
			if open && learned.Ready(now, 1) {
				learned.Spend(now, 1)
				flying++
				sent++
				go func(n int) { // No two arrive at the same time.
					time.Sleep(b.delay + b.jitter*time.Duration(n*7%11)/10 + time.Duration(n%1009)*time.Nanosecond)
					w := b.ask(sim)
					w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
					time.Sleep(b.delay + b.jitter*time.Duration(n*5%13)/12 + time.Duration(n%997)*time.Nanosecond)
					answers <- answered(w, now)
				}(sent)
				continue
			}
			wake := time.Hour
			switch {
			case now.Before(gate):
				wake = gate.Sub(now)
			case open && !learned.Held(now, 1):
				if wake = learned.Turn(now, 0, 1).Sub(now); wake <= 0 {
					t.Fatalf("%v: not ready at %v, but its turn is now", b, now.Sub(start))
				}
			case flying == 0:
				t.Fatalf("%v: held at %v, and nobody is on the way", b, now.Sub(start))
			}
			select {
			case a := <-answers:
				flying--
				if time.Since(start) >= b.warm {
					r.count(a)
				}
				if after, named := hint.RetryAfter(a.header, time.Now()); named {
					gate = time.Now().Add(after)
				}
				tell(learned, a)
			case <-time.After(wake):
			}
		}
		r.facts, _, _ = learned.About(time.Now())
	})
	return r
}

func (r *run) count(a answer) {
	if a.refused {
		r.refused++
	} else {
		r.fine++
	}
}

func tell(l *pace.Learned, a answer) {
	l.Land(1)
	views := quota.Parse(a.header, time.Now(), nil)
	if a.points != nil {
		views = append(views, *a.points)
	}
	for _, v := range views {
		l.Charged(1, v)
		l.Told(time.Now(), v, a.refused)
	}
	if len(views) == 0 {
		l.Silent(time.Now(), a.sent, 1)
	}
}

// The limits of the simulator, and who counts in which way.
var providers = map[string][]string{
	"window":  {"ietf", "draft07", "draft06", "gitlab", "github", "atlassian", "hubspot"},
	"sliding": {"ietf", "draft07", "draft06", "gitlab", "hubspot"},
	"bucket":  {"ietf", "draft07", "draft06", "gitlab", "openai", "anthropic", "shopify"},
}

// least is how many of the calls that a quota allows are made at least.
func least(kind, dialect string, per time.Duration) float64 {
	// A reset as an epoch in whole seconds is up to a second late.
	late := float64(per) / float64(per+time.Second)
	switch {
	case dialect == "atlassian": // in whole minutes
		return 0
	case dialect == "gitlab" && kind != "window":
		return 0.9 * late
	case dialect == "gitlab", dialect == "github":
		return 0.97 * late
	case dialect == "draft06" && kind == "sliding" && per < 10*time.Second:
		return 0.65
	}
	return 0.95
}

// Of a quota that nobody has configured: after the first minute, at most one call in a
// hundred is refused, and what it allows is used.
func TestWhatAnswersTellIsEnough(t *testing.T) {
	for kind, dialects := range providers {
		for _, dialect := range dialects {
			for _, q := range []struct {
				limit int
				per   time.Duration
			}{{100, 10 * time.Second}, {10, time.Second}, {40, 20 * time.Second}} {
				for _, callers := range []int{1, 4, 16} {
					b := backlog{
						limit:   fmt.Sprintf("%s/core?limit=%d&per=%v&dialect=%s", kind, q.limit, q.per, dialect),
						callers: callers, delay: 20 * time.Millisecond, warm: time.Minute, length: 2 * time.Minute,
					}
					r := b.run(t)
					allowed := float64(q.limit) * float64(b.length/q.per)
					if all := r.fine + r.refused; float64(r.refused) > 0.01*float64(all) || float64(r.fine) < least(kind, dialect, q.per)*allowed {
						t.Errorf("%s, %d callers: %d were let pass of %v, %d refused; known at last: %+v", b.limit, callers, r.fine, allowed, r.refused, r.facts)
					}
				}
			}
		}
	}
}

// Points of GraphQL, of which the good answers tell: the same.
func TestWhatAnswersTellOfPointsIsEnough(t *testing.T) {
	for _, q := range []struct{ cost, actual int }{{10, 10}, {100, 25}, {400, 90}, {1000, 200}} {
		for _, style := range []pace.Style{pace.Auto, pace.Spread} {
			for _, callers := range []int{1, 4, 16} {
				b := backlog{
					limit:   fmt.Sprintf("/graphql/shop?maximum=1000&restore=50&cost=%d&actual=%d", q.cost, q.actual),
					callers: callers, delay: 20 * time.Millisecond, jitter: 5 * time.Millisecond, style: style, warm: time.Minute, length: 2 * time.Minute,
				}
				r := b.run(t)
				allowed := 50 * b.length.Seconds() / float64(q.actual)
				if r.refused > 0 || float64(r.fine) < 0.95*allowed {
					t.Errorf("%s, %d callers, style %d: %d were let pass of %v, %d refused; known at last: %+v", b.limit, callers, style, r.fine, allowed, r.refused, r.facts)
				}
			}
		}
	}
}

// A provider that says it refills a bucket and in truth counts by windows is found out.
func TestQuotaThatComesBackOtherwiseThanToldIsFoundOut(t *testing.T) {
	for _, kind := range []string{"window", "sliding"} {
		for _, dialect := range []string{"openai", "anthropic"} {
			for _, callers := range []int{1, 16} {
				b := backlog{
					limit:   fmt.Sprintf("%s/core?limit=100&per=10s&dialect=%s", kind, dialect),
					callers: callers, delay: 20 * time.Millisecond, warm: time.Minute, length: 2 * time.Minute,
				}
				if r := b.run(t); float64(r.refused) > 0.01*float64(r.fine) || r.facts.Shape != "rolling" {
					t.Errorf("%s, %d callers: %d were let pass, %d refused; known at last: %+v", b.limit, callers, r.fine, r.refused, r.facts)
				}
			}
		}
	}
}

// The quotas that providers have, over hours and days, when their windows have begun
// before us, with answers that overtake each other: what is there is used soon after it
// is, and hardly anything is refused.
func TestLongQuotasAreUsedAsTheyComeBack(t *testing.T) {
	for _, c := range []struct {
		limit string
		of    int           // what that is
		per   time.Duration // and in what time
	}{
		{"window/core?limit=5000&per=1h&dialect=github", 5000, time.Hour},
		{"window/search?limit=30&per=1m&dialect=github", 30, time.Minute},
		{"window/core?limit=1000&per=1h&dialect=atlassian", 1000, time.Hour},
		{"window/core?limit=1000&per=1h&dialect=ietf", 1000, time.Hour},
		{"window/core?limit=600&per=1m&dialect=gitlab", 600, time.Minute},
		{"window/core?limit=2500&per=24h&dialect=hubspot", 2500, 24 * time.Hour},
	} {
		b := backlog{limit: c.limit, callers: 8, delay: 20 * time.Millisecond, jitter: 250 * time.Millisecond, late: c.per * 2 / 3, length: 3 * c.per}
		// The rest of a window, two whole ones, and the beginning of a fourth.
		want := 4*c.of - c.of/10
		if r := b.run(t); r.fine < want || r.refused*100 > 3*r.fine {
			t.Errorf("%s: %d were let pass, want %d; %d refused; known at last: %+v", c.limit, r.fine, want, r.refused, r.facts)
		}
	}
}
