//go:build unix

package cli

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"outrider/proxy/store"
	"outrider/proxy/store/postgrestest"
)

// A link is the way of one station to the database. It can stand still, so that neither
// end learns of it, and it can break.
type link struct {
	to string // the socket of the server

	mu     sync.Mutex
	flows  chan struct{} // closed: bytes go on
	broken bool          // nobody is let in
	open   map[net.Conn]bool
}

// newLink leads to the server of a database, and gives the URL of the database by it.
func newLink(t *testing.T, database string) (l *link, by string) {
	t.Helper()
	at, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "link-") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	query := at.Query()
	l = &link{to: filepath.Join(query.Get("host"), socket), flows: make(chan struct{}), open: map[net.Conn]bool{}}
	close(l.flows)
	var serving sync.WaitGroup
	serving.Go(func() { l.serve(listener, &serving) })
	t.Cleanup(func() {
		_ = listener.Close()
		l.snap()
		l.mend()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	query.Set("host", dir)
	at.RawQuery = query.Encode()
	return l, at.String()
}

func (l *link) serve(listener net.Listener, serving *sync.WaitGroup) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", l.to)
		if err != nil || !l.admit(near, far) {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		serving.Go(func() { l.carry(near, far) })
		serving.Go(func() { l.carry(far, near) })
	}
}

// admit notes a connection, unless the link is broken.
func (l *link) admit(ends ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range ends {
		l.open[end] = !l.broken
	}
	return !l.broken
}

// carry carries bytes one way, until one of the ends is closed.
func (l *link) carry(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		l.mu.Lock()
		delete(l.open, from)
		l.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		flows := l.flows
		l.mu.Unlock()
		<-flows
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// freeze has all bytes stay where they are, and those to come.
func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flows = make(chan struct{})
}

// snap breaks all connections: what stood still is lost. Nobody is let in until mend.
func (l *link) snap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for end := range l.open {
		_ = end.Close()
	}
	l.flow()
}

// mend has everything go on.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = false
	l.flow()
}

// flow is called with l.mu held.
func (l *link) flow() {
	select {
	case <-l.flows:
	default:
		close(l.flows)
	}
}

// beyondLease is how long one of two Outriders is cut off, which is more than its lease. The
// other one goes on meanwhile, and gets some calls each second: as many as it could take would be
// thousands, of which those that are in order, and fail, keep it busy for minutes.
const beyondLease = 35 * time.Second

// What two Outriders have promised by one PostgreSQL is kept when either of them is killed,
// when the server is, and when one of them does not reach it: for a moment, or for longer
// than its lease, so that the other one takes over what it was sending.
func TestPromisesOutliveTheirDatabase(t *testing.T) {
	if !apart(t) {
		return
	}
	server := postgrestest.Start(t)
	database := server.Database(t)
	t.Setenv("STORE_KEY", keyBefore)
	m := newMassacre(t, 9)
	var links [2]*link
	for i := range links {
		var by string
		links[i], by = newLink(t, database)
		name := fmt.Sprint("DATABASE_", i)
		t.Setenv(name, by)
		s := newStation(t, home(t, fmt.Sprintf("state_dir = %q\nstore = { url = \"env:%s\", key = \"env:STORE_KEY\" }\n", filepath.Join(t.TempDir(), "state"), name)+
			documentPromises(t, m.base)))
		s.up()
		m.stations = append(m.stations, s)
	}
	rounds := kills(t) / 7 // enough for each of what can happen
	for n := range rounds {
		chance := chanceOf(9, "round", uint64(n))
		i := chance.IntN(len(links))
		s, l := m.stations[i], links[i]
		pause := func() { <-time.After(upTo(chance, 2*time.Second)) }
		happen := []func(){
			func() { s.signal(syscall.SIGKILL) },
			func() { s.signal(syscall.SIGTERM) },
			func() { server.Stop(t); pause(); server.Continue(t) },
			func() { server.Kill(t); pause(); server.Continue(t) },
			func() { l.freeze(); pause(); l.mend() },
			func() { l.freeze(); pause(); l.snap(); pause(); l.mend() },
			func() { l.snap(); l.mend() },
		}
		m.round(t, chance, n, happen[n%len(happen)])
		if n%len(happen) < 2 {
			s.wait()
			s.up()
		}
	}
	// Whoever calls the one that is cut off waits in vain.
	both := m.stations
	m.stations = both[1:]
	links[0].freeze()
	for began := time.Now(); time.Since(began) < beyondLease; rounds++ {
		m.round(t, chanceOf(9, "partition", uint64(rounds)), rounds, func() {})
		<-time.After(time.Second)
	}
	links[0].mend()
	m.stations = both
	m.round(t, chanceOf(9, "afterwards", 0), rounds, func() {})

	key := func() (string, error) { return keyBefore, nil }
	quiet(t, store.Settings{Dir: t.TempDir(), URL: database, Key: key}, store.Waiting)
	m.check(t, both[0], m.sim.Stats())
	for _, s := range both {
		wantNoDefect(t, s)
	}
}
