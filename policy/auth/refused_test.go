package auth_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

var (
	no  = policytest.Step{Status: 401, Body: `{"message":"Bad credentials"}`}
	yes = policytest.Step{Body: "fine"}
)

// wantAuthorization compares what an upstream received.
func wantAuthorization(t *testing.T, up *policytest.Upstream, want string) {
	t.Helper()
	var all []string
	for _, r := range up.Requests() {
		all = append(all, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}
	if got := strings.Join(all, " "); got != want {
		t.Errorf("upstream got %q, want %q", got, want)
	}
	if n := up.OpenBodies(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
}

func TestRefusedCallIsReplayedWithANewToken(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	for _, method := range []string{"GET", "POST", "DELETE", "PATCH"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, up := newShelf(), policytest.NewUpstream(t, no, yes)
				o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1), slow(time.Second, issued(2))), k))
				answer := policytest.Do(auth.Wrap(o, nil)(up), policytest.NewRequest(t, method, "https://api.test/x", body))
				if answer.Status != 200 || answer.Body != "fine" || answer.Took != time.Second {
					t.Errorf("answer %+v", answer)
				}
				wantAuthorization(t, up, "access-0001 access-0002")
				for _, r := range up.Requests() {
					if r.Body != body {
						t.Error("the bodies differ")
					}
				}
			})
		})
	}
}

func TestSecondRefusalPassesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := policytest.Step{Status: 401, Body: "still not"}
		up := policytest.NewUpstream(t, no, second, second)
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1), issued(2)), nil))
		client := auth.Wrap(o, nil)(up)
		for range 2 { // and a fresh token is not replaced for every such call
			answer := policytest.Do(client, policytest.NewRequest(t, "POST", "https://api.test/x", "body"))
			if answer.Status != 401 || answer.Body != "still not" || answer.Err != nil {
				t.Errorf("answer %+v", answer)
			}
		}
		wantAuthorization(t, up, "access-0001 access-0002 access-0002")
	})
}

// What others lost on such a way: the body of the request, of the first refusal where the
// refresh fails, and of the second.
func TestLargeUploadThatIsRefusedTwice(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	second := policytest.Step{Status: 401, Header: http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}, Body: strings.Repeat("still not", 1<<14)}
	synctest.Test(t, func(t *testing.T) {
		endpoint, up := policytest.NewUpstream(t, issued(1), issued(2)), policytest.NewUpstream(t, no, second)
		answer := policytest.Do(auth.Wrap(newOAuth2(t, settings(endpoint, newShelf())), nil)(up), policytest.NewRequest(t, "POST", "https://api.test/x", body))
		if answer.Err != nil || answer.Status != 401 || answer.Body != second.Body || answer.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
			t.Errorf("answer %d, %v, %d bytes, %v: want the second refusal", answer.Status, answer.Header, len(answer.Body), answer.Err)
		}
		wantSent(t, endpoint, "refresh-0000 refresh-0001")
		wantAuthorization(t, up, "access-0001 access-0002")
		for i, r := range up.Requests() {
			if r.Body != body {
				t.Errorf("request %d has %d bytes, or others", i+1, len(r.Body))
			}
		}
	})
}

// An upstream that answers 401 to one kind of request, whatever the token is.
func TestRefreshesThatRefusalsCauseBecomeRarer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		endpoint := roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			return policytest.NewUpstream(t, issued(n)).RoundTrip(r)
		})
		o := newOAuth2(t, settings(endpoint, nil))
		client := auth.Wrap(o, nil)(policytest.NewUpstream(t, policytest.Step{Times: -1, Status: 401}))
		for range 10 * 60 {
			policytest.Do(client, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
			time.Sleep(time.Second)
		}
		if n != 8 { // the first; at 0 s, and after 5, 10, 20, 40, 80, 160 s more
			t.Errorf("%d token requests in 10 min", n)
		}
	})
}

