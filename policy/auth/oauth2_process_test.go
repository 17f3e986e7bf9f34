package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

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
