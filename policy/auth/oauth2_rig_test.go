package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// shelf is a Keeper in memory, which can be full, or lost.
type shelf struct {
	slot chan struct{}

	mu    sync.Mutex
	data  []byte
	full  error // what Save says
	lost  error // what Load says
	tries int   // of Save
}

func newShelf() *shelf { return &shelf{slot: make(chan struct{}, 1)} }

func (s *shelf) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.lost
}

func (s *shelf) Save(_ context.Context, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.full == nil {
		s.data = data
	}
	return s.full
}

func (s *shelf) Lock(ctx context.Context) (func(), error) {
	select {
	case s.slot <- struct{}{}:
		return func() { <-s.slot }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *shelf) Remove(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = nil
	return nil
}

func (s *shelf) set(full, lost error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.lost = full, lost
}

func (s *shelf) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.data)
}

// slowSave is a Keeper that takes 3 s to save.
type slowSave struct{ *shelf }

func (s slowSave) Save(ctx context.Context, data []byte) error {
	time.Sleep(3 * time.Second)
	return s.shelf.Save(ctx, data)
}

// pooled is a token endpoint with connections that are kept.
type pooled struct {
	*policytest.Upstream
	closed int
}

func (p *pooled) CloseIdleConnections() { p.closed++ }

// issued is a step of a token endpoint that gives the n-th pair, for an hour.
func issued(n int) policytest.Step {
	return policytest.Step{Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"access_token":"access-%04d","refresh_token":"refresh-%04d","expires_in":3600,"token_type":"Bearer"}`, n, n)}
}

func slow(d time.Duration, s policytest.Step) policytest.Step {
	s.Delay = d
	return s
}

// settings are those of a rotating connection whose configuration has refresh-0000.
func settings(endpoint http.RoundTripper, k auth.Keeper) auth.OAuth2Settings {
	return auth.OAuth2Settings{
		Grant: "refresh_token", TokenURL: "https://login.test/token",
		ClientID: value("the-client"), ClientSecret: value("the-secret"), RefreshToken: value("refresh-0000"),
		RefreshShare: 0.2, Transport: endpoint, Keeper: k, Jitter: policytest.Jitter(0),
	}
}

func newOAuth2(t testing.TB, s auth.OAuth2Settings) *auth.OAuth2 {
	t.Helper()
	o, err := auth.NewOAuth2(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

// wantToken asks and wants the n-th access token.
func wantToken(t *testing.T, o *auth.OAuth2, n int) auth.Token {
	t.Helper()
	token, err := o.Token(t.Context(), auth.Token{})
	if got, want := token.Value.Reveal(), fmt.Sprintf("Bearer access-%04d", n); err != nil || got != want {
		t.Errorf("token is %q, %v: want %q", got, err, want)
	}
	return token
}

// wantNone asks and wants to be refused, until retryAfter from now.
func wantNone(t *testing.T, o *auth.OAuth2, text string, retryAfter time.Duration) {
	t.Helper()
	token, err := o.Token(t.Context(), auth.Token{})
	var unavailable *auth.UnavailableError
	if !errors.As(err, &unavailable) || token != (auth.Token{}) {
		t.Fatalf("got %v, %v: want none", token, err)
	}
	if _, after := unavailable.Refusal(); after != retryAfter || !strings.Contains(err.Error(), text) {
		t.Fatalf("refused for %v with %q, want %v and %q", after, err, retryAfter, text)
	}
}

// wantSent compares the refresh tokens that an endpoint received.
func wantSent(t *testing.T, up *policytest.Upstream, want string) {
	t.Helper()
	var all []string
	for _, r := range up.Requests() {
		form, _ := url.ParseQuery(r.Body)
		all = append(all, form.Get("refresh_token"))
	}
	if got := strings.Join(all, " "); got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}
