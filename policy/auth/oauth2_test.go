package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

func TestCallersAtExpiryCauseOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), slow(2*time.Second, issued(2)))
		o := newOAuth2(t, settings(up, newShelf()))
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		begun := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { wantToken(t, o, 2) })
		}
		wg.Wait()
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("they waited for %v, want 2s", took)
		}
		wantSent(t, up, "refresh-0000 refresh-0001")
	})
}

// One that leaves must not have a rotated pair thrown away.
func TestCallerWhoLeavesAbortsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		o := newOAuth2(t, settings(policytest.NewUpstream(t, slow(2*time.Second, issued(1))), k))
		gone := errors.New("gone")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, gone)
		defer cancel()
		if _, err := o.Token(ctx, auth.Token{}); err != gone {
			t.Errorf("ended with %v, want the cause", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(k.text(), "refresh-0001") {
			t.Errorf("kept: %s", k.text())
		}
		wantToken(t, o, 1)
	})
}

func TestAheadOfTimeNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, issued(1), slow(5*time.Second, issued(2)))
		s := settings(up, nil)
		s.Jitter = policytest.Jitter(0.5) // of 72 s, a tenth of 20 % of an hour
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		due := 48*time.Minute - 36*time.Second
		if st := o.Status(); st.NextRefresh.Sub(st.Obtained) != due || st.Expires.Sub(st.Obtained) != time.Hour {
			t.Errorf("status %+v", st)
		}
		time.Sleep(due - 1)
		wantToken(t, o, 1)
		synctest.Wait()
		if n := up.Tries(); n != 1 {
			t.Fatalf("%d requests before it is due", n)
		}
		time.Sleep(1)
		for range 10 {
			begun := time.Now()
			wantToken(t, o, 1)
			if took := time.Since(begun); took != 0 {
				t.Fatalf("waited for %v", took)
			}
		}
		if st := o.Status(); st.State != auth.StateRefreshing || !st.Usable {
			t.Errorf("status %+v", st)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		wantToken(t, o, 2)
	})
}

func TestMarginIsAtMostHalfOfTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(policytest.NewUpstream(t, issued(1)), nil)
		s.RefreshBefore = 2 * time.Hour
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		if st := o.Status(); st.NextRefresh.Sub(st.Obtained) != 30*time.Minute {
			t.Errorf("status %+v", st)
		}
	})
}

func TestRefreshOfAnotherProcessIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		up := policytest.NewUpstream(t, slow(time.Second, issued(1)), issued(2), issued(3))
		a, b := newOAuth2(t, settings(up, k)), newOAuth2(t, settings(up, k))
		var wg sync.WaitGroup
		wg.Go(func() { wantToken(t, a, 1) })
		wg.Go(func() { wantToken(t, b, 1) })
		wg.Wait()
		if n := up.Tries(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
		time.Sleep(time.Hour)
		wantToken(t, a, 2)
		wantToken(t, b, 2)
		time.Sleep(time.Hour)
		wantToken(t, b, 3)
		wantToken(t, a, 3)
		wantSent(t, up, "refresh-0000 refresh-0001 refresh-0002")
	})
}

// Who reads its refresh token early and enters late must not spend a rotated one.
func TestRefreshTokenIsTheOneInsideTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		short := issued(2)
		short.Body = strings.Replace(short.Body, "3600", "1", 1)
		up := policytest.NewUpstream(t, issued(1), slow(2*time.Second, short), issued(3))
		a, b := newOAuth2(t, settings(up, k)), newOAuth2(t, settings(up, k))
		wantToken(t, a, 1)
		wantToken(t, b, 1)
		time.Sleep(time.Hour)
		var wg sync.WaitGroup
		wg.Go(func() { wantToken(t, a, 2) })
		synctest.Wait()
		wg.Go(func() { wantToken(t, b, 3) }) // finds a pair that has expired
		wg.Wait()
		wantSent(t, up, "refresh-0000 refresh-0001 refresh-0002")
	})
}

func TestRestartUsesWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		wantToken(t, newOAuth2(t, settings(up, k)), 1)
		time.Sleep(30 * time.Minute)
		o := newOAuth2(t, settings(up, k))
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantToken(t, o, 2)
		wantSent(t, up, "refresh-0000 refresh-0001")
		if !strings.Contains(k.text(), `"previous_refresh_token":"refresh-0001"`) {
			t.Errorf("kept: %s", k.text())
		}
	})
}

