package auth_test

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// The idle connection to the token endpoint was dropped by it.
func TestLostAnswerIsTriedOnceMoreOnAFreshConnection(t *testing.T) {
	for name, first := range map[string]policytest.Step{
		"stale connection": {Err: io.EOF}, "reset": {Err: syscall.ECONNRESET}, "never sent": {Unsent: true},
		"truncated answer": {Body: `{"access_t`, BodyErr: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool := &pooled{Upstream: policytest.NewUpstream(t, first, issued(1))}
				begun := time.Now()
				wantToken(t, newOAuth2(t, settings(pool, newShelf())), 1)
				if took := time.Since(begun); took != 0 || pool.closed != 1 || pool.Tries() != 2 || pool.OpenBodies() != 0 {
					t.Errorf("took %v, closed %d times, %d tries", took, pool.closed, pool.Tries())
				}
			})
		})
	}
}

// One of them is a 429 of the token endpoint: the connection stays, and is not dead.
func TestTroubleOfTheEndpointIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t,
			policytest.Step{Times: 2, Err: io.EOF},
			policytest.Step{Status: 503, Body: "<html>"},
			policytest.Step{Status: 429, Header: http.Header{"Retry-After": {"7"}}, Body: `{"error":"invalid_grant"}`},
			policytest.Step{Hang: true},
			issued(1))
		s := settings(up, newShelf())
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		wantNone(t, o, "login.test: connection closed", 500*time.Millisecond)
		time.Sleep(500*time.Millisecond - 1)
		wantNone(t, o, "connection closed", 1)
		time.Sleep(1)
		wantNone(t, o, "login.test: status 503", time.Second)
		time.Sleep(time.Second)
		wantNone(t, o, "login.test: invalid_grant", 7*time.Second)
		if st := o.Status(); st.State != auth.StateFailing {
			t.Errorf("a connection whose endpoint throttles is %s", st.State)
		}
		time.Sleep(7 * time.Second)
		begun := time.Now()
		wantNone(t, o, "timeout", 4*time.Second)
		if took := time.Since(begun); took != 20*time.Second {
			t.Errorf("timeout after %v, want 20s", took)
		}
		time.Sleep(4 * time.Second)
		wantToken(t, o, 1)
	})
}

func TestLivingTokenIsUsedWhileTheEndpointIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), policytest.Step{Times: 2, Status: 429, Header: http.Header{"Retry-After": {"60"}}}, issued(2))
		o := newOAuth2(t, settings(up, newShelf()))
		wantToken(t, o, 1)
		time.Sleep(48 * time.Minute)
		for range 120 {
			wantToken(t, o, 1)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if n := up.Tries(); n != 3 { // at 48:00 and 49:00
			t.Errorf("%d requests, want 3", n)
		}
		wantToken(t, o, 1)
		synctest.Wait()
		wantToken(t, o, 2)
	})
}

