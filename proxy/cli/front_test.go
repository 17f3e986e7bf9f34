package cli

import (
	"net/http"
	"sync"
	"time"

	"outrider/proxy/simulator"
)

// Where the calls of a front go. A GET has no effect; each request to chargesTarget is a
// charge.
const (
	readsTarget   = "/fault/flaky?p=0"
	chargesTarget = "/charges"
)

// A fault is what goes wrong with one request at the provider. The zero fault: nothing.
type fault struct {
	how  string // a status, "reset" or "hang"
	when string // a charge is made nevertheless if it is "after"; else "before"
}

// A front stands before the simulator and says what goes wrong with a request; it is the
// simulator that does it.
type front struct {
	sim   *simulator.Simulator
	wrong func(r *http.Request) fault
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wrong := f.wrong(r); wrong.how != "" {
		query := r.URL.Query()
		for name, value := range map[string]string{"p": "1", "as": wrong.how, "with": wrong.how, "fail": wrong.when} {
			query.Set(name, value)
		}
		r.URL.RawQuery = query.Encode()
	}
	f.sim.ServeHTTP(w, r)
}

// A counter is where requests are served, one after the other. Whoever would stand in line
// there for too long is sent away at once.
type counter struct {
	each    time.Duration // how long one request takes
	longest time.Duration // wait in line

	mu   sync.Mutex
	free time.Time // when the last of the line has been served
}

// serve returns when a request has been served. false: it was sent away.
func (c *counter) serve() bool {
	c.mu.Lock()
	now := time.Now()
	wait := max(c.free.Sub(now), 0)
	if wait > c.longest {
		c.mu.Unlock()
		return false
	}
	c.free = now.Add(wait + c.each)
	c.mu.Unlock()
	time.Sleep(wait + c.each)
	return true
}