// A token that was accepted may be revoked at any time, also right after it came.
// Where that goes on without an end, it is about a kind of request instead.
func TestTokenThatWasAcceptedIsReplacedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		endpoint := roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			return policytest.NewUpstream(t, issued(n)).RoundTrip(r)
		})
		up := policytest.NewUpstream(t, no, yes, no, yes, no, yes, no, no)
		o := newOAuth2(t, settings(endpoint, nil))
		client := auth.Wrap(o, nil)(up)
		wantSpaced := func(length time.Duration) {
			t.Helper()
			var until time.Time
			if length > 0 {
				until = time.Now().Add(length)
			}
			if s := o.Status(); !s.Spaced.Equal(until) {
				t.Errorf("a 401 is said to be passed on until %v, want %v", s.Spaced, until)
			}
		}
		for i, want := range []int{200, 200, 200, 401, 401} {
			wantSpaced([]time.Duration{0, 0, 0, 20 * time.Second, 20 * time.Second}[i])
			if a := policytest.Do(client, policytest.NewRequest(t, "GET", "https://api.test/x", "")); a.Status != want {
				t.Errorf("answer %+v, want %d", a, want)
			}
		}
		time.Sleep(20 * time.Second)
		wantSpaced(0)
		wantAuthorization(t, up, "access-0001 access-0002 access-0002 access-0003 access-0003 access-0004 access-0004 access-0004")
	})
}

func TestConcurrentRefusalsCauseOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, issued(1), slow(time.Second, issued(2)))
		up := policytest.NewUpstream(t, policytest.Step{Times: 50, Status: 401, Delay: time.Millisecond}, policytest.Step{Times: 50, Body: "fine"})
		o := newOAuth2(t, settings(endpoint, newShelf()))
		wantToken(t, o, 1)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if a := policytest.Do(auth.Wrap(o, nil)(up), policytest.NewRequest(t, "POST", "https://api.test/x", "b")); a.Status != 200 {
					t.Errorf("answer %+v", a)
				}
			})
		}
		wg.Wait()
		wantSent(t, endpoint, "refresh-0000 refresh-0001")
		wantAuthorization(t, up, strings.Repeat("access-0001 ", 50)+strings.TrimSpace(strings.Repeat("access-0002 ", 50)))
	})
}

// A 401 that comes late is about a token that another caller has replaced already.
func TestLateRefusalOfAnOldTokenCausesNoRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, issued(1), issued(2))
		o := newOAuth2(t, settings(endpoint, nil))
		old := wantToken(t, o, 1)
		for range 3 {
			if fresh, err := o.Token(t.Context(), old); err != nil || fresh.Value.Reveal() != "Bearer access-0002" {
				t.Errorf("got %q, %v", fresh.Value.Reveal(), err)
			}
		}
	})
}

func TestRefusalReachesTheCallerWhole(t *testing.T) {
	long := strings.Repeat("x", 20<<10) + "the end"
	for name, tt := range map[string]struct {
		refused  policytest.Step
		endpoint policytest.Step
		streamed bool
	}{
		"the refresh fails":        {no, policytest.Step{Status: 503}, false},
		"the grant is dead":        {no, policytest.Step{Status: 400, Body: `{"error":"invalid_grant"}`}, false},
		"the same token":           {no, issued(1), false},
		"it is about a permission": {policytest.Step{Status: 401, Body: `{"error":"MISSING_SCOPE"}` + long}, issued(9), false},
		"it cannot be replayed":    {no, issued(2), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				endpoint, up := policytest.NewUpstream(t, issued(1), tt.endpoint), policytest.NewUpstream(t, tt.refused)
				s := settings(endpoint, nil)
				s.NotExpiry = []string{"NOTHING", "MISSING_SCOPE"}
				req := policytest.NewRequest(t, "POST", "https://api.test/x", "body")
				if tt.streamed {
					policytest.Streamed(req)
				}
				o := newOAuth2(t, s)
				answer := policytest.Do(auth.Wrap(o, nil)(up), req)
				if answer.Status != 401 || answer.Body != tt.refused.Body || answer.Err != nil {
					t.Errorf("answer %d, %d bytes, %v", answer.Status, len(answer.Body), answer.Err)
				}
				wantAuthorization(t, up, "access-0001")
				synctest.Wait()
				if tt.streamed {
					wantToken(t, o, 2) // the next call has a new one
				}
				if excused := len(tt.refused.Body) > 1000; excused {
					wantToken(t, o, 1)
				}
			})
		})
	}
}

func TestBodyOfARefusalThatBreaksOffIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := settings(policytest.NewUpstream(t, issued(1), policytest.Step{Status: 503}), nil)
		s.NotExpiry = []string{"MISSING_SCOPE"}
		up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: "begin", BodyErr: io.ErrUnexpectedEOF})
		answer := policytest.Do(auth.Wrap(newOAuth2(t, s), nil)(up), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if answer.Body != "begin" || answer.Err != io.ErrUnexpectedEOF {
			t.Errorf("answer %+v", answer)
		}
	})
}

// It is refused and not replaced: nobody gets it again, until there is a new one.
func TestTokenThatIsDeadIsNotInjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, issued(1), policytest.Step{Status: 503}, issued(2))
		up := policytest.NewUpstream(t, no, yes)
		s := settings(endpoint, nil)
		s.Jitter = policytest.Jitter(0.5)
		o := newOAuth2(t, s)
		client := auth.Wrap(o, nil)(up)
		get := func() policytest.Answer {
			return policytest.Do(client, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		}
		if a := get(); a.Status != 401 {
			t.Errorf("answer %+v", a)
		}
		var unavailable *auth.UnavailableError
		if a := get(); !errors.As(a.Err, &unavailable) || unavailable.RetryAfter != 500*time.Millisecond {
			t.Errorf("answer %+v", a)
		}
		time.Sleep(500 * time.Millisecond)
		if a := get(); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
		wantAuthorization(t, up, "access-0001 access-0002")
	})
}

func TestStaticCredentialIsNotReplayed(t *testing.T) {
	for _, s := range []auth.Settings{
		{Type: auth.Bearer, Value: value("key")}, {Type: auth.Basic, Username: value("u"), Value: value("key")},
		{Type: auth.Header, Name: "X-Api-Key", Value: value("key")}, {Type: auth.Query, Name: "key", Value: value("key")},
		{Type: auth.None}, {Type: auth.Passthrough},
	} {
		t.Run(s.Type, func(t *testing.T) {
			up := policytest.NewUpstream(t, no)
			src, _ := auth.New(s)
			req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
			req.Header.Set("Authorization", "mine")
			if a := policytest.Do(auth.Wrap(src, nil)(up), req); a.Status != 401 || a.Body != no.Body {
				t.Errorf("answer %+v", a)
			}
		})
	}
}

// Its file was written anew while the call was under way.
func TestStaticCredentialThatHasChangedIsReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := "old"
		src, _ := auth.New(auth.Settings{Type: auth.Bearer, Value: func() (string, error) { return key, nil }})
		refused := no
		refused.Do = func(*http.Request) { key = "new" }
		up := policytest.NewUpstream(t, refused, yes)
		if a := policytest.Do(auth.Wrap(src, nil)(up), policytest.NewRequest(t, "POST", "https://api.test/x", "b")); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
		wantAuthorization(t, up, "old new")
	})
}

// With one turn for all, the replay needs that of the response that it replaces.
func TestReplayGoesOutAfterTheRefusalWasLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, no, yes)
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1), issued(2)), nil))
		client := auth.Wrap(o, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			if n := up.OpenBodies(); n != 0 {
				t.Errorf("%d responses are open", n)
			}
			return up.RoundTrip(r)
		}))
		if a := policytest.Do(client, policytest.NewRequest(t, "GET", "https://api.test/x", "")); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
	})
}

