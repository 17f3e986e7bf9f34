package policy

import (
	"cmp"
	"slices"

	"outrider/policy/config"
)

// A Seed is the refresh token in the configuration that a credential begins with, where
// nothing is kept of it.
type Seed struct {
	Key   string // path of the setting
	Kept  string // where the tokens are kept that go before it, as [Env.Keep] is told
	Token config.Reference
}

// Seeds are those of all credentials, in the order of their keys. None was read yet: a
// configuration whose first token is gone is a good one for as long as its successor is kept.
func (s *Set) Seeds() []Seed {
	var seeds []Seed
	for id, c := range s.fetched {
		if c.auth.RefreshToken != "" {
			seeds = append(seeds, Seed{c.key + ".refresh_token", id, c.auth.RefreshToken})
		}
	}
	slices.SortFunc(seeds, func(a, b Seed) int { return cmp.Compare(a.Key, b.Key) })
	return seeds
}
