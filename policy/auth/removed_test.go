package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// keptOnly are the settings of a connection that is there because it is kept.
func keptOnly(up *policytest.Upstream, k *shelf) auth.OAuth2Settings {
	s := settings(up, k)
	s.RefreshToken = nil
	return s
}

func introduce(t *testing.T, k *shelf, p auth.Pair) {
	t.Helper()
	if err := auth.Introduce(t.Context(), k, p); err != nil {
		t.Fatal(err)
	}
}

func forget(t *testing.T, k *shelf, want bool) {
	t.Helper()
	if pair, err := auth.Forget(t.Context(), k); (pair != nil) != want || err != nil {
		t.Fatalf("forgotten: %t, %v; want %t", pair != nil, err, want)
	}
}

// A process that still has a connection which another one removed does not refresh it,
// and does not save it again; not what it could not save before, either.
func TestRemovedIsNotSavedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t, issued(2)), newShelf()
		introduce(t, kept, login("access-0001", "handed-1"))
		o := newOAuth2(t, keptOnly(up, kept))
		wantToken(t, o, 1)
		kept.set(errors.New("full"), nil)
		time.Sleep(time.Hour)
		wantToken(t, o, 2)
		kept.set(nil, nil)
		forget(t, kept, true)
		time.Sleep(time.Second) // when saving is tried again
		wantToken(t, o, 2)
		synctest.Wait()
		wantNone(t, o, "nothing is kept of this connection", 5*time.Minute)
		if o.Close(); !o.Removed() || kept.text() != "" {
			t.Errorf("removed: %t, kept %q", o.Removed(), kept.text())
		}
		wantSent(t, up, "handed-1")
		forget(t, kept, false)
	})
}

// Look finds what another process did, without a refresh.
func TestLookFollowsWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t), newShelf()
		o := newOAuth2(t, keptOnly(up, kept))
		look := func(want bool) {
			t.Helper()
			if found, err := o.Look(t.Context()); found != want || err != nil || o.Removed() == want {
				t.Errorf("found %t, %v, removed %t; want %t", found, err, o.Removed(), want)
			}
		}
		look(false)
		introduce(t, kept, login("access-0001", "handed-1"))
		look(true)
		wantToken(t, o, 1)
		introduce(t, kept, login("access-0002", "handed-2"))
		wantToken(t, o, 1)
		look(true)
		wantToken(t, o, 2)
		time.Sleep(time.Second)
		forget(t, kept, true)
		introduce(t, kept, login("access-0003", "handed-3"))
		look(true)
		wantToken(t, o, 3)
		unreadable := errors.New("unreadable")
		kept.set(nil, unreadable)
		if _, err := o.Look(t.Context()); !errors.Is(err, unreadable) {
			t.Errorf("error %v", err)
		}
		wantToken(t, o, 3)
		kept.set(nil, nil)
		forget(t, kept, true)
		look(false)
		wantNone(t, o, "nothing is kept of this connection", 5*time.Minute)
	})
}

// Which of two logins came later was told by the clock, in seconds. A connection that was
// handed over, refreshed, removed and handed over anew within one, or by a machine whose
// clock is behind, was still the old one for the process that had refreshed it, and the
// next refresh put that back in place of the new one.
func TestRemovedDoesNotComeBackBehindANewLogin(t *testing.T) {
	for name, full := range map[string]error{"saved": nil, "not saved": errors.New("full")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up, kept := policytest.NewUpstream(t, issued(1), issued(3)), newShelf()
				introduce(t, kept, auth.Pair{Refresh: auth.NewSecret("handed-1")})
				o := newOAuth2(t, keptOnly(up, kept))
				kept.set(full, nil)
				wantToken(t, o, 1)
				kept.set(nil, nil)
				forget(t, kept, true)
				introduce(t, kept, login("access-0002", "handed-2"))
				if _, err := o.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantToken(t, o, 2)
				time.Sleep(time.Hour)
				wantToken(t, o, 3)
				wantSent(t, up, "handed-1 handed-2")
			})
		})
	}
}

