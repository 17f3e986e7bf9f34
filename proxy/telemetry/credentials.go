package telemetry

import (
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"

	"outrider/policy"
)

// credentialGauges are the states of credentials that are fetched. Those of the
// configuration have a name for a label; connections of the store, which have no bound, are
// counted by their state alone.
type credentialGauges struct {
	count       metric.Int64ObservableGauge
	age, expiry metric.Float64ObservableGauge
}

func (g *credentialGauges) init(m metric.Meter) error {
	var errs [3]error
	g.count, errs[0] = m.Int64ObservableGauge("outrider.credentials",
		metric.WithDescription("Credentials that are fetched in each state, connections in use among them."))
	g.age, errs[1] = m.Float64ObservableGauge("outrider.credential.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the token of a credential was obtained."))
	g.expiry, errs[2] = m.Float64ObservableGauge("outrider.credential.expiry", metric.WithUnit("s"),
		metric.WithDescription("Time until the token of a credential expires; below 0 since it has."))
	return errors.Join(errs[:]...)
}

func (g *credentialGauges) all() []metric.Observable {
	return []metric.Observable{g.count, g.age, g.expiry}
}

// observe tells the credentials of one upstream, if it has any.
func (g *credentialGauges) observe(o metric.Observer, up policy.UpstreamStatus, now time.Time) {
	name := labelUpstream.String(up.Name)
	states := map[string]int64{"none": 0, "live": 0, "refreshing": 0, "failing": 0, "dead": 0}
	for _, c := range up.Credentials {
		states[c.State]++
		labels := metric.WithAttributes(name, labelCredential.String(c.Name))
		if c.Obtained != nil {
			o.ObserveFloat64(g.age, now.Sub(*c.Obtained).Seconds(), labels)
		}
		if c.Expires != nil {
			o.ObserveFloat64(g.expiry, c.Expires.Sub(now).Seconds(), labels)
		}
	}
	if up.Connections != nil {
		for state, n := range up.Connections.States {
			states[state] += int64(n)
		}
	}
	delete(states, "static") // such as a connection with a key: nothing is fetched
	if len(up.Credentials) == 0 && up.Connections == nil {
		return
	}
	for state, n := range states {
		o.ObserveInt64(g.count, n, metric.WithAttributes(name, labelState.String(state)))
	}
}
