package simulator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Settings are the defaults of a Simulator. Most of them can be overridden by
// the query of a single request, so that one process serves every behaviour.
type Settings struct {
	// Dialect is the header dialect of /limited: one of Dialects. Empty: "ietf".
	Dialect string
	// Limit requests per Per are what /limited allows. Zero: 10 per second.
	Limit int
	Per   time.Duration
	// Burst is the capacity of the token bucket. Zero: Limit.
	Burst int
	// Grace is how long after a refusal a request that comes earlier than the
	// refusal invited it counts as already on the wire, and not as a
	// violation. Zero: 100ms.
	Grace time.Duration

	// Seed drives all chance and the spelling of tokens: the same seed and
	// the same requests give the same answers. Zero: a random one.
	Seed uint64

	// TokenLifetime is how long an access token lives. Zero: one hour.
	TokenLifetime time.Duration
	// RefreshLifetime is how long an unused refresh token lives. Zero: for ever.
	RefreshLifetime time.Duration
	// ReuseLeeway is how long a rotated refresh token may be presented again
	// without killing its family. Zero: not at all.
	ReuseLeeway time.Duration
	// Clients maps OAuth client ids to their secrets. Nil: every client and
	// every secret is accepted.
	Clients map[string]string
	// AssertionKey is the PEM public key with whose private key assertions are signed.
	// Empty: whatever key that is, and only their claims are looked at.
	AssertionKey string

	// MaxEntries bounds every table: quotas, tokens, idempotency keys, names
	// in the statistics. A full table forgets its oldest entry; the
	// statistics count a new name as Uncounted instead. Zero: 100000.
	MaxEntries int
}

// A Simulator is a provider that misbehaves on purpose. It is an http.Handler;
// Serve gives it real connections to break.
type Simulator struct {
	set      Settings
	routes   map[string]endpoint // "/first" or "/first/second" → what answers there
	dialects map[string]dialect  // by name

	ctx    context.Context // governs every request and seized connection
	cancel context.CancelFunc

	tally      *tally
	quotas     *quotas
	points     *points
	plans      *plans
	grants     *grants
	assertions *assertions
	charges    *charges
	outage     atomic.Pointer[outage]

	mu      sync.Mutex
	closed  bool
	servers map[*http.Server]bool
	serving sync.WaitGroup // requests that came through Serve
}

// New returns a Simulator that has no connections yet. It fails on a setting
// that is out of range.
func New(settings Settings) (*Simulator, error) {
	set, err := settings.withDefaults()
	if err != nil {
		return nil, err
	}
	signed, err := newAssertions(set)
	if err != nil {
		return nil, err
	}
	s := &Simulator{
		assertions: signed,
		set:        set,
		routes:     make(map[string]endpoint),
		dialects:   make(map[string]dialect),
		tally:      newTally(set.MaxEntries, set.Seed),
		quotas:     newQuotas(set.MaxEntries),
		points:     newPoints(set.MaxEntries),
		plans:      newPlans(set.MaxEntries),
		grants:     newGrants(set),
		charges:    newCharges(set.MaxEntries),
		servers:    make(map[*http.Server]bool),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, e := range catalogue() {
		s.routes[e.route()] = e
	}
	for _, d := range dialects() {
		s.dialects[d.name] = d
	}
	return s, nil
}

func (set Settings) withDefaults() (Settings, error) {
	if set.Dialect == "" {
		set.Dialect = "ietf"
	}
	if !slices.Contains(Dialects(), set.Dialect) {
		return set, fmt.Errorf("dialect %q: must be one of %s", set.Dialect, strings.Join(Dialects(), ", "))
	}
	set.Limit = orElse(set.Limit, 10)
	set.Per = orElse(set.Per, time.Second)
	set.Grace = orElse(set.Grace, 100*time.Millisecond)
	set.TokenLifetime = orElse(set.TokenLifetime, time.Hour)
	set.MaxEntries = orElse(set.MaxEntries, 100_000)
	switch {
	case set.Limit < 0 || set.Limit > maxLimit || set.Burst < 0 || set.Burst > maxLimit:
		return set, fmt.Errorf("limit %d, burst %d: must be 0 to %d", set.Limit, set.Burst, maxLimit)
	case set.Per < time.Millisecond || set.Per > maxWait:
		return set, fmt.Errorf("per %s: must be 1ms to %s", set.Per, maxWait)
	case set.Grace < 0 || set.TokenLifetime < 0 || set.RefreshLifetime < 0 || set.ReuseLeeway < 0:
		return set, fmt.Errorf("grace, token lifetimes and leeway: must not be negative")
	case set.MaxEntries < 0:
		return set, fmt.Errorf("max entries %d: must not be negative", set.MaxEntries)
	}
	if set.Seed == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails since Go 1.24
		set.Seed = binary.LittleEndian.Uint64(b[:])
	}
	return set, nil
}

func orElse[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Handler returns the Simulator itself, for servers that want a handler.
func (s *Simulator) Handler() http.Handler { return s }

// ServeHTTP answers one request. Faults that need the connection take it by
// http.Hijacker; where there is none (HTTP/2, a recorder) they panic with
// http.ErrAbortHandler, which servers turn into an aborted stream.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	r = r.WithContext(ctx)

	e, found := s.match(r.URL.Path)
	found = found && r.Method != http.MethodConnect // a 200 would be a tunnel
	if found && e.control() {
		e.answer(s, w, r)
		return
	}
	out := &writer{ResponseWriter: w}
	s.tally.arrive(r)
	defer func() { s.tally.leave(out.label()) }()
	switch {
	case s.outageOver(out, r):
	case !found:
		respond(out, http.StatusNotFound, problem{Error: "no such endpoint", Hint: "GET / lists them all"})
	default:
		e.answer(s, out, r)
	}
	out.finished = true
}

// match finds the endpoint of a path: by its first two segments, or by its first.
// It does not clean the path: clients are entitled to see their own bytes echoed.
func (s *Simulator) match(path string) (endpoint, bool) {
	switch path {
	case "*": // OPTIONS *
		path = "/echo"
	case "": // http://host without a slash
		path = "/"
	}
	first := strings.IndexByte(path[1:], '/') + 1
	if first > 0 {
		second := strings.IndexByte(path[first+1:], '/') + first + 1
		two := path
		if second > first {
			two = path[:second]
		}
		if e, ok := s.routes[two]; ok && (e.below() || two == path) {
			return e, true
		}
		if code, ok := strings.CutPrefix(two, "/fault/"); ok && isStatus(code) {
			return s.routes["/fault/CODE"], true
		}
		e, ok := s.routes[path[:first]]
		return e, ok && e.below()
	}
	e, ok := s.routes[path]
	return e, ok
}

// A writer remembers what became of an answer, for the statistics.
type writer struct {
	http.ResponseWriter
	status   int
	seized   bool
	finished bool // false: the handler panicked, to abort
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.status < 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// label is the status as text, "raw" for a connection that was taken over, or
// "aborted" where nothing could be taken over.
func (w *writer) label() string {
	switch {
	case w.seized:
		return "raw"
	case !w.finished:
		return "aborted"
	case w.status == 0:
		return "200" // what net/http sends for a handler that said nothing
	}
	return fmt.Sprint(w.status)
}