func TestDeadGrantIsNotAskedForAgainUntilThereIsANewOne(t *testing.T) {
	for name, answer := range map[string]policytest.Step{
		"RFC 6749":    {Status: 400, Body: `{"error":"invalid_grant","error_description":"refresh-0000 is revoked"}`},
		"GitHub":      {Body: `{"error":"bad_refresh_token"}`},
		"GitHub form": {Body: `error=bad_refresh_token&error_description=x`, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
		"Slack":       {Body: `{"ok":false,"error":"token_revoked"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer.Times = 2
				up := policytest.NewUpstream(t, answer, issued(1))
				k := newShelf()
				configured := "refresh-0000"
				s := settings(up, k)
				s.RefreshToken = func() (string, error) { return configured, nil }
				o := newOAuth2(t, s)
				wantNone(t, o, "the grant is dead: log in again, or give a new refresh_token", 5*time.Minute)
				if st := o.Status(); st.State != auth.StateDead || st.Usable || k.tries != 0 {
					t.Errorf("status %+v, %d saves", st, k.tries)
				}
				for range 299 {
					time.Sleep(time.Second)
					o.Token(t.Context(), auth.Token{})
				}
				if n := up.Tries(); n != 1 {
					t.Fatalf("%d requests in the cooldown", n)
				}
				time.Sleep(time.Second)
				wantNone(t, o, "dead", 10*time.Minute)
				configured = "refresh-new"
				time.Sleep(time.Second)
				wantToken(t, o, 1)
				wantSent(t, up, "refresh-0000 refresh-0000 refresh-new")
			})
		})
	}
}

// After a restart what is kept was newer than what the process had used so far, which is
// nothing: every look at it, once a second, was taken for news, and sent the dead refresh
// token again.
func TestDeadGrantIsNotAskedForAgainAfterARestart(t *testing.T) {
	for name, answer := range map[string]policytest.Step{
		"dead grant":                     {Times: -1, Status: 400, Body: `{"error":"invalid_grant"}`},
		"client that is not accepted":    {Times: -1, Status: 400, Body: `{"error":"invalid_request"}`},
		"token that is no access token":  {Times: -1, Body: `{"access_token":"abc","token_type":"mac"}`},
		"and its refresh token replaced": {Times: -1, Body: `{"access_token":"abc","token_type":"mac","refresh_token":"refresh-0002"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newShelf()
				wantToken(t, newOAuth2(t, settings(policytest.NewUpstream(t, issued(1)), k)), 1)
				time.Sleep(time.Hour)
				up, told := policytest.NewUpstream(t, answer), 0
				s := settings(up, k)
				s.OnRefresh = func(auth.RefreshEvent) { told++ }
				o := newOAuth2(t, s)
				for range 29 {
					o.Token(t.Context(), auth.Token{})
					time.Sleep(time.Second)
				}
				if n := up.Tries(); n != 1 || told != 1 {
					t.Errorf("%d requests in the cooldown, %d events", n, told)
				}
			})
		})
	}
}

