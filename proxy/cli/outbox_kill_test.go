//go:build unix

package cli

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"outrider/proxy/simulator"
	"outrider/proxy/store"
)

const (
	killsInCI     = 50 // OUTRIDER_TEST_KILLS says how many otherwise
	callersKilled = 6
	// eventsOfRound is how much happens, at most, until the process of a round is killed:
	// answers to callers, and requests at the provider.
	eventsOfRound = 60
)

// A fuse burns down as things happen.
type fuse struct {
	left  atomic.Int64
	blown chan struct{}
}

func newFuse(events int) *fuse {
	f := &fuse{blown: make(chan struct{})}
	f.left.Store(int64(events))
	return f
}

func (f *fuse) burn() {
	if f.left.Add(-1) == 0 {
		close(f.blown)
	}
}

// A massacre is stations that are killed under load, and what they promised.
type massacre struct {
	*promises
	sim      *simulator.Simulator
	base     string // the provider's URL
	stations []*station
	fuse     atomic.Pointer[fuse]
}

// newMassacre is one with a provider, and without stations.
func newMassacre(t *testing.T, seed uint64) *massacre {
	t.Helper()
	sim, err := simulator.New(simulator.Settings{Seed: seed, MaxEntries: 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	m := &massacre{promises: newPromises(), sim: sim}
	m.fuse.Store(newFuse(-1))
	m.base = upstream(t, func(w http.ResponseWriter, r *http.Request) {
		m.fuse.Load().burn()
		sim.ServeHTTP(w, r)
	}).URL
	t.Cleanup(func() { _ = sim.Close() })
	return m
}

// round has callers call all stations until a fuse has burned down, and then something
// happens to one of them. What had no answer is called for again in the next.
func (m *massacre) round(t *testing.T, chance *rand.Rand, number int, happen func()) {
	t.Helper()
	fuse := newFuse(1 + chance.IntN(eventsOfRound))
	m.fuse.Store(fuse)
	var over atomic.Bool
	var callers sync.WaitGroup
	for caller := range callersKilled {
		whims := rand.New(rand.NewPCG(chance.Uint64(), chance.Uint64()))
		callers.Go(func() {
			transport := &http.Transport{DisableCompression: true}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			for n := 0; !over.Load(); n++ {
				at := m.stations[whims.IntN(len(m.stations))]
				answered, err := m.make(client, at, m.next(whims, number, caller, n))
				if err != nil {
					t.Error(err)
				}
				if !answered {
					<-time.After(10 * time.Millisecond) // as who is told no does
				}
				fuse.burn()
			}
		})
	}
	select {
	case <-fuse.blown:
	case <-time.After(settling):
		t.Error("nothing goes on")
	}
	<-time.After(upTo(chance, 5*time.Millisecond))
	happen()
	over.Store(true)
	callers.Wait()
}

// kills is how many processes are killed.
func kills(t *testing.T) int {
	text := os.Getenv("OUTRIDER_TEST_KILLS")
	if text == "" {
		return killsInCI
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("OUTRIDER_TEST_KILLS = %q: must be a number of 1 or more", text)
	}
	return n
}

// However often Outrider is killed, and whenever: what it said that it keeps arrives, and
// where the provider honours keys it is done once. A letter without a key is never sent
// twice. The short version is one of many:
//
//	OUTRIDER_TEST_KILLS=1000 go test ./proxy/cli -run KilledOutriderKeepsItsPromises -v
func TestKilledOutriderKeepsItsPromises(t *testing.T) {
	if !apart(t) {
		return
	}
	rounds := kills(t)
	m := newMassacre(t, 8)
	state := filepath.Join(t.TempDir(), "state")
	s := newStation(t, home(t, fmt.Sprintf("state_dir = %q\n", state)+documentPromises(t, m.base)))
	m.stations = []*station{s}
	for n := range rounds {
		chance := chanceOf(8, "round", uint64(n))
		if chance.IntN(8) == 0 { // sometimes while it starts
			s.begin()
			<-time.After(upTo(chance, 300*time.Millisecond))
			s.kill()
		}
		s.up()
		signal := syscall.SIGKILL
		if chance.IntN(8) == 0 { // and sometimes it is asked to end, which is no excuse either
			signal = syscall.SIGTERM
		}
		m.round(t, chance, n, func() { s.signal(signal) })
		s.wait()
	}
	s.up()
	quiet(t, store.Settings{Dir: state}, store.Waiting, store.Arriving)
	m.check(t, s, m.sim.Stats())
	m.wantEnough(t, rounds)
	wantNoDefect(t, s)
}

// wantEnough fails where it was too harmless to prove anything.
func (m *massacre) wantEnough(t *testing.T, rounds int) {
	t.Helper()
	if kept := m.kept(); kept < 5*rounds || m.silent < rounds/2 {
		t.Errorf("only %d calls were kept, and %d had no answer", kept, m.silent)
	}
}

// wantNoDefect looks for what must not be in the log of a station.
func wantNoDefect(t *testing.T, s *station) {
	t.Helper()
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "panic") || strings.Contains(line, "defect") {
			t.Errorf("its log has: %s", line)
		}
	}
}
