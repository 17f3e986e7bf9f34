package auth_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
)

// Whatever is interleaved: no refresh token is sent after its successor came, or after
// it was replaced or removed, nothing that was removed is saved again, no call carries a
// token that its process knows to be dead, and when all is well again calls succeed.
func TestRefreshesAreSafeInAnyInterleaving(t *testing.T) {
	for seed := range uint64(60) {
		handed := seed%2 == 1
		t.Run(fmt.Sprintf("%d handed over %t", seed, handed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed, handed).live(12 * time.Hour) })
		})
	}
}

// processes are those of a world that live now. One that was killed is started again.
type processes struct {
	w   *world
	mu  sync.Mutex
	all []*process
}

func (p *processes) at(i int) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[i].gone() {
		p.all[i] = p.w.start()
	}
	return p.all[i]
}

func (w *world) live(during time.Duration) {
	procs := &processes{w: w, all: []*process{w.start(), w.start()}}
	end := time.Now().Add(during)
	var wg sync.WaitGroup
	fine := make([]int, 6)
	for i := range fine {
		wg.Go(func() { // a caller
			for time.Now().Before(end) {
				w.pause(10 * 60_000)
				if i < 2 {
					w.pause(100 * 60_000) // and some come rarely
				}
				p := procs.at(i % 2)
				if w.handed && w.locked(50) {
					_, _ = p.o.Look(w.t.Context())
				}
				if p.do(w.t).Status == 200 {
					fine[i]++
				}
			}
		})
	}
	wg.Go(func() {
		for time.Now().Before(end) {
			w.pause(40 * 60_000)
			w.fate(procs)
		}
	})
	wg.Wait()
	w.settle(procs)
	answered := 0
	for _, n := range fine {
		answered += n
	}
	if answered < 50 || w.refreshed < 8 {
		w.t.Errorf("%d calls were answered, %d refreshes: the world is too bad to tell anything", answered, w.refreshed)
	}
}

// fate is what happens from outside.
func (w *world) fate(procs *processes) {
	w.mu.Lock()
	i := w.rand.IntN(2)
	w.mu.Unlock()
	if w.locked(33) {
		w.revoke()
	}
	if w.handed && w.locked(50) {
		w.change(procs, i)
	}
	if w.lost() {
		w.login()
	}
	if w.locked(33) {
		procs.at(i).kill()
	}
}

// change removes the connection, or has another one handed over, in the middle of the
// refresh of a process, or right after it.
func (w *world) change(procs *processes, i int) {
	w.revoke()
	var call sync.WaitGroup
	defer call.Wait()
	call.Go(func() { procs.at(i).do(w.t) })
	w.pause(6000)
	if w.locked(30) {
		_, _ = auth.Forget(w.t.Context(), operator{w}) // if it can
	} else {
		w.login()
	}
	w.pause(6000)
	procs.at(i).do(w.t)
	if w.locked(50) {
		w.pause(30 * 60_000)
	}
}

// revoke ends all access tokens.
func (w *world) revoke() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.access)
}

// lost reports whether somebody has to log in again.
func (w *world) lost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost := w.dead > 0 || w.removed
	w.dead = 0
	return lost
}

// settle wants all to be well, now that the world is.
func (w *world) settle(procs *processes) {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	for range 3 { // the first may meet what is dead since, the second the operator's answer
		if w.lost() {
			w.login()
		}
		for i := range procs.all {
			procs.at(i).do(w.t)
		}
		time.Sleep(11 * time.Minute)
	}
	if w.lost() {
		w.login()
	}
	for i := range procs.all {
		p := procs.at(i)
		if a := p.do(w.t); a.Status != 200 {
			w.t.Errorf("process %d, in the end: %+v; %+v", i, a, p.o.Status())
		}
		if st := p.o.Status(); st.NotKept != nil {
			w.t.Errorf("process %d, in the end: %+v", i, st)
		}
	}
}