// Saving is tried again, and finds what was handed over meanwhile: that is used from then
// on. The token of before was, until its end.
func TestHandOverIsFoundBySavingLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		introduce(t, kept, auth.Pair{Refresh: auth.NewSecret("handed-1")})
		o := newOAuth2(t, keptOnly(policytest.NewUpstream(t, issued(1)), kept))
		kept.set(errors.New("full"), nil)
		wantToken(t, o, 1)
		kept.set(nil, nil)
		introduce(t, kept, login("access-0002", "handed-2"))
		time.Sleep(time.Second)
		wantToken(t, o, 1) // and saving is tried
		synctest.Wait()
		wantToken(t, o, 2)
		if st := o.Status(); st.NotKept != nil || !strings.Contains(kept.text(), "handed-2") {
			t.Errorf("status %+v, kept %s", st, kept.text())
		}
	})
}

// The next login brought a refresh token alone, which cannot be exchanged now. The token of
// the login before it is not that of the same account.
func TestTokenOfAnEarlierLoginIsNotUsedOnceALaterOneIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t, policytest.Step{Status: 503}, issued(3)), newShelf()
		introduce(t, kept, login("access-0001", "handed-1"))
		s := logins(up, kept)
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		introduce(t, kept, auth.Pair{Refresh: auth.NewSecret("handed-2")})
		time.Sleep(48 * time.Minute)
		wantToken(t, o, 1) // and it is refreshed, ahead of time
		synctest.Wait()
		wantNone(t, o, "status 503", 500*time.Millisecond)
		time.Sleep(500 * time.Millisecond)
		wantToken(t, o, 3)
		wantSent(t, up, "handed-2 handed-2")
	})
}

// Somebody hands the access token over again that the upstream has refused, with another
// refresh token.
func TestRefusedTokenThatIsHandedOverStaysRefused(t *testing.T) {
	for look, backoff := range map[bool]time.Duration{true: 500 * time.Millisecond, false: time.Second} {
		t.Run(fmt.Sprintf("looked %t", look), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				up, kept := policytest.NewUpstream(t, policytest.Step{Times: 2, Status: 503}, issued(2)), newShelf()
				introduce(t, kept, login("access-0001", "handed-1"))
				s := keptOnly(up, kept)
				s.Jitter = policytest.Jitter(0.5)
				o := newOAuth2(t, s)
				if _, err := o.Token(t.Context(), wantToken(t, o, 1)); err == nil {
					t.Error("it has a token although the refresh failed")
				}
				introduce(t, kept, login("access-0001", "handed-2"))
				time.Sleep(500 * time.Millisecond)
				if look {
					if _, err := o.Look(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				wantNone(t, o, "status 503", backoff)
				time.Sleep(backoff)
				wantToken(t, o, 2)
			})
		})
	}
}

// slowLook is a Keeper whose first Load gives, a second late, what there was.
type slowLook struct {
	*shelf
	looked atomic.Bool
}

func (s *slowLook) Load(ctx context.Context) ([]byte, error) {
	data, err := s.shelf.Load(ctx)
	if !s.looked.Swap(true) {
		time.Sleep(time.Second)
	}
	return data, err
}

// A look found nothing kept, and a login was put in use before it could say so.
func TestLookThatIsLateChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &slowLook{shelf: newShelf()}
		s := keptOnly(policytest.NewUpstream(t), kept.shelf)
		s.Keeper = kept
		o := newOAuth2(t, s)
		looked := make(chan bool)
		go func() { found, _ := o.Look(t.Context()); looked <- found }()
		synctest.Wait()
		introduce(t, kept.shelf, login("access-0001", "handed-1"))
		wantToken(t, o, 1)
		if !<-looked {
			t.Error("it found nothing")
		}
		wantToken(t, o, 1)
	})
}

