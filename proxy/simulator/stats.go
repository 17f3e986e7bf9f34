package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Stats are what the simulator saw since it started or was reset. Requests to
// its own pages (/_stats and the like) are not counted.
type Stats struct {
	Since time.Time `json:"since"`
	Seed  uint64    `json:"seed"`

	Connections int64 `json:"connections"` // accepted by Serve
	Open        int64 `json:"open"`        // of those, still in the server's hands
	Requests    int64 `json:"requests"`
	InFlight    int   `json:"in_flight"`
	Peak        int   `json:"peak"` // most requests in flight at once

	Methods     map[string]int64 `json:"methods"`
	Paths       map[string]int64 `json:"paths"`       // without query
	Statuses    map[string]int64 `json:"statuses"`    // code → answers; "raw": the connection was taken over; "aborted"
	Credentials map[string]int64 `json:"credentials"` // Fingerprint → requests; "" for requests without one

	Keys       map[string]Effects `json:"keys"`       // Idempotency-Key → requests and effects
	Logical    map[string]Effects `json:"logical"`    // X-Logical-Id → requests and effects
	Effects    int64              `json:"effects"`    // charges really made
	Duplicates int64              `json:"duplicates"` // effects beyond the first of each logical id

	Throttled  int64                 `json:"throttled"`  // refusals of /limited and /graphql
	Violations int64                 `json:"violations"` // requests earlier than a refusal had invited them
	Quotas     map[string]QuotaStats `json:"quotas"`     // "limiter/name/fingerprint" → its share of the above

	Tokens TokenStats `json:"tokens"`

	// Uncounted is how many names found no room in the maps above.
	Uncounted int64 `json:"uncounted"`
}

// Effects says how often something was asked for and how often it was done.
type Effects struct {
	Received int64 `json:"received"`
	Effects  int64 `json:"effects"`
}

// QuotaStats are the counts of one quota of /limited or /graphql.
type QuotaStats struct {
	Admitted   int64 `json:"admitted"`
	Points     int64 `json:"points,omitempty"` // what the admitted took, of a quota of /graphql
	Throttled  int64 `json:"throttled"`
	Violations int64 `json:"violations"`
	Peak       int   `json:"peak"` // most admitted requests in flight at once
	inFlight   int
}

// TokenStats are the counts of the OAuth endpoints.
type TokenStats struct {
	Requests   int64 `json:"requests"`    // of /oauth/token
	Issued     int64 `json:"issued"`      // access tokens
	Refreshed  int64 `json:"refreshed"`   // of those, by a refresh token
	Reused     int64 `json:"reused"`      // spent refresh tokens presented again, leeway included
	Killed     int64 `json:"killed"`      // families that died of it
	Accepted   int64 `json:"accepted"`    // requests to /protected with a live token
	Refused    int64 `json:"refused"`     // those without
	DeadTokens int64 `json:"dead_tokens"` // of the refused, those with a token of ours that was no longer live
}

// Fingerprint is how the statistics name a credential: the first twelve hex
// digits of the SHA-256 of the whole header value ("Bearer x"), and "" for "".
func Fingerprint(credential string) string {
	if credential == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(credential))
	return hex.EncodeToString(sum[:6])
}

// credentialOf is what a request is counted by: Authorization, or X-Api-Key.
func credentialOf(r *http.Request) string {
	if v := r.Header.Get("Authorization"); v != "" {
		return v
	}
	return r.Header.Get("X-Api-Key")
}

// A tally keeps the Stats.
type tally struct {
	most int

	mu  sync.Mutex
	now Stats
}

func newTally(most int, seed uint64) *tally {
	t := &tally{most: most}
	t.now.Seed = seed
	t.reset()
	return t
}

// reset forgets everything but what is still open or in flight.
func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = Stats{
		Since: time.Now(), Seed: t.now.Seed, Open: t.now.Open, InFlight: t.now.InFlight, Peak: t.now.InFlight,
		Methods: map[string]int64{}, Paths: map[string]int64{}, Statuses: map[string]int64{}, Credentials: map[string]int64{},
		Keys: map[string]Effects{}, Logical: map[string]Effects{}, Quotas: map[string]QuotaStats{},
	}
}

func (t *tally) snapshot() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.now
	s.Methods, s.Paths = maps.Clone(s.Methods), maps.Clone(s.Paths)
	s.Statuses, s.Credentials = maps.Clone(s.Statuses), maps.Clone(s.Credentials)
	s.Keys, s.Logical, s.Quotas = maps.Clone(s.Keys), maps.Clone(s.Logical), maps.Clone(s.Quotas)
	return s
}

func (t *tally) arrive(r *http.Request) {
	print, key, logical := Fingerprint(credentialOf(r)), r.Header.Get("Idempotency-Key"), r.Header.Get("X-Logical-Id")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Requests++
	t.now.InFlight++
	t.now.Peak = max(t.now.Peak, t.now.InFlight)
	count(t, t.now.Methods, r.Method, increment)
	count(t, t.now.Paths, r.URL.Path, increment)
	count(t, t.now.Credentials, print, increment)
	received := func(e *Effects) { e.Received++ }
	if key != "" {
		count(t, t.now.Keys, key, received)
	}
	if logical != "" {
		count(t, t.now.Logical, logical, received)
	}
}

func (t *tally) leave(label string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.InFlight--
	count(t, t.now.Statuses, label, increment)
}

// effect notes that a charge was really made.
func (t *tally) effect(key, logical string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Effects++
	if key != "" {
		count(t, t.now.Keys, key, func(e *Effects) { e.Effects++ })
	}
	if logical != "" {
		count(t, t.now.Logical, logical, func(e *Effects) {
			if e.Effects++; e.Effects > 1 {
				t.now.Duplicates++
			}
		})
	}
}

// quota notes what change does to one quota, and its share in the totals.
func (t *tally) quota(name string, change func(*QuotaStats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var share QuotaStats // counted in the totals even where the map has no room
	change(&share)
	t.now.Throttled += share.Throttled
	t.now.Violations += share.Violations
	count(t, t.now.Quotas, name, func(q *QuotaStats) {
		change(q)
		q.inFlight = max(q.inFlight, 0) // the statistics were reset under a request
		q.Peak = max(q.Peak, q.inFlight)
	})
}

func (t *tally) tokens(change func(*TokenStats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.now.Tokens)
}

func (t *tally) connection(state http.ConnState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch state {
	case http.StateNew:
		t.now.Connections++
		t.now.Open++
	case http.StateClosed, http.StateHijacked:
		t.now.Open--
	}
}

func increment(n *int64) { *n++ }

// count changes one entry of a bounded map. Callers hold t.mu.
func count[V any](t *tally, m map[string]V, name string, change func(*V)) {
	name = name[:min(len(name), 256)]
	v, ok := m[name]
	if !ok && len(m) >= t.most {
		t.now.Uncounted++
		return
	}
	change(&v)
	m[name] = v
}

// Stats returns a copy of the statistics.
func (s *Simulator) Stats() Stats { return s.tally.snapshot() }