// A laptop's monotonic clock stands still while it sleeps: an instant that has a
// monotonic reading would be compared by that.
func TestInstantsAreOfTheWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1)), nil))
		wantToken(t, o, 1)
		for _, at := range []time.Time{o.Status().Obtained, o.Status().Expires, o.Status().NextRefresh} {
			if at != at.Round(0) { //nolint:revive // the monotonic reading is what is compared
				t.Errorf("%v has a monotonic reading", at)
			}
		}
	})
}

func TestPairIsSavedBeforeItIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1)), slowSave{k}))
		begun := time.Now()
		wantToken(t, o, 1)
		if took := time.Since(begun); took != 3*time.Second || k.tries != 1 {
			t.Errorf("handed out after %v, want after the 3s that saving takes", took)
		}
	})
}

// The disk is full while a rotated pair is saved: the pair is used, its state is
// told, and saving is tried until it succeeds.
func TestPairThatCannotBeSavedIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		k.set(syscall.ENOSPC, nil)
		var told []auth.RefreshEvent
		s := settings(up, k)
		s.OnRefresh = func(e auth.RefreshEvent) { told = append(told, e) }
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		if st := o.Status(); !errors.Is(st.NotKept, syscall.ENOSPC) || st.State != auth.StateLive {
			t.Errorf("status: %+v", st)
		}
		if len(told) != 1 || !errors.Is(told[0].NotKept, syscall.ENOSPC) || told[0].Err != nil {
			t.Errorf("told: %+v", told)
		}
		for range 40 { // 4 s: tries after 1 s and, 2 s later, after 3 s
			time.Sleep(100 * time.Millisecond)
			wantToken(t, o, 1)
			synctest.Wait()
		}
		if k.tries != 3 {
			t.Errorf("%d tries to save, want 3", k.tries)
		}
		time.Sleep(time.Hour) // the next pair descends from the one in memory
		wantToken(t, o, 2)
		k.set(nil, nil)
		time.Sleep(8 * time.Second) // after the fourth failure
		wantToken(t, o, 2)
		synctest.Wait()
		if st := o.Status(); st.NotKept != nil || !strings.Contains(k.text(), "refresh-0002") {
			t.Errorf("status: %+v, kept: %s", st, k.text())
		}
		wantSent(t, up, "refresh-0000 refresh-0001")
	})
}

func TestCloseSavesWhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		k.set(syscall.ENOSPC, nil)
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1)), k))
		wantToken(t, o, 1)
		k.set(nil, nil)
		o.Close()
		if !strings.Contains(k.text(), "refresh-0001") {
			t.Errorf("kept: %s", k.text())
		}
	})
}

func TestCloseWaitsForTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		o := newOAuth2(t, settings(policytest.NewUpstream(t, slow(2*time.Second, issued(1))), k))
		go o.Token(t.Context(), auth.Token{})
		synctest.Wait()
		o.Close()
		if !strings.Contains(k.text(), "refresh-0001") {
			t.Errorf("kept: %s", k.text())
		}
		wantToken(t, o, 1)
		time.Sleep(time.Hour)
		wantNone(t, o, "shutting down", 0)
	})
}

