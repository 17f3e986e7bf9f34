package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// An account is what is kept of the calls of one upstream, "" being those of none: it is found
// once for all that a call is counted under.
type account struct {
	upstream     string
	asked        atomic.Bool  // a request for it was on the wire
	requests     atomic.Int64 // on the wire
	served, sent latest[httpLabels]
	traffic      stream
	latest       atomic.Pointer[called]
}

// called is what the calls of a method are called: "GET crm".
type called struct{ method, name string }

// accounts are those of all upstreams that had a call. No lock is needed to find one that is
// there.
type accounts struct {
	all     atomic.Pointer[map[string]*account] // upstream → its account; a map is not written once it is here
	opening sync.Mutex
}

// known is the account of an upstream; nil: it had no call yet.
func (a *accounts) known(upstream string) *account {
	if all := a.all.Load(); all != nil {
		return (*all)[upstream]
	}
	return nil
}

// of is the account of an upstream.
func (a *accounts) of(upstream string) *account {
	if one := a.known(upstream); one != nil {
		return one
	}
	a.opening.Lock()
	defer a.opening.Unlock()
	if one := a.known(upstream); one != nil {
		return one
	}
	more := make(map[string]*account)
	if all := a.all.Load(); all != nil {
		maps.Copy(more, *all)
	}
	one := &account{upstream: upstream, traffic: newStream()}
	more[upstream] = one
	a.all.Store(&more)
	return one
}

// observe tells how many requests are on the wire.
func (a *accounts) observe(o metric.Observer, gauge metric.Int64Observable) {
	all := a.all.Load()
	if all == nil {
		return
	}
	for _, one := range *all {
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