// Likewise for a key that was handed over meanwhile: the one before came back for as long
// as nobody looked.
func TestLookThatIsLateBringsNoOlderKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &slowLook{shelf: newShelf()}
		k, err := auth.NewKept(auth.Settings{Type: auth.Bearer}, kept)
		if err != nil {
			t.Fatal(err)
		}
		look := func() {
			if found, err := k.Look(t.Context()); !found || err != nil {
				t.Errorf("found %t, %v", found, err)
			}
		}
		hand := func(key string) {
			if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret(key)}); err != nil {
				t.Error(err)
			}
		}
		hand("one")
		late := make(chan struct{})
		go func() { look(); close(late) }()
		synctest.Wait()
		hand("two")
		look()
		<-late
		if token, err := k.Token(t.Context(), auth.Token{}); err != nil || token.Value.Reveal() != "Bearer two" {
			t.Errorf("got %q, %v", token.Value.Reveal(), err)
		}
	})
}

// Who looks again and again at what is gone does not make the next try later.
func TestRemovedIsLookedForAtTheSamePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOAuth2(t, keptOnly(policytest.NewUpstream(t), newShelf()))
		for range 60 {
			if found, err := o.Look(t.Context()); found || err != nil {
				t.Fatalf("found %t, %v", found, err)
			}
			time.Sleep(time.Second)
		}
		wantNone(t, o, "nothing is kept of this connection", 4*time.Minute)
	})
}

// A removal waits for a refresh, which would save its successor afterwards.
func TestForgetWaitsForARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t, slow(5*time.Second, issued(2))), newShelf()
		introduce(t, kept, auth.Pair{Refresh: auth.NewSecret("handed-1")})
		o := newOAuth2(t, keptOnly(up, kept))
		began := time.Now()
		go func() { _, _ = o.Token(t.Context(), auth.Token{}) }()
		time.Sleep(time.Second)
		forget(t, kept, true)
		if took := time.Since(began); took != 5*time.Second || kept.text() != "" {
			t.Errorf("after %v, kept %q", took, kept.text())
		}
	})
}

func TestKeptKey(t *testing.T) {
	for kind, c := range map[string]struct {
		static auth.Static
		name   string
		want   string
	}{
		auth.Bearer: {auth.Static{Value: auth.NewSecret("canary-1")}, "", "Bearer canary-1"},
		auth.Header: {auth.Static{Value: auth.NewSecret("canary-1")}, "X-Key", "canary-1"},
		auth.Query:  {auth.Static{Value: auth.NewSecret("canary-1")}, "key", "canary-1"},
		auth.Basic:  {auth.Static{Username: auth.NewSecret("canary-1")}, "", "Basic Y2FuYXJ5LTE6"},
	} {
		kept := newShelf()
		k, err := auth.NewKept(auth.Settings{Type: kind, Name: c.name}, kept)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := k.Look(t.Context()); found || err != nil || !k.Removed() {
			t.Errorf("%s: found %t, %v", kind, found, err)
		}
		if _, err := k.Token(t.Context(), auth.Token{}); !errors.Is(err, auth.ErrRemoved) {
			t.Errorf("%s: %v", kind, err)
		}
		if err := auth.IntroduceStatic(t.Context(), kept, c.static); err != nil {
			t.Fatal(err)
		}
		if found, err := k.Look(t.Context()); !found || err != nil {
			t.Errorf("%s: found %t, %v", kind, found, err)
		}
		token, err := k.Token(t.Context(), auth.Token{})
		if err != nil || token.Value.Reveal() != c.want {
			t.Errorf("%s: %q, %v", kind, token.Value.Reveal(), err)
		}
		if text := fmt.Sprintf("%v %+v", token, c.static); strings.Contains(text, "canary") {
			t.Errorf("it is shown: %s", text)
		}
	}
	if _, err := auth.NewKept(auth.Settings{Type: auth.None}, newShelf()); err == nil {
		t.Error("nothing can be kept")
	}
}

