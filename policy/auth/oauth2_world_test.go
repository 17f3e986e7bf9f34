package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// A world is a provider that rotates its refresh tokens and revokes what comes
// before, two processes with one Keeper, and everything that goes wrong between
// them: answers that are lost, disks that are full or cannot be read, tokens that are
// revoked, processes that are killed, also between an answer and saving it. Its connection
// is configured with a refresh token, or it is handed over, replaced and removed.
type world struct {
	t      *testing.T
	disk   *shelf
	handed bool // the connection is not in the configuration

	mu         sync.Mutex
	rand       *rand.Rand
	calm       bool // nothing goes wrong any more
	configured string
	n          int               // tokens issued
	lines      []*line           // one for each login, the last is the newest
	of         map[string]*line  // token → the line that it is of
	access     map[string]bool   // access token → it is accepted
	successor  map[string]string // refresh token → the one that came of it
	spent      map[string]bool   // refresh tokens whose successor was received and saved
	forced     map[string]bool   // access tokens that were got because of a refusal
	changes    int               // hand-overs and removals
	removed    bool              // nothing is kept since the last of them
	dead       int               // grants that were lost
	refreshed  int
}

// A line is what comes of one login.
type line struct {
	refresh string // the newest
	unused  string // the one before, as long as the newest was not used: it is accepted
	revoked bool
	gone    int // the change that replaced or removed it; 0: none
}

func newWorld(t *testing.T, seed uint64, handed bool) *world {
	w := &world{t: t, disk: newShelf(), rand: rand.New(rand.NewPCG(seed, 1)), handed: handed, of: map[string]*line{}, access: map[string]bool{},
		successor: map[string]string{}, spent: map[string]bool{}, forced: map[string]bool{}}
	w.login()
	return w
}

func (w *world) chance(percent int) bool { return !w.calm && w.rand.IntN(100) < percent }

// locked is chance for who does not hold the lock.
func (w *world) locked(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.chance(percent)
}

// pause takes up to so many milliseconds.
func (w *world) pause(most int) {
	w.mu.Lock()
	d := time.Duration(w.rand.IntN(most)) * time.Millisecond
	w.mu.Unlock()
	time.Sleep(d)
}

// begin has somebody log in. The lock is held.
func (w *world) begin(name string) *line {
	w.n++
	l := &line{refresh: fmt.Sprintf("%s-%04d", name, w.n)}
	w.lines, w.of[l.refresh] = append(w.lines, l), l
	return l
}

// login gives the operator a new refresh token: for the configuration, or by a hand-over,
// which may bring an access token too.
func (w *world) login() {
	if !w.handed {
		w.mu.Lock()
		w.configured = w.begin("seed").refresh
		w.mu.Unlock()
		return
	}
	w.mu.Lock()
	l := w.begin("handed")
	p := auth.Pair{Refresh: auth.NewSecret(l.refresh)}
	if w.rand.IntN(2) == 0 {
		access := w.issue(l)
		p.Access, p.Expires = auth.NewSecret(access), time.Now().Add(time.Hour)
	}
	w.mu.Unlock()
	for auth.Introduce(w.t.Context(), operator{w}, p) != nil { // the disk is full
		time.Sleep(time.Second)
	}
}

// issue makes an access token of a line, which ends the one before. The lock is held.
func (w *world) issue(l *line) string {
	for token, of := range w.of {
		if of == l {
			delete(w.access, token)
		}
	}
	access := fmt.Sprintf("access-%04d", w.n)
	w.access[access], w.of[access] = true, l
	return access
}

// An operator is the Keeper as it is seen by those who hand a connection over, and remove
// it.
type operator struct{ w *world }

func (o operator) Load(ctx context.Context) ([]byte, error)    { return o.w.disk.Load(ctx) }
func (o operator) Lock(ctx context.Context) (func(), error)    { return o.w.disk.Lock(ctx) }
func (o operator) Save(ctx context.Context, data []byte) error { return o.change(ctx, data) }
func (o operator) Remove(ctx context.Context) error            { return o.change(ctx, nil) }

// change puts data in place of what is kept, and with that of all lines but the last.
func (o operator) change(ctx context.Context, data []byte) error {
	w := o.w
	w.pause(50)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance(20) {
		return errors.New("disk full")
	}
	w.changes++
	w.removed = data == nil
	for i, l := range w.lines {
		if replaced := i < len(w.lines)-1 || w.removed; replaced && l.gone == 0 {
			l.gone, l.revoked = w.changes, w.chance(50)
		}
	}
	return w.disk.Save(ctx, data)
}

// rotate answers a token request. What must not be in one is found here.
func (w *world) rotate(p *process, sent string) (step policytest.Step, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.received[sent] || w.spent[sent] {
		w.t.Errorf("%s was sent after its successor came (saved: %v)", sent, w.spent[sent])
	}
	l := w.of[sent]
	if l.gone > 0 {
		w.t.Errorf("%s was sent after it was replaced or removed", sent)
	}
	switch {
	case w.chance(10):
		return policytest.Step{Status: 503}, false
	case w.chance(5):
		return policytest.Step{}, true // before it was read
	case l.revoked || sent != l.refresh && sent != l.unused:
		w.dead++
		return policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`}, false
	}
	w.n++
	w.refreshed++
	access := w.issue(l)
	l.unused, l.refresh = sent, fmt.Sprintf("refresh-%04d", w.n)
	w.successor[sent], w.of[l.refresh] = l.refresh, l
	return policytest.Step{Body: fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"expires_in":3600}`, access, l.refresh)}, w.chance(10)
}
