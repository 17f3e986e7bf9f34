package policy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"outrider/policy/auth"
	"outrider/policy/config"
)

const (
	// relook is how long a connection is taken as it is before the store is looked at
	// again: another process may have removed or replaced it.
	relook = 5 * time.Second
	// retry of a look that failed, or found nothing: who names what is not there, again
	// and again, does not have the store asked each time.
	relookInVain = time.Second
	// lookPatience is how long a call waits for the store. A connection that is known
	// goes on without.
	lookPatience = 3 * time.Second
	// maxConnections is how many are in memory before those that nobody uses go.
	maxConnections = 4096
	// idleConnection is how long nobody has used one that may go.
	idleConnection = 10 * time.Minute
)

// A keptSource is a credential that is there only as long as the store has it.
type keptSource interface {
	auth.Source
	Look(ctx context.Context) (found bool, err error)
	Removed() bool
	Status() auth.OAuth2Status
	Origin() string
	Close()
}

// connections are those of one upstream that the store has, as far as they are in use
// here. They live as long as the process, and follow the settings of each Set when they
// are used next. None has a goroutine of its own.
type connections struct {
	mu      sync.Mutex // held for moments
	byName  map[string]*connection
	sweepAt int          // the size of byName at which to look for idle ones
	retired []keptSource // with settings of before, and something to lose
	closed  bool
}

func newConnections() *connections {
	return &connections{byName: make(map[string]*connection), sweepAt: maxConnections}
}

// A connection is what is known of one name.
type connection struct {
	name string
	turn chan struct{} // held by the one who looks at the store
	used atomic.Int64  // Unix nanoseconds

	mu      sync.Mutex
	source  keptSource // nil: there is none, or that is not known
	of      *template  // of source
	err     error      // why there is no source; nil: nobody has looked
	looked  time.Time
	expired int  // how often this process has changed it in the store
	dropped bool // it is not in byName any more
}

// A template is what the connections of an upstream have in common, by one Set.
type template struct {
	upstream *config.Upstream
	keep     func(name string) (Keeper, error)
	make     func(name string, keeper Keeper, before keptSource) (keptSource, error)
	// kept and observe are those of Env.
	kept    func(ctx context.Context, prefix, after string, limit int) ([]string, error)
	observe func(ctx context.Context, e Event)
}

func (t *template) same(other *template) bool {
	return t == other || t.auth() == other.auth() && t.upstream.Egress == other.upstream.Egress
}

// auth is what they have in common of the upstream's.
func (t *template) auth() config.Auth {
	a := t.upstream.Auth
	a.Token, a.Username, a.Password, a.Value, a.RefreshToken = "", "", "", "", ""
	return a
}

// find gives the source of a connection as the store has it. The error is an
// *UnknownConnectionError, an *auth.UnavailableError, or the cause of ctx.
func (c *connections) find(ctx context.Context, name string, t *template) (keptSource, error) {
	for {
		conn, err := c.entry(name)
		if err != nil {
			return nil, err
		}
		if source, err := conn.current(t); source != nil || err != nil {
			return source, err
		}
		select {
		case conn.turn <- struct{}{}:
		default:
			if source := conn.meanwhile(t); source != nil {
				return source, nil
			}
			select {
			case conn.turn <- struct{}{}:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		source, err := conn.look(ctx, t, c)
		<-conn.turn
		if source != nil || err != nil {
			return source, err
		}
	}
}

// follow has those that nobody may use for long be of the template of the Set in force, where
// that makes no difference to them: each would keep the Set in memory by which it was used last.
func (c *connections) follow(t *template) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.byName {
		conn.mu.Lock()
		if conn.source == nil || conn.of.same(t) {
			conn.of = t
		}
		conn.mu.Unlock()
	}
}

// known gives what find would, where that takes no look at the store: nothing where it
// does.
func (c *connections) known(name string, t *template) (keptSource, error) {
	conn, err := c.entry(name)
	if err != nil {
		return nil, err
	}
	return conn.current(t)
}

// entry gives what is known of a name.
func (c *connections) entry(name string) (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, &auth.UnavailableError{Err: errShuttingDown}
	}
	conn := c.byName[name]
	if conn == nil {
		if len(c.byName) >= c.sweepAt {
			c.sweep()
		}
		conn = &connection{name: name, turn: make(chan struct{}, 1)}
		c.byName[name] = conn
	}
	conn.used.Store(time.Now().UnixNano())
	return conn, nil
}

// current gives what is known well enough: the source, or why there is none. Neither
// means that somebody has to look.
func (conn *connection) current(t *template) (keptSource, error) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	age := time.Since(conn.looked)
	switch {
	case conn.dropped:
		return nil, nil
	case conn.source != nil && conn.of.same(t) && !conn.source.Removed() && age < relook:
		return conn.source, nil
	case conn.source == nil && conn.err != nil && age < relookInVain:
		return nil, conn.err
	}
	return nil, nil
}