// A key that was replaced meanwhile is had again when the provider refuses the old one.
func TestKeptKeyThatIsRefusedIsLookedAtAgain(t *testing.T) {
	kept := newShelf()
	k, err := auth.NewKept(auth.Settings{Type: auth.Bearer}, kept)
	if err != nil {
		t.Fatal(err)
	}
	token := func(stale auth.Token, want string) auth.Token {
		t.Helper()
		got, err := k.Token(t.Context(), stale)
		if err != nil || got.Value.Reveal() != want {
			t.Errorf("%q, %v; want %q", got.Value.Reveal(), err, want)
		}
		return got
	}
	hand := func(value string) {
		t.Helper()
		if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret(value)}); err != nil {
			t.Fatal(err)
		}
	}
	hand("one")
	if _, err := k.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	one := token(auth.Token{}, "Bearer one")
	if again := token(one, "Bearer one"); again != one {
		t.Error("the same key is another token")
	}
	hand("two")
	token(one, "Bearer two")
}

// What is kept of one type is not taken for another, after the configuration has changed.
func TestKeptOfAnotherType(t *testing.T) {
	kept := newShelf()
	introduce(t, kept, login("canary-1", "canary-2"))
	k, err := auth.NewKept(auth.Settings{Type: auth.Bearer}, kept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "of another type") || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
	if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret("canary-3")}); err != nil {
		t.Fatal(err)
	}
	o := newOAuth2(t, keptOnly(policytest.NewUpstream(t), kept))
	if _, err := o.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "of another type") || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
	introduce(t, kept, login("access-0001", "handed-1")) // as the error says
	if found, err := o.Look(t.Context()); !found || err != nil {
		t.Errorf("found %t, %v", found, err)
	}
	wantToken(t, o, 1)
}

// stuck is a Keeper that cannot remove.
type stuck struct{ *shelf }

func (stuck) Remove(context.Context) error { return errors.New("stuck") }

// It was said to be forgotten, and that only the provider could not be told.
func TestWhatCannotBeRemovedIsNotForgotten(t *testing.T) {
	kept := newShelf()
	introduce(t, kept, login("access-0001", "handed-1"))
	if pair, err := auth.Forget(t.Context(), stuck{kept}); pair != nil || err == nil || err.Error() != "stuck" {
		t.Errorf("got %v, %v", pair, err)
	}
}

func TestInspectShowsTimesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		introduce(t, kept, login("canary-1", "canary-2"))
		status, err := auth.Inspect([]byte(kept.text()))
		if err != nil || !status.Obtained.Equal(time.Now()) || !status.Expires.Equal(time.Now().Add(time.Hour)) || strings.Contains(fmt.Sprintf("%+v", status), "canary") {
			t.Errorf("%+v, %v", status, err)
		}
		if _, err := auth.Inspect([]byte("canary")); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("error %v", err)
		}
	})
}

// What somebody else has kept ends trouble without a request, and nobody was told: not of
// a login after a dead grant, found by a refresh or by a look.
func TestReliefIsTold(t *testing.T) {
	for name, find := range map[string]func(context.Context, *auth.OAuth2) error{
		"refresh": func(ctx context.Context, o *auth.OAuth2) error {
			_, err := o.Token(ctx, auth.Token{})
			return err
		},
		"look": func(ctx context.Context, o *auth.OAuth2) error {
			_, err := o.Look(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept, told := newShelf(), ""
				s := keptOnly(policytest.NewUpstream(t), kept)
				s.OnRefresh = func(e auth.RefreshEvent) { told += fmt.Sprintf(" dead=%t", e.Dead) }
				s.OnFound = func() { told += " found" }
				o := newOAuth2(t, s)
				wantNone(t, o, "nothing is kept of this connection", 5*time.Minute)
				introduce(t, kept, login("access-0001", "handed-1"))
				time.Sleep(2 * time.Second)
				for range 2 { // the second is no news
					if err := find(t.Context(), o); err != nil {
						t.Error(err)
					}
				}
				wantToken(t, o, 1)
				if told != " dead=true found" {
					t.Errorf("told%s", told)
				}
			})
		})
	}
}
