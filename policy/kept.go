package policy

import (
	"encoding/json"
	"strings"
	"time"

	"outrider/policy/limit"
	"outrider/policy/pace"
)

// A KeptQuota is how far a quota is spent, for a store. Nothing of it is a secret.
type KeptQuota struct {
	Upstream string
	Table    string // the name of its limit table
	// Key is that of the quota: the host, and the name of a credential or connection; and
	// in a second line the provider's name for it, if it is one that answers told of.
	Key   string
	Spent int64     // of a window that has a fixed end; 0: it has none
	State []byte    // JSON
	Until time.Time // when it means nothing any more
}

// keptState is KeptQuota.State.
type keptState struct {
	Usual bool      `json:"usual,omitempty"`
	Gate  time.Time `json:"gate,omitzero"`
	pace.Kept
}

// KeptQuotas gives the quotas that a restart must not forget. One that nobody has spent
// of since is the same, to the byte. Those of callers' own credentials are left out: their
// keys mean nothing to another process.
func (s *Set) KeptQuotas() (kept []KeptQuota) {
	for _, u := range s.upstreams {
		for _, k := range u.quotas.Keep() {
			if strings.Contains(k.Key, callerMark) {
				continue
			}
			if q, err := keptQuota(u.Config.Name, k); err == nil {
				kept = append(kept, q)
			}
		}
	}
	return kept
}

func keptQuota(upstream string, k limit.Kept) (KeptQuota, error) {
	state, err := json.Marshal(keptState{k.Usual, k.Gate, k.State})
	q := KeptQuota{Upstream: upstream, Table: k.Table, Key: k.Key, Spent: k.State.Used(), State: state, Until: k.Until()}
	if k.Bucket != "" {
		q.Key += "\n" + k.Bucket
	}
	return q, err
}

// RestoreQuotas takes over what KeptQuotas gave before a restart. It comes before the
// first call; if later, nobody gets more room by it. What is of no upstream that there
// is, or cannot be read, is left out.
func (s *Set) RestoreQuotas(kept []KeptQuota) {
	byUpstream := make(map[string][]limit.Kept)
	for _, q := range kept {
		var state keptState
		if json.Unmarshal(q.State, &state) != nil {
			continue
		}
		k := limit.Kept{Table: q.Table, Usual: state.Usual, Gate: state.Gate, State: state.Kept}
		k.Key, k.Bucket, _ = strings.Cut(q.Key, "\n")
		byUpstream[q.Upstream] = append(byUpstream[q.Upstream], k)
	}
	for _, u := range s.upstreams {
		u.quotas.Restore(byUpstream[u.Config.Name])
	}
}
