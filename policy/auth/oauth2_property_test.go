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
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// A world is a provider that rotates its refresh tokens and revokes what comes
// before, two processes with one Keeper, and everything that goes wrong between
// them: answers that are lost, disks that are full, tokens that are revoked,
// processes that are killed.
type world struct {
	t    *testing.T
	disk *shelf

	mu         sync.Mutex
	rand       *rand.Rand
	calm       bool // nothing goes wrong any more
	configured string
	n          int               // tokens issued
	refresh    string            // the newest
	unused     string            // the one before, as long as the newest was not used: it is accepted
	access     map[string]bool   // access token → it is accepted
	successor  map[string]string // refresh token → the one that came of it
	spent      map[string]bool   // refresh tokens whose successor was received and saved
	forced     map[string]bool   // access tokens that were got because of a refusal
	dead       int               // grants that were lost
	refreshed  int
}

func (w *world) chance(percent int) bool { return !w.calm && w.rand.IntN(100) < percent }

// log in makes the refresh token that the operator configures.
func (w *world) login() {
	w.n++
	w.configured = fmt.Sprintf("seed-%04d", w.n)
	w.refresh, w.unused = w.configured, ""
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
	latest   string               // access token received last
}

func (w *world) start() *process {
	p := &process{w: w, received: map[string]bool{}, refused: map[string]time.Time{}}
	s := settings(roundTripper(p.exchange), p)
	s.RefreshToken = func() (string, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.configured, nil }
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
func (p *process) Load(ctx context.Context) ([]byte, error) { return p.w.disk.Load(ctx) }

func (p *process) Save(ctx context.Context, data []byte) error {
	p.w.pause(50)
	p.w.mu.Lock()
	full := p.w.chance(20)
	p.w.mu.Unlock()
	if full || p.gone() {
		return errors.New("disk full")
	}
	var kept struct {
		Refresh string `json:"refresh_token"`
	}
	json.Unmarshal(data, &kept)
	p.w.mu.Lock()
	for old, next := range p.w.successor {
		if next == kept.Refresh {
			p.w.spent[old] = true
		}
	}
	p.w.mu.Unlock()
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

// pause takes up to so many milliseconds.
func (w *world) pause(most int) {
	w.mu.Lock()
	d := time.Duration(w.rand.IntN(most)) * time.Millisecond
	w.mu.Unlock()
	time.Sleep(d)
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
	switch {
	case w.chance(10):
		return policytest.Step{Status: 503}, false
	case w.chance(5):
		return policytest.Step{}, true // before it was read
	case sent != w.refresh && sent != w.unused:
		w.dead++
		return policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`}, false
	}
	w.n++
	w.refreshed++
	access := fmt.Sprintf("access-%04d", w.n)
	w.unused, w.refresh = sent, fmt.Sprintf("refresh-%04d", w.n)
	w.successor[sent] = w.refresh
	clear(w.access)
	w.access[access] = true
	return policytest.Step{Body: fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"expires_in":3600}`, access, w.refresh)}, w.chance(10)
}

// call is the upstream.
func (p *process) call(r *http.Request) (*http.Response, error) {
	access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	since, dead := p.refused[access]
	p.mu.Unlock()
	p.w.mu.Lock()
	// One that was got because of a refusal is not replaced at once: see young.
	if dead && since.Before(time.Now()) && !p.w.forced[access] {
		p.w.t.Errorf("%s is sent %v after it was refused", access, time.Since(since))
	}
	p.w.mu.Unlock()
	p.w.pause(200)
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

func (p *process) do(t *testing.T) policytest.Answer {
	return policytest.Do(p.client, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
}

// Whatever is interleaved: no refresh token is sent after its successor came, no
// call carries a token that its process knows to be dead, and when all is well
// again calls succeed.
func TestRefreshesAreSafeInAnyInterleaving(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, disk: newShelf(), rand: rand.New(rand.NewPCG(seed, 1)),
					access: map[string]bool{}, successor: map[string]string{}, spent: map[string]bool{}, forced: map[string]bool{}}
				w.login()
				w.live(12 * time.Hour)
			})
		})
	}
}

func (w *world) live(during time.Duration) {
	procs := []*process{w.start(), w.start()}
	var mu sync.Mutex // of procs
	at := func(i int) *process { mu.Lock(); defer mu.Unlock(); return procs[i] }
	end := time.Now().Add(during)
	var wg sync.WaitGroup
	fine := 0
	for i := range 6 {
		wg.Go(func() { // a caller
			for time.Now().Before(end) {
				w.pause(10 * 60_000)
				if i < 2 {
					w.pause(100 * 60_000) // and some come rarely
				}
				if a := at(i % 2).do(w.t); a.Status == 200 {
					mu.Lock()
					fine++
					mu.Unlock()
				}
			}
		})
	}
	wg.Go(func() { // the fate
		for time.Now().Before(end) {
			w.pause(40 * 60_000)
			w.mu.Lock()
			kill, revoke, login := w.rand.IntN(3) == 0, w.rand.IntN(3) == 0, w.dead > 0
			if revoke {
				clear(w.access)
			}
			if login {
				w.dead = 0
				w.login()
			}
			i := w.rand.IntN(2)
			w.mu.Unlock()
			if kill {
				at(i).kill()
				mu.Lock()
				procs[i] = w.start()
				mu.Unlock()
			}
		}
	})
	wg.Wait()
	w.settle(procs)
	if fine < 50 || w.refreshed < 8 {
		w.t.Errorf("%d calls were answered, %d refreshes: the world is too bad to tell anything", fine, w.refreshed)
	}
}

// settle wants all to be well, now that the world is.
func (w *world) settle(procs []*process) {
	w.mu.Lock()
	w.calm = true
	if w.dead > 0 {
		w.login()
	}
	w.mu.Unlock()
	for range 3 { // the first may meet what is dead since, the second the operator's answer
		for _, p := range procs {
			p.do(w.t)
		}
		time.Sleep(11 * time.Minute)
		w.mu.Lock()
		if w.dead > 0 {
			w.dead = 0
			w.login()
		}
		w.mu.Unlock()
	}
	for i, p := range procs {
		if a := p.do(w.t); a.Status != 200 {
			w.t.Errorf("process %d, in the end: %+v; %+v", i, a, p.o.Status())
		}
		if st := p.o.Status(); st.NotKept != nil {
			w.t.Errorf("process %d, in the end: %+v", i, st)
		}
	}
}