// Salesforce says nothing of a lifetime: it is learned from what they refuse.
func TestLifetimeIsLearnedFromTheShortestAgeOfARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeless := func(n int) policytest.Step {
			return policytest.Step{Body: fmt.Sprintf(`{"access_token":"access-%04d","refresh_token":"refresh-%04d"}`, n, n)}
		}
		k, endpoint := newShelf(), policytest.NewUpstream(t, timeless(1), timeless(2), timeless(3), timeless(4))
		o := newOAuth2(t, settings(endpoint, k))
		first := wantToken(t, o, 1)
		if st := o.Status(); !st.Expires.IsZero() || !st.NextRefresh.IsZero() {
			t.Errorf("status %+v", st)
		}
		time.Sleep(100 * time.Minute)
		wantToken(t, o, 1)
		if _, err := o.Token(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if st := o.Status(); st.NextRefresh.Sub(st.Obtained) != 80*time.Minute {
			t.Errorf("status %+v", st)
		}
		o = newOAuth2(t, settings(endpoint, k)) // it is kept
		wantToken(t, o, 2)
		time.Sleep(80 * time.Minute)
		wantToken(t, o, 2)
		synctest.Wait()
		third := wantToken(t, o, 3)
		time.Sleep(50 * time.Minute)
		if _, err := o.Token(t.Context(), third); err != nil {
			t.Fatal(err)
		}
		if st := o.Status(); st.NextRefresh.Sub(st.Obtained) != 40*time.Minute {
			t.Errorf("status %+v", st)
		}
	})
}

func TestCallerWhoLeavesDuringTheReplaysRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, no)
		o := newOAuth2(t, settings(policytest.NewUpstream(t, issued(1), slow(5*time.Second, issued(2))), nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "").WithContext(ctx)
		if a := policytest.Do(auth.Wrap(o, nil)(up), req); a.Status != 401 || a.Took != time.Second {
			t.Errorf("answer %+v", a)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		wantToken(t, o, 2)
	})
}

// Some endpoints give the token that they gave before, for as long as it lives: they
// vouch for it, and the 401 is about something else.
func TestTokenThatTheEndpointGivesAgainIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, issued(1), issued(1), issued(1))
		o := newOAuth2(t, settings(endpoint, nil))
		for _, requests := range []int{2, 2, 3} { // the second time it is too early to ask again
			token := wantToken(t, o, 1)
			if again, err := o.Token(t.Context(), token); err != nil || again != token {
				t.Errorf("got %v, %v: want the same", again, err)
			}
			if n := endpoint.Tries(); n != requests {
				t.Errorf("%d requests, want %d", n, requests)
			}
			time.Sleep(2500 * time.Millisecond)
		}
	})
}

func TestCompressedRefusalIsUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		io.WriteString(z, `{"error":"MISSING_SCOPE"}`)
		z.Close()
		s := settings(policytest.NewUpstream(t, issued(1)), nil)
		s.NotExpiry = []string{"MISSING_SCOPE"}
		up := policytest.NewUpstream(t, policytest.Step{Status: 401, Body: body.String(), Header: http.Header{"Content-Encoding": {"gzip"}}})
		answer := policytest.Do(auth.Wrap(newOAuth2(t, s), nil)(up), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if answer.Status != 401 || answer.Body != body.String() {
			t.Errorf("answer %+v", answer)
		}
	})
}

// The replay is refused with a token that was there already: it is replaced for the
// next call, and this one gets its answer at once.
func TestSecondRefusalOfAnOlderTokenIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, issued(1), issued(2), slow(time.Second, issued(3)))
		o := newOAuth2(t, settings(endpoint, nil))
		wantToken(t, o, 1)
		up := policytest.NewUpstream(t, slow(2*time.Hour, no), no, yes)
		client := auth.Wrap(o, nil)(up)
		go func() { time.Sleep(90 * time.Minute); wantToken(t, o, 2) }()
		get := func() policytest.Answer {
			return policytest.Do(client, policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		}
		if a := get(); a.Status != 401 || a.Took != 2*time.Hour || a.Body != no.Body {
			t.Errorf("answer %+v", a)
		}
		if a := get(); a.Status != 200 {
			t.Errorf("answer %+v", a)
		}
		wantAuthorization(t, up, "access-0001 access-0002 access-0003")
	})
}
