package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The benchmark outage asks what becomes of calls to a provider that is down for a
// minute: how many requests it gets meanwhile, what rushes in when it is back, and what
// is done twice. Its time is that of testing/synctest, and its chance has seeds: each run
// prints the same.
const (
	clientsOutage  = 20
	offeredOutage  = 60 // calls per second from all clients together: one in each 60th of a second
	capacityOutage = 72 // requests per second that the provider can serve
	lineOutage     = time.Second

	beginsOutage = 60 * time.Second // all is well before
	lastsOutage  = 60 * time.Second
	afterOutage  = 90 * time.Second

	deadlineOutage = 60 * time.Second // of each call, Outrider's default timeout
	delayOutage    = 20 * time.Millisecond
	spreadOutage   = 20 * time.Millisecond // of each way, on top of delayOutage
)

var seedsOutage = []uint64{1, 2, 3}

// shapesOutage are how the provider fails, as the simulator spells it.
var shapesOutage = []string{"503", "reset", "hang"}

// An arrivalOutage is one call: when it comes, from which client, and of which kind.
type arrivalOutage struct {
	at     time.Duration
	client int
	kind   string
}

// The kinds of calls. They begin the X-Logical-Id.
const (
	readOutage  = "read"
	keyedOutage = "keyed" // a charge under a key of the caller's
	plainOutage = "plain" // a charge without a key
)

// arrivalsOutage come steadily. Seven of ten are reads.
func arrivalsOutage(seed uint64) []arrivalOutage {
	chance := chanceOf(seed, "load", 0)
	all := make([]arrivalOutage, offeredOutage*int((beginsOutage+lastsOutage+afterOutage).Seconds()))
	for i := range all {
		all[i].at = time.Duration((float64(i) + chance.Float64()) / offeredOutage * float64(time.Second))
		all[i].client = chance.IntN(clientsOutage)
		switch kind := chance.IntN(20); {
		case kind < 14:
			all[i].kind = readOutage
		case kind < 17:
			all[i].kind = keyedOutage
		default:
			all[i].kind = plainOutage
		}
	}
	return all
}

// request makes the request of call number i.
func (a arrivalOutage) request(ctx context.Context, i int) *http.Request {
	method, target := http.MethodPost, chargesTarget
	if a.kind == readOutage {
		method, target = http.MethodGet, readsTarget
	}
	caller, id := fmt.Sprint("client ", a.client), fmt.Sprint(a.kind, " ", i)
	req, err := http.NewRequestWithContext(callOf(ctx, caller), method, "http://api.test"+target, strings.NewReader(id))
	if err != nil {
		panic(err) // a target that is spelt wrong above
	}
	req.Header.Set("X-Logical-Id", id)
	if a.kind == keyedOutage {
		req.Header.Set("Idempotency-Key", id)
	}
	return req
}

// A providerOutage is down for a while. One of five charges that come then is made all
// the same, and nobody learns of it. Before and after, it serves as much as it can, and
// answers 503 to what is more.
type providerOutage struct {
	shape   string
	begun   time.Time
	counter counter
	made    *chances

	mu      sync.Mutex
	arrived []time.Duration // of requests, since begun
}

func (p *providerOutage) wrong(r *http.Request) fault {
	at := time.Since(p.begun)
	p.mu.Lock()
	p.arrived = append(p.arrived, at)
	p.mu.Unlock()
	if at >= beginsOutage && at < beginsOutage+lastsOutage {
		if p.made.next(r.Header.Get("X-Logical-Id")).IntN(5) == 0 {
			return fault{how: p.shape, when: "after"}
		}
		return fault{how: p.shape, when: "before"}
	}
	if !p.counter.serve() {
		return fault{how: "503", when: "before"}
	}
	return fault{}
}

// playOutage lets the calls of some seeds come to a provider.
func playOutage(t *testing.T, shape string, s strategyOutage, seeds []uint64) outcomeOutage {
	var sum outcomeOutage
	for _, seed := range seeds {
		synctest.Test(t, func(t *testing.T) { sum.add(playSeedOutage(t, shape, s, seed)) })
	}
	slices.Sort(sum.took)
	return sum
}

func playSeedOutage(t *testing.T, shape string, s strategyOutage, seed uint64) outcomeOutage {
	w := newWire(t, seed, delayOutage, spreadOutage)
	provider := &providerOutage{shape: shape, begun: time.Now(), made: newChances(seed),
		counter: counter{each: time.Second / capacityOutage, longest: lineOutage}}
	w.provider = &front{sim: w.sim, wrong: provider.wrong}
	callers := s.callers(t, w, clientsOutage)

	arrivals := arrivalsOutage(seed)
	good, took := make([]bool, len(arrivals)), make([]time.Duration, len(arrivals))
	var running sync.WaitGroup
	for i, a := range arrivals {
		time.Sleep(time.Until(provider.begun.Add(a.at)))
		running.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), deadlineOutage)
			defer cancel()
			resp, err := callers[a.client](a.request(ctx, i))
			if err == nil {
				good[i] = resp.StatusCode < 300
				resp.Body.Close()
			}
			took[i] = time.Since(provider.begun.Add(a.at))
		})
	}
	running.Wait()

	o := outcomeOutage{calls: len(arrivals), took: took}
	o.during(arrivals, provider.arrived)
	o.after(arrivals, provider.arrived, good)
	for id, effects := range w.sim.Stats().Logical {
		switch more := max(effects.Effects-1, 0); {
		case strings.HasPrefix(id, keyedOutage):
			o.keyed += more
		case strings.HasPrefix(id, plainOutage):
			o.plain += more
		}
	}
	return o
}
