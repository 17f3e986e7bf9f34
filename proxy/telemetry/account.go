package telemetry

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// An account is what is kept of the calls of one upstream, "" being those of none: it is found
// once for all that a call is counted under.
type account struct {
	upstream     string
	client       *histogram[httpLabels] // of all upstreams
	asked        atomic.Bool            // a request for it was on the wire
	requests     atomic.Int64           // on the wire
	served, sent latest[httpLabels]
	traffic      stream
	latest       atomic.Pointer[called]
	calls        alike[callFacts] // of their spans
	wires        alike[wireFacts] // of those of requests
}

// called is what the calls of a method are called: "GET crm".
type called struct{ method, name string }

// accounts are those of all upstreams that had a call.
type accounts struct {
	client     *histogram[httpLabels]
	mu         sync.RWMutex
	byUpstream map[string]*account
}

// known is the account of an upstream; nil: it had no call yet.
func (a *accounts) known(upstream string) *account {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.byUpstream[upstream]
}

// of is the account of an upstream.
func (a *accounts) of(upstream string) *account {
	if one := a.known(upstream); one != nil {
		return one
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.byUpstream[upstream]
	if one == nil {
		if a.byUpstream == nil {
			a.byUpstream = make(map[string]*account)
		}
		one = &account{upstream: upstream, client: a.client, traffic: newStream()}
		a.byUpstream[upstream] = one
	}
	return one
}

// observe tells how many requests are on the wire.
func (a *accounts) observe(o metric.Observer, gauge metric.Int64Observable) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, one := range a.byUpstream {
		if one.asked.Load() {
			o.ObserveInt64(gauge, one.requests.Load(), metric.WithAttributes(upstreamLabel(one.upstream)))
		}
	}
}

// name is what a call of a method is called, of which there are few. That of the latest is at
// hand.
func (a *account) name(method string) string {
	if last := a.latest.Load(); last != nil && last.method == method {
		return last.name
	}
	name := method + " " + a.upstream
	a.latest.Store(&called{name[:len(method)], name})
	return name
}

// begin counts a request that begins.
func (a *account) begin() {
	a.requests.Add(1)
	if !a.asked.Load() {
		a.asked.Store(true)
	}
}
