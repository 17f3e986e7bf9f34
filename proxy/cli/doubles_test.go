package cli

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Many calls of every kind go to a provider that fails in every way that leaves open
// whether it did what was asked, by clients that give up at any time and call again
// themselves. What is counted is what was really done.
const (
	callsDoubles = 20_000 // in one run; OUTRIDER_TEST_CALLS says how many in all
	everyDoubles = 2 * time.Millisecond
	againDoubles = 3 // times that a client itself calls, at most
)

// The retries that may go wrong are to be many: so the budget and the circuit stand back.
const documentDoubles = `timeout = "10s"
attempt_timeout = "2s"
circuit = { min_calls = 1000000, failure_run = 1000000, consecutive = 1000000 }
`

// A kindDoubles is a kind of calls. Its name begins their X-Logical-Id.
type kindDoubles struct {
	name, method, target string
	keyed                bool // the caller has a key for it
	minted               bool // Outrider makes one
}

var kindsOfDoubles = []kindDoubles{
	{name: "GET", method: http.MethodGet, target: readsTarget},
	{name: "PUT", method: http.MethodPut, target: chargesTarget},
	{name: "POST without a key", method: http.MethodPost, target: chargesTarget},
	{name: "POST with the caller's key", method: http.MethodPost, target: chargesTarget, keyed: true},
	{name: "POST with a minted key", method: http.MethodPost, target: chargesTarget, minted: true},
}

// once reports that a call of this kind has one effect, however often it is asked for.
func (k kindDoubles) once() bool { return k.keyed || k.method == http.MethodPut }

// sentOnce reports that a call of this kind may not be sent again by anybody but its client.
func (k kindDoubles) sentOnce() bool {
	return k.method == http.MethodPost && !k.keyed && !k.minted
}

// A tallyDoubles is what became of the calls of one kind.
type tallyDoubles struct {
	calls    int64 // what should happen once
	asked    int64 // how often the clients themselves called
	requests int64 // at the provider
	effects  int64
	unheard  int64 // answers that got lost although the work was done
}

// doubles counts a run, by kind.
type doubles struct {
	mu  sync.Mutex
	all map[string]*tallyDoubles // name of the kind → what became of its calls
}

func newDoubles() *doubles {
	d := &doubles{all: make(map[string]*tallyDoubles)}
	for _, k := range kindsOfDoubles {
		d.all[k.name] = new(tallyDoubles)
	}
	return d
}

// note changes the count of the kind of which a logical id is.
func (d *doubles) note(id string, change func(*tallyDoubles)) {
	name, _, _ := strings.Cut(id, "#")
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.all[name])
}

// A hazard says what goes wrong with a request.
type hazard struct {
	counts  *doubles
	arrived *chances
	dialled *chances
}

// refuses is that no connection is to be had, and nothing is sent.
func (h *hazard) refuses(req *http.Request) bool {
	return h.dialled.next("dial "+req.Header.Get("X-Logical-Id")).IntN(20) == 0
}

// wrong fails two of five requests, half of them after the charge was made. Some others
// are at work for longer than an attempt may take.
func (h *hazard) wrong(r *http.Request) fault {
	id := r.Header.Get("X-Logical-Id")
	if r.Method == http.MethodPut {
		// A PUT names what it makes, so that twice is once: here by a key.
		r.Header.Set("Idempotency-Key", id)
	}
	chance := h.arrived.next("arrival " + id)
	f := fault{when: [...]string{"before", "after"}[chance.IntN(2)]}
	switch kind := chance.IntN(20); {
	case kind < 4:
		f.how = "reset"
	case kind < 7:
		f.how = "503"
	case kind < 8:
		f.how = "hang"
	case kind < 10 && r.URL.Path == chargesTarget:
		r.URL.RawQuery = "work=" + upTo(chance, 4*time.Second).String()
	}
	if f.how != "" && f.when == "after" {
		h.counts.note(id, func(t *tallyDoubles) { t.unheard++ })
	}
	return f
}

// playDoubles makes the calls of one seed, in a bubble.
func playDoubles(t *testing.T, seed uint64, calls int) *doubles {
	w := newWire(t, seed, time.Millisecond, 5*time.Millisecond)
	h := &hazard{counts: newDoubles(), arrived: newChances(seed), dialled: newChances(seed)}
	w.provider, w.refuses = &front{sim: w.sim, wrong: h.wrong}, h.refuses
	retries := func(more string) string {
		return documentDoubles + `retry = { attempts = 4, budget = "100%", idempotency_header = "Idempotency-Key"` + more + " }\n"
	}
	plain, minting := through(t, w, retries("")), through(t, w, retries(", mint_key = true"))

	clients := make([]*clientDoubles, calls)
	var running sync.WaitGroup
	for i := range clients {
		kind := kindsOfDoubles[i%len(kindsOfDoubles)]
		id := fmt.Sprint(kind.name, "#", i)
		clients[i] = &clientDoubles{kind: kind, id: id, transport: plain, chance: chanceOf(seed, "client "+id, 0)}
		if kind.minted {
			clients[i].transport = minting
		}
		time.Sleep(everyDoubles)
		running.Go(func() { clients[i].run(t.Context()) })
	}
	running.Wait()
	w.trips.Wait() // what was begun is finished, whoever left

	done := w.sim.Stats().Logical
	for _, c := range clients {
		c.check(t, done[c.id].Received, done[c.id].Effects)
		h.counts.note(c.id, func(t *tallyDoubles) {
			t.calls++
			t.asked += int64(c.asked)
			t.requests += done[c.id].Received
			t.effects += done[c.id].Effects
		})
	}
	return h.counts
}

// In any number of calls nothing is done more often than its caller asked for it, and
// under a key nothing is done twice. The short version is one of many:
//
//	OUTRIDER_TEST_CALLS=1000000 go test ./proxy/cli -run NothingIsDoneTwice -v
func TestNothingIsDoneTwice(t *testing.T) {
	calls := callsDoubles
	if text := os.Getenv("OUTRIDER_TEST_CALLS"); text != "" {
		var err error
		if calls, err = strconv.Atoi(text); err != nil || calls < callsDoubles || calls%callsDoubles != 0 {
			t.Fatalf("OUTRIDER_TEST_CALLS = %q: must be a multiple of %d", text, callsDoubles)
		}
	}
	runs := make([]*doubles, calls/callsDoubles)
	t.Run("calls", func(t *testing.T) { // ends when all of its runs have
		for i := range runs {
			t.Run(fmt.Sprint("seed ", i+1), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { runs[i] = playDoubles(t, uint64(i+1), callsDoubles) })
			})
		}
	})
	for _, kind := range kindsOfDoubles {
		var sum tallyDoubles
		for _, run := range runs {
			sum.add(run.all[kind.name])
		}
		sum.check(t, kind)
	}
}

func (t *tallyDoubles) add(other *tallyDoubles) {
	t.calls += other.calls
	t.asked += other.asked
	t.requests += other.requests
	t.effects += other.effects
	t.unheard += other.unheard
}

// check says what happened, and fails where it was too harmless to prove anything.
func (t *tallyDoubles) check(tb testing.TB, kind kindDoubles) {
	tb.Logf("%s: %d calls, asked for %d times; %d requests, %d effects, %d answers lost",
		kind.name, t.calls, t.asked, t.requests, t.effects, t.unheard)
	if t.unheard < t.calls/10 {
		tb.Errorf("%s: only %d answers got lost", kind.name, t.unheard)
	}
	if !kind.sentOnce() && t.requests < t.asked*11/10 {
		tb.Errorf("%s: only %d requests for %d calls", kind.name, t.requests, t.asked)
	}
}
