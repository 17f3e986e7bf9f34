package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
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

// A process is one of ours. Its memory, and what it knows, ends with it.
type process struct {
	w      *world
	o      *auth.OAuth2
	client http.RoundTripper

	mu       sync.Mutex
	killed   bool
	unlock   func()
	received map[string]bool      // refresh tokens whose successor it received
	refused  map[string]time.Time // access tokens that it knows to be dead, since when
	seen     map[int]time.Time    // changes that it knows of, since when
	latest   string               // access token received last
}

func (w *world) start() *process {
	p := &process{w: w, received: map[string]bool{}, refused: map[string]time.Time{}, seen: map[int]time.Time{}}
	s := settings(roundTripper(p.exchange), p)
	s.RefreshToken = func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.configured, nil }
	if w.handed {
		s.RefreshToken = nil
	}
	s.Jitter = func(max time.Duration) time.Duration {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Duration(w.rand.Int64N(int64(max)))
	}
	s.OnRefresh = func(e auth.RefreshEvent) {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		if e.Reason == "refused" && e.Err == nil {
			w.forced[p.latest] = true
		}
	}
	p.o = newOAuth2(w.t, s)
	p.client = auth.Wrap(p.o, nil)(roundTripper(p.call))
	return p
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.unlock != nil {
		p.unlock()
	}
}

func (p *process) gone() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.killed }

// Load, Save and Lock are those of the disk, for as long as the process is there.
func (p *process) Load(ctx context.Context) ([]byte, error) {
	p.w.pause(50)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.killed || p.w.chance(3) {
		return nil, io.EOF
	}
	for change := 1; change <= p.w.changes; change++ {
		if p.seen[change].IsZero() {
			p.seen[change] = time.Now()
		}
	}
	return p.w.disk.Load(ctx)
}

func (p *process) Save(ctx context.Context, data []byte) error {
	p.w.pause(50)
	if p.w.locked(5) {
		p.kill()
	}
	if p.gone() || p.w.locked(20) {
		return errors.New("disk full")
	}
	var kept struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(data, &kept); err != nil {
		p.w.t.Error(err)
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if l := p.w.of[kept.Refresh]; l.gone > 0 {
		p.w.t.Errorf("%s is saved after it was replaced or removed", kept.Refresh)
	}
	for old, next := range p.w.successor {
		if next == kept.Refresh {
			p.w.spent[old] = true
		}
	}
	return p.w.disk.Save(ctx, data)
}

func (p *process) Lock(ctx context.Context) (func(), error) {
	unlock, err := p.w.disk.Lock(ctx)
	if err != nil {
		return nil, err
	}
	unlock = sync.OnceFunc(unlock)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unlock = unlock; p.killed {
		unlock()
		return nil, io.EOF
	}
	return unlock, nil
}

// exchange is the token endpoint.
func (p *process) exchange(r *http.Request) (*http.Response, error) {
	if p.gone() {
		return nil, io.EOF
	}
	w := p.w
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	sent := form.Get("refresh_token")
	step, lost := w.rotate(p, sent)
	w.pause(3000)
	if lost || p.gone() {
		return nil, io.ErrUnexpectedEOF
	}
	if step.Status == 0 {
		p.mu.Lock()
		p.received[sent] = true
		_, rest, _ := strings.Cut(step.Body, `"access_token":"`)
		p.latest, _, _ = strings.Cut(rest, `"`)
		p.mu.Unlock()
	}
	answered := r.Clone(r.Context())
	answered.Body, answered.ContentLength = nil, 0 // it was read
	return policytest.NewUpstream(w.t, step).RoundTrip(answered)
}

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

// call is the upstream.
func (p *process) call(r *http.Request) (*http.Response, error) {
	if p.gone() {
		return nil, io.EOF
	}
	p.allowed(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	p.w.pause(200)
	access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.w.mu.Lock()
	ok := p.w.access[access]
	p.w.mu.Unlock()
	step := yes
	if !ok {
		step = no
		p.mu.Lock()
		if _, known := p.refused[access]; !known {
			p.refused[access] = time.Now()
		}
		p.mu.Unlock()
	}
	return policytest.NewUpstream(p.w.t, step).RoundTrip(r)
}

// allowed wants a token that a call carries to be none that the process knows to be dead,
// or to be of a login that was replaced or removed.
func (p *process) allowed(access string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	now := time.Now()
	// One that was got because of a refusal is not replaced at once: see young.
	if since, dead := p.refused[access]; dead && since.Before(now) && !p.w.forced[access] {
		p.w.t.Errorf("%s is sent %v after it was refused", access, now.Sub(since))
	}
	if since, known := p.seen[p.w.of[access].gone]; known && since.Before(now) {
		p.w.t.Errorf("%s is sent %v after it was known to be replaced or removed", access, now.Sub(since))
	}
}

func (p *process) do(t *testing.T) policytest.Answer {
	return policytest.Do(p.client, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
}