// Likewise for a login that brought no refresh token: the cooldown grew with each look.
func TestEndOfALoginIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, told := newShelf(), 0
		introduce(t, k, login("access-0001", ""))
		time.Sleep(time.Hour)
		s := logins(policytest.NewUpstream(t), k)
		s.OnRefresh = func(auth.RefreshEvent) { told++ }
		o := newOAuth2(t, s)
		for i := range 10 {
			wantNone(t, o, "the login brought no refresh token", 5*time.Minute-time.Duration(i)*time.Second)
			time.Sleep(time.Second)
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// The Keeper is lost in the middle of a cooldown: a look at it that fails must not
// have the dead refresh token sent again.
func TestLookThatFailsDoesNotEndACooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`})
		o := newOAuth2(t, settings(up, k))
		wantNone(t, o, "invalid_grant", 5*time.Minute)
		k.set(nil, io.ErrUnexpectedEOF)
		time.Sleep(time.Minute)
		wantNone(t, o, "invalid_grant", 4*time.Minute)
		k.set(nil, nil)
		time.Sleep(time.Minute)
		wantNone(t, o, "invalid_grant", 3*time.Minute)
	})
}

func TestClientThatIsNotAcceptedIsConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Times: 2, Status: 401, Body: `{"error":"invalid_client"}`}, issued(1))
		secret := "wrong"
		s := settings(up, newShelf())
		s.ClientAuth, s.ClientSecret = "body", func() (string, error) { return secret, nil }
		o := newOAuth2(t, s)
		wantNone(t, o, "invalid_client: the token endpoint does not accept the configuration", 30*time.Second)
		time.Sleep(30 * time.Second)
		wantNone(t, o, "invalid_client", time.Minute)
		secret = "right"
		time.Sleep(time.Second)
		wantToken(t, o, 1)
	})
}

func TestLivingTokenOfADeadGrantIsUsedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), policytest.Step{Times: -1, Status: 400, Body: `{"error":"invalid_grant"}`})
		o := newOAuth2(t, settings(up, newShelf()))
		wantToken(t, o, 1)
		time.Sleep(48 * time.Minute)
		wantToken(t, o, 1)
		synctest.Wait()
		if st := o.Status(); st.State != auth.StateDead || !st.Usable {
			t.Errorf("status %+v", st)
		}
		time.Sleep(12*time.Minute - 1)
		wantToken(t, o, 1)
		synctest.Wait()
		time.Sleep(1)
		wantNone(t, o, "dead", 10*time.Minute-1)
	})
}

func TestAnswersThatAreNoToken(t *testing.T) {
	for name, tt := range map[string]struct {
		step policytest.Step
		text string
		wait time.Duration
	}{
		"a page":             {policytest.Step{Body: "<html>access_token=x</html>"}, "not JSON, nor a form", 500 * time.Millisecond},
		"nothing":            {policytest.Step{}, "not JSON, nor a form", 500 * time.Millisecond},
		"an empty token":     {policytest.Step{Body: `{"access_token":"","token_type":"bearer"}`}, "no access token", 500 * time.Millisecond},
		"a token too many":   {policytest.Step{Body: `{"access_token":17}`}, "no access token", 500 * time.Millisecond},
		"a MAC token":        {policytest.Step{Body: `{"access_token":"abc","token_type":"mac"}`}, "another type than bearer", 30 * time.Second},
		"two lines":          {policytest.Step{Body: `{"access_token":"a\r\nb"}`}, "cannot be sent", 30 * time.Second},
		"a redirect":         {policytest.Step{Status: 302, Header: http.Header{"Location": {"https://evil.test/"}}}, "redirects", 30 * time.Second},
		"a wrong path":       {policytest.Step{Status: 404, Body: "no"}, "status 404", 30 * time.Second},
		"a code with values": {policytest.Step{Status: 400, Body: `{"error":"refresh-0000 is unknown"}`}, "status 400", 30 * time.Second},
		"an endless one":     {policytest.Step{Body: `{"access_token":"` + strings.Repeat("a", 1<<20) + `"}`}, "not JSON", 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, up := newShelf(), policytest.NewUpstream(t, tt.step)
				s := settings(up, k)
				s.Jitter = policytest.Jitter(0.5)
				o := newOAuth2(t, s)
				wantNone(t, o, tt.text, tt.wait)
				if k.tries != 0 || up.OpenBodies() != 0 || strings.Contains(o.Status().Err.Error(), "refresh-0000") {
					t.Errorf("kept: %s, %d bodies open, %v", k.text(), up.OpenBodies(), o.Status().Err)
				}
			})
		})
	}
}

// The access token cannot be used, but the refresh token before is spent.
func TestRefreshTokenBesideAUselessTokenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Body: `{"access_token":"abc","token_type":"mac","refresh_token":"refresh-0001"}`}, issued(2))
		k := newShelf()
		o := newOAuth2(t, settings(up, k))
		wantNone(t, o, "another type", 30*time.Second)
		time.Sleep(30 * time.Second)
		wantToken(t, o, 2)
		wantSent(t, up, "refresh-0000 refresh-0001")
	})
}

// This process is throttled by the endpoint, and another was not.
func TestTokenOfAnotherProcessEndsABackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		up := policytest.NewUpstream(t, policytest.Step{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}, issued(1))
		a, b := newOAuth2(t, settings(up, k)), newOAuth2(t, settings(up, k))
		wantNone(t, a, "status 429", time.Hour)
		wantToken(t, b, 1)
		time.Sleep(time.Second)
		wantToken(t, a, 1)
		if n := up.Tries(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

func TestSlotThatIsNotGivenUpIsWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		k.slot <- struct{}{}
		s := settings(policytest.NewUpstream(t, issued(1)), k)
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		begun := time.Now()
		wantNone(t, o, "waiting for the refresh slot", 500*time.Millisecond)
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("waited for %v, want 1m", took)
		}
		<-k.slot
		time.Sleep(time.Second)
		wantToken(t, o, 1)
	})
}

// An instant in the answer is of the server's clock, which need not be ours.
func TestSkewOfTheEndpointsClockIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := time.Now().Add(-2 * time.Hour).UTC()
		o := newOAuth2(t, settings(policytest.NewUpstream(t, policytest.Step{
			Header: http.Header{"Date": {theirs.Format(http.TimeFormat)}},
			Body:   `{"access_token":"access-0001","expires_at":"` + theirs.Add(time.Hour).Format(time.RFC3339) + `"}`,
		}), nil))
		wantToken(t, o, 1)
		if st := o.Status(); st.Expires.Sub(st.Obtained) != time.Hour {
			t.Errorf("status %+v", st)
		}
	})
}

func TestConfiguredLifetimeIsForProvidersThatSayNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Body: `{"access_token":"access-0001"}`}, issued(2))
		s := settings(up, nil)
		s.Lifetime = 10 * time.Minute
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		time.Sleep(10 * time.Minute)
		wantToken(t, o, 2)
		if st := o.Status(); st.Expires.Sub(st.Obtained) != time.Hour {
			t.Errorf("status %+v", st)
		}
	})
}