// meanwhile gives the source that was known before somebody began to look: a store that
// does not answer holds up one call, and not all. nil: there is none, or this process
// knows that it is another one now.
func (conn *connection) meanwhile(t *template) keptSource {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if conn.source == nil || !conn.of.same(t) || conn.source.Removed() || conn.looked.IsZero() {
		return nil
	}
	return conn.source
}

// look looks at the store, unless somebody has done so meanwhile. The turn is held.
func (conn *connection) look(ctx context.Context, t *template, in *connections) (keptSource, error) {
	if source, err := conn.current(t); source != nil || err != nil {
		return source, err
	}
	conn.mu.Lock()
	known, of, dropped, expired, told := conn.source, conn.of, conn.dropped, conn.expired, conn.looked.IsZero()
	conn.mu.Unlock()
	if dropped {
		return nil, nil
	}
	settle := func(source keptSource, err error) (keptSource, error) {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.source, conn.of, conn.err, conn.looked = source, t, err, time.Now()
		if conn.expired != expired { // while we looked: what was found may be what was there before
			conn.looked = time.Time{}
		}
		return source, err
	}
	source := known
	if source == nil || !of.same(t) {
		var err error
		if source, err = t.source(conn.name, known); err != nil {
			return settle(nil, &auth.UnavailableError{Err: err})
		}
	}
	ill := known != nil && troubled(known)
	patient, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	found, err := source.Look(patient)
	if err == nil && known != nil && !told { // this process did not do it itself
		switch {
		case !found:
			t.tell(ctx, conn.name, "removed")
		case ill && !troubled(source):
			t.tell(ctx, conn.name, "replaced")
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx) // which says nothing about the store
	case err != nil && (known == nil || source.Removed()):
		in.retire(known)
		return settle(nil, &auth.UnavailableError{Err: err, RetryAfter: relookInVain})
	case err == nil && !found:
		in.retire(known)
		return settle(nil, &UnknownConnectionError{Name: conn.name})
	}
	if known != source {
		in.retire(known)
	}
	return settle(source, nil)
}

// tell tells of a change to a connection, that this process made or found.
func (t *template) tell(ctx context.Context, name, result string) {
	t.observe(ctx, Event{Kind: EventConnection, Upstream: t.upstream.Name, Key: name, Reason: result})
}

// source makes one with the settings of t. What before could not save is not lost.
func (t *template) source(name string, before keptSource) (keptSource, error) {
	keeper, err := t.keep(name)
	if err != nil {
		return nil, err
	}
	return t.make(name, keeper, before)
}

// expire has the next call look at the store, after this process has changed it.
func (c *connections) expire(name string) {
	c.mu.Lock()
	conn := c.byName[name]
	c.mu.Unlock()
	if conn != nil {
		conn.mu.Lock()
		conn.looked = time.Time{}
		conn.expired++
		conn.mu.Unlock()
	}
}

// retire remembers a source that is not used any more and has something to lose.
func (c *connections) retire(source keptSource) {
	if source == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.retired[:0]
	for _, s := range append(c.retired, source) {
		if !expendable(s) {
			kept = append(kept, s)
		}
	}
	c.retired = kept
}

// expendable reports whether nothing is lost with a source: a new one would find all of
// it in the store.
func expendable(s keptSource) bool {
	status := s.Status()
	return status.NotKept == nil && (status.State == auth.StateLive || status.State == auth.StateNone) || s.Removed()
}

// troubled reports whether somebody may have been told that a source is in trouble.
func troubled(s keptSource) bool {
	status := s.Status()
	return status.NotKept != nil || status.State == auth.StateDead || status.State == auth.StateFailing
}

// sweep drops the names that are nobody's, and the connections that nobody uses. The
// lock is held. The next sweep is as many new names away as this one has left.
func (c *connections) sweep() {
	idle := time.Now().Add(-idleConnection).UnixNano()
	for name, conn := range c.byName {
		select {
		case conn.turn <- struct{}{}:
		default:
			continue // somebody looks right now
		}
		conn.mu.Lock()
		if conn.source == nil || conn.used.Load() < idle && expendable(conn.source) {
			conn.dropped = true
			delete(c.byName, name)
		}
		conn.mu.Unlock()
		<-conn.turn
	}
	c.sweepAt = max(maxConnections, 2*len(c.byName))
}

// sources lists those that are in use, by name.
func (c *connections) sources() map[string]keptSource {
	c.mu.Lock()
	all := make([]*connection, 0, len(c.byName))
	for _, conn := range c.byName {
		all = append(all, conn)
	}
	c.mu.Unlock()
	sources := make(map[string]keptSource, len(all))
	for _, conn := range all {
		conn.mu.Lock()
		if conn.source != nil {
			sources[conn.name] = conn.source
		}
		conn.mu.Unlock()
	}
	return sources
}

// close ends them, and gives all that have to be waited for.
func (c *connections) close() []keptSource {
	c.mu.Lock()
	c.closed = true
	all := c.retired
	c.mu.Unlock()
	for _, source := range c.sources() {
		all = append(all, source)
	}
	return all
}
