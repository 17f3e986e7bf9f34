package alarm

import (
	"sync/atomic"

	"outrider/policy"
	"outrider/proxy/telemetry"
)

// brought knows the calls that carry what their caller brought: its own credential, or none.
// Whether that is refused is for the caller to see to.
type brought struct {
	rules atomic.Pointer[map[ruleOf]bool] // nil: there are none
}

// A ruleOf names the calls of an upstream that match a rule; "" are those that match none.
type ruleOf struct{ upstream, match string }

// follow has a configuration say which they are.
func (b *brought) follow(set *policy.Set) {
	rules := make(map[ruleOf]bool)
	for _, u := range set.Upstreams() {
		for _, plan := range u.Plans() {
			if kind := plan.Policy.Auth.Type; kind == "passthrough" || kind == "none" {
				rules[ruleOf{u.Config.Name, plan.Match}] = true
			}
		}
	}
	b.rules.Store(&rules)
}

// by reports whether a call is one of them.
func (b *brought) by(r *telemetry.Record) bool {
	rules := b.rules.Load()
	return rules != nil && r.Connection == "" && (*rules)[ruleOf{r.Upstream, r.Rule}]
}
