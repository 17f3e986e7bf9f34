package auth_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// login is what a login brings whose token lasts an hour.
func login(access, refresh string) auth.Pair {
	return auth.Pair{Access: auth.NewSecret(access), Refresh: auth.NewSecret(refresh), Expires: time.Now().Add(time.Hour)}
}

func TestLoginIsUsedAndGoesOnWithItsRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t, issued(2)), newShelf()
		if err := auth.Introduce(t.Context(), kept, login("access-0001", "login-1")); err != nil {
			t.Fatal(err)
		}
		s := settings(up, kept)
		s.Grant, s.RefreshToken = "authorization_code", nil
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantToken(t, o, 2)
		wantSent(t, up, "login-1")
	})
}

func TestLoginEndsAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		s := settings(policytest.NewUpstream(t), kept)
		s.Grant, s.RefreshToken = "authorization_code", nil
		o := newOAuth2(t, s)
		wantNone(t, o, "there is no refresh token: log in, or give a refresh_token", 5*time.Minute)
		if err := auth.Introduce(t.Context(), kept, login("access-0001", "login-1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // when it is looked again
		wantToken(t, o, 1)
	})
}

// A connection that was configured once, and then got a login, does not fall back to
// the token of the configuration, which is older.
func TestLoginReplacesTheConfiguredRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t, issued(1), issued(3)), newShelf()
		s := settings(up, kept)
		wantToken(t, newOAuth2(t, s), 1)
		if err := auth.Introduce(t.Context(), kept, login("access-0002", "login-2")); err != nil {
			t.Fatal(err)
		}
		again := newOAuth2(t, s) // after a restart
		wantToken(t, again, 2)
		time.Sleep(time.Hour)
		wantToken(t, again, 3)
		wantSent(t, up, "refresh-0000 login-2")
	})
}

func TestNothingIsIntroduced(t *testing.T) {
	kept := newShelf()
	if err := auth.Introduce(t.Context(), kept, auth.Pair{}); !errors.Is(err, auth.ErrNothing) {
		t.Errorf("error %v, want ErrNothing", err)
	}
	unreadable := errors.New("unreadable")
	kept.set(nil, unreadable)
	if err := auth.Introduce(t.Context(), kept, login("a", "b")); !errors.Is(err, unreadable) {
		t.Errorf("error %v, want that of the Keeper", err)
	}
	if kept.tries != 0 {
		t.Errorf("%d tries to save, want none", kept.tries)
	}
}

// An upstream that had a key of each customer has OAuth now: what is handed over takes the
// place of the key. It was refused for what was kept, as if the store were lost.
func TestLoginReplacesAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, kept := policytest.NewUpstream(t), newShelf()
		if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret("key-1")}); err != nil {
			t.Fatal(err)
		}
		o := newOAuth2(t, keptOnly(up, kept))
		if _, err := o.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "of another type than the upstream's credential: hand it over again") {
			t.Errorf("got %v", err)
		}
		introduce(t, kept, login("access-0001", "handed-1"))
		wantToken(t, o, 1)
	})
}