// What cannot be read may be the only copy of a refresh token.
func TestWhatIsKeptAndNotUnderstoodIsNotLost(t *testing.T) {
	for name, data := range map[string]string{
		"newer version": `{"version":2,"refresh_token":"refresh-0009","expires":17}`, "no grant": `refresh-0009`, "another": `[]`, "none": `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, up := newShelf(), policytest.NewUpstream(t)
				k.data = []byte(data)
				s := settings(up, k)
				s.Jitter = policytest.Jitter(0.5)
				o := newOAuth2(t, s)
				wantNone(t, o, "reading what is kept", 500*time.Millisecond)
				if err := o.Status().Err; strings.Contains(err.Error(), "0009") || k.text() != data || k.tries != 0 {
					t.Errorf("%v; kept: %s", err, k.text())
				}
			})
		})
	}
}

func TestGrantForAnotherScopeKeepsItsRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		wantToken(t, newOAuth2(t, settings(up, k)), 1)
		s := settings(up, k)
		s.Scopes = []string{"more"}
		wantToken(t, newOAuth2(t, s), 2)
		wantSent(t, up, "refresh-0000 refresh-0001")
	})
}

// Another process went on from what it found, since the provider still took it: what
// it has is newer than what could not be saved before.
func TestSavingLateDoesNotReplaceWhatIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		a, b := newOAuth2(t, settings(up, k)), newOAuth2(t, settings(up, k))
		k.set(syscall.ENOSPC, nil)
		wantToken(t, a, 1)
		k.set(nil, nil)
		time.Sleep(500 * time.Millisecond)
		wantToken(t, b, 2)
		time.Sleep(500 * time.Millisecond)
		wantToken(t, a, 1)
		synctest.Wait()
		if st := a.Status(); st.NotKept != nil || !strings.Contains(k.text(), "refresh-0002") {
			t.Errorf("status: %+v, kept: %s", st, k.text())
		}
	})
}

// The process died between the answer and saving it. The provider's leeway for the
// refresh token before is what connects us again.
func TestPairThatWasLostInACrashIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2), issued(3))
		wantToken(t, newOAuth2(t, settings(up, k)), 1)
		time.Sleep(time.Hour)
		before := k.text()
		wantToken(t, newOAuth2(t, settings(up, k)), 2)
		k.data = []byte(before)
		wantToken(t, newOAuth2(t, settings(up, k)), 3)
		wantSent(t, up, "refresh-0000 refresh-0001 refresh-0001")
	})
}

// What is kept cannot be read for a while: the living token is used, and nothing is
// spent.
func TestNothingIsSpentWhileWhatIsKeptCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		o := newOAuth2(t, settings(up, k))
		wantToken(t, o, 1)
		time.Sleep(50 * time.Minute)
		k.set(nil, syscall.EIO)
		wantToken(t, o, 1)
		synctest.Wait()
		if st := o.Status(); st.State != auth.StateFailing || !st.Usable || up.Tries() != 1 {
			t.Errorf("status %+v, %d requests", st, up.Tries())
		}
		k.set(nil, nil)
		time.Sleep(time.Minute)
		wantToken(t, o, 1)
		synctest.Wait()
		wantToken(t, o, 2)
	})
}

// A Keeper that cannot even be read is not asked for each call, nor does it hold the
// refresh back.
func TestSavingIsTriedSlowlyWhereTheKeeperIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		k.set(syscall.ENOSPC, nil)
		tries := 0
		s := settings(policytest.NewUpstream(t, issued(1)), k)
		s.OnRefresh = func(e auth.RefreshEvent) {
			if e.Reason == "save" {
				tries++
			}
		}
		o := newOAuth2(t, s)
		wantToken(t, o, 1)
		k.set(nil, syscall.EIO)
		for range 100 { // after 1, 3 and 7 s
			time.Sleep(100 * time.Millisecond)
			wantToken(t, o, 1)
			synctest.Wait()
		}
		if st := o.Status(); tries != 3 || st.State != auth.StateLive || st.NotKept == nil {
			t.Errorf("%d tries, status %+v", tries, st)
		}
	})
}

// A reload with other settings while the disk is full: what is in memory only goes on,
// and is saved when it can be.
func TestSuccessorKnowsWhatWasNotSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, endpoint := newShelf(), policytest.NewUpstream(t, issued(1), issued(2))
		o := newOAuth2(t, settings(endpoint, k))
		k.set(errors.New("the disk is full"), nil)
		wantToken(t, o, 1)
		s := settings(endpoint, k)
		s.RefreshShare = 0.5
		s.RefreshToken = func() (string, error) { return "", errors.New("it is gone") }
		next, err := o.Successor(s)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		wantToken(t, next, 1)
		if st := next.Status(); st.NotKept == nil {
			t.Errorf("status %+v", st)
		}
		k.set(nil, nil)
		time.Sleep(time.Second)
		wantToken(t, next, 1)
		synctest.Wait()
		if st := next.Status(); st.NotKept != nil || !strings.Contains(k.text(), "refresh-0001") {
			t.Errorf("status %+v, kept %s", st, k.text())
		}
		time.Sleep(40 * time.Minute)
		wantToken(t, next, 1)
		synctest.Wait()
		wantToken(t, next, 2)
		wantSent(t, endpoint, "refresh-0000 refresh-0001")
	})
}

// Who waited for a token that another call has used in vain meanwhile waits for the
// next one.
func TestTokenThatIsRefusedBeforeEverybodyHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, slow(time.Second, issued(1)), slow(time.Second, issued(2)))
		o := newOAuth2(t, settings(endpoint, nil))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				token, err := o.Token(t.Context(), auth.Token{})
				if err != nil {
					t.Error(err)
				}
				if _, err := o.Token(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantSent(t, endpoint, "refresh-0000 refresh-0001")
	})
}

// A credential that has nothing to lose does without what it is kept in.
func TestClientCredentialsDoWithoutTheKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		k.set(errors.New("the disk is full"), errors.New("the disk is gone"))
		s := settings(policytest.NewUpstream(t, issued(1)), k)
		s.Grant, s.RefreshToken = "client_credentials", nil
		wantToken(t, newOAuth2(t, s), 1)
	})
}

// What the token endpoint does not accept may have been replaced where it is read.
func TestRefusedConfigurationIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secret, refused := "old", 0
		s := settings(policytest.NewUpstream(t, policytest.Step{Status: 400, Body: `{"error":"invalid_client"}`}, issued(1)), nil)
		s.ClientAuth = "body"
		s.ClientSecret = func() (string, error) { return secret, nil }
		s.Refused = func() { refused++; secret = "new" }
		o := newOAuth2(t, s)
		wantNone(t, o, "invalid_client", 30*time.Second)
		time.Sleep(time.Second)
		wantToken(t, o, 1)
		if refused != 1 {
			t.Errorf("told %d times", refused)
		}
	})
}

// A process whose environment has an older refresh token goes on with what the newer
// one is kept as, and does not send its own again.
func TestOlderSeedIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, endpoint := newShelf(), policytest.NewUpstream(t, issued(1), issued(2), issued(3), issued(4))
		older, newer := settings(endpoint, k), settings(endpoint, k)
		newer.RefreshToken = value("refresh-9000")
		a, b := newOAuth2(t, older), newOAuth2(t, newer)
		wantToken(t, a, 1)
		wantToken(t, b, 2)
		time.Sleep(time.Hour)
		wantToken(t, a, 3)
		wantToken(t, b, 3)
		time.Sleep(time.Hour)
		wantToken(t, b, 4)
		wantSent(t, endpoint, "refresh-0000 refresh-9000 refresh-0002 refresh-0003")
	})
}

// A process could not save what it refreshed several times, while the operator configured
// another refresh token, from which another process went on: by the number of refreshes its
// own was the newer one, so that it sent the configured one again, which was spent.
func TestWhatCouldNotBeSavedIsOlderThanANewSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, up := newShelf(), policytest.NewUpstream(t, issued(1), issued(2), issued(3), issued(4), issued(5))
		configured := "refresh-0000"
		s := settings(up, k)
		s.RefreshToken = func() (string, error) { return configured, nil }
		a, b := newOAuth2(t, s), newOAuth2(t, s)
		wantToken(t, a, 1)
		k.set(syscall.ENOSPC, nil)
		time.Sleep(time.Hour)
		wantToken(t, b, 2)
		time.Sleep(time.Hour)
		wantToken(t, b, 3)
		k.set(nil, nil)
		configured = "refresh-9000"
		wantToken(t, a, 4)
		time.Sleep(time.Hour)
		wantToken(t, b, 5)
		wantToken(t, a, 5)
		wantSent(t, up, "refresh-0000 refresh-0001 refresh-0002 refresh-9000 refresh-0004")
	})
}

// Nothing is spent while a refresh waits for another process: Close ends the wait.
func TestCloseDoesNotWaitForOtherProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newShelf()
		o := newOAuth2(t, settings(policytest.NewUpstream(t), k))
		unlock, _ := k.Lock(t.Context())
		defer unlock()
		go o.Token(t.Context(), auth.Token{})
		synctest.Wait()
		began := time.Now()
		o.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}
