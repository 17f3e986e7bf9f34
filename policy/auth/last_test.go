package auth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

// waiting is a stage that holds a request back, as a queue does, and tells its
// credential so.
func waiting(d time.Duration) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			auth.Until(req.Context(), time.Now().Add(d))
			time.Sleep(d)
			return next.RoundTrip(req)
		})
	}
}

// lasting is the chain of a credential around a wait.
func lasting(src auth.Source, d time.Duration, up http.RoundTripper) http.RoundTripper {
	return auth.Wrap(src, nil)(waiting(d)(auth.WrapLast(src, nil)(up)))
}

// living is a step of a token endpoint that gives the n-th pair, for so many seconds.
func living(n int, seconds string) policytest.Step {
	step := issued(n)
	step.Body = strings.Replace(step.Body, `3600`, seconds, 1)
	return step
}

func TestTokenThatDiesInLineIsReplacedBeforeTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, living(1, "30"))
		up := policytest.NewUpstream(t, yes)
		answer := policytest.Do(lasting(newOAuth2(t, settings(endpoint, newShelf())), 20*time.Second, up),
			policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if answer.Status != 200 || answer.Took != 20*time.Second || len(endpoint.Requests()) != 1 {
			t.Errorf("a token that lives longer than the wait: %+v, %d token requests", answer, len(endpoint.Requests()))
		}

		began := time.Now()
		up = policytest.NewUpstream(t, yes)
		o := newOAuth2(t, settings(policytest.NewUpstream(t, living(1, "30"), living(2, "3600")), nil))
		answer = policytest.Do(lasting(o, 50*time.Second, up), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		if answer.Status != 200 || answer.Took != 50*time.Second {
			t.Errorf("answer %+v", answer)
		}
		wantAuthorization(t, up, "access-0002")
		if got := o.Status().Obtained; !got.Equal(began) {
			t.Errorf("the successor was fetched %v after the wait began, want at once", got.Sub(began))
		}
	})
}

// Where tokens live for less than calls wait, each newcomer would have fetched one.
func TestTokensThatLiveShorterThanTheWaitAreNotFetchedForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, living(1, "30"), living(2, "30"), living(3, "30"))
		up := policytest.NewUpstream(t, policytest.Step{Times: -1})
		o := newOAuth2(t, settings(endpoint, nil))
		wantToken(t, o, 1)
		for range 20 {
			go policytest.Do(lasting(o, 50*time.Second, up), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
			time.Sleep(time.Millisecond)
		}
		if n := len(endpoint.Requests()); n != 2 {
			t.Errorf("%d token requests for calls that joined the line, want the first and one more", n)
		}
		time.Sleep(time.Minute)
		wantAuthorization(t, up, strings.TrimSpace(strings.Repeat("access-0003 ", 20)))
	})
}

func TestDeadTokenIsNotSentAfterAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, living(1, "30"), policytest.Step{Times: -1, Status: 400, Body: `{"error":"invalid_grant"}`})
		o := newOAuth2(t, settings(endpoint, nil))
		answer := policytest.Do(lasting(o, 50*time.Second, policytest.NewUpstream(t)), policytest.NewRequest(t, "POST", "https://api.test/x", "b"))
		var unavailable *auth.UnavailableError
		if !errors.As(answer.Err, &unavailable) || answer.Took != 50*time.Second {
			t.Errorf("answer %+v: want none, as there is no living token", answer)
		}
	})
}

// The 401 is about the token that was sent, which is not the one that the call began
// its wait with: taken for the older one, it would have caused no refresh.
func TestRefusalAfterAWaitIsAboutTheTokenThatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := policytest.NewUpstream(t, living(1, "30"), living(2, "3600"), living(3, "3600"))
		up := policytest.NewUpstream(t, no, yes)
		o := newOAuth2(t, settings(endpoint, nil))
		answer := policytest.Do(lasting(o, 50*time.Second, up), policytest.NewRequest(t, "POST", "https://api.test/x", "b"))
		if answer.Status != 200 || answer.Took != 100*time.Second {
			t.Errorf("answer %+v", answer)
		}
		wantAuthorization(t, up, "access-0002 access-0003")
	})
}

func TestTokenThatWasSentIsTakenOutOfTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Header: http.Header{"X-Seen": {"Bearer access-0002"}}, Body: "x",
			Trailer: http.Header{"X-Also": {"access-0002"}}})
		set := settings(policytest.NewUpstream(t, living(1, "30"), living(2, "3600")), nil)
		set.Placeholder = "the-placeholder"
		o := newOAuth2(t, set)
		var guarded http.Header
		guard := func(_ context.Context, g *auth.Guard) {
			guarded = http.Header{"X-Early": {"access-0002"}}
			g.Scrub(guarded)
		}
		rt := auth.Wrap(o, guard)(waiting(50 * time.Second)(auth.WrapLast(o, guard)(up)))
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Request != req {
			t.Error("the response leads to a request that has the secret in it")
		}
		answer := policytest.Do(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }), req)
		for name, got := range map[string]string{"header": answer.Header.Get("X-Seen"), "trailer": answer.Trailer.Get("X-Also"), "1xx": guarded.Get("X-Early")} {
			if !strings.Contains(got, "the-placeholder") {
				t.Errorf("%s shows %q", name, got)
			}
		}
	})
}

// The key of a connection is replaced while a call waits that has it in place of a
// placeholder. That does not stand there any more: the request goes out as it is, and the
// refusal is about the key that went out. Taken for one of the new key, it was the answer.
func TestPlaceholderWhoseKeyIsReplacedDuringAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := newShelf()
		k, err := auth.NewKept(auth.Settings{Type: auth.Placeholder, Placeholder: "the-placeholder"}, kept)
		if err != nil {
			t.Fatal(err)
		}
		hand := func(key string) {
			if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret(key)}); err != nil {
				t.Error(err)
			}
			if _, err := k.Look(t.Context()); err != nil {
				t.Error(err)
			}
		}
		hand("key-number-1")
		go func() { time.Sleep(time.Second); hand("key-number-2") }()
		up := policytest.NewUpstream(t, no, yes)
		req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
		req.Header.Set("Authorization", "Token the-placeholder")
		if answer := policytest.Do(lasting(k, 2*time.Second, up), req); answer.Status != 200 {
			t.Errorf("answer %+v", answer)
		}
		wantAuthorization(t, up, "Token key-number-1 Token key-number-2")
	})
}

func TestCredentialsThatDoNotEndHaveNoLastLook(t *testing.T) {
	for _, s := range []auth.Settings{{Type: auth.None}, {Type: auth.Passthrough}, {Type: auth.Bearer, Value: value("x")}} {
		src, err := auth.New(s)
		if err != nil {
			t.Fatal(err)
		}
		if auth.WrapLast(src, nil) != nil {
			t.Errorf("%s has one", s.Type)
		}
	}
}

// What took the place of a placeholder cannot be replaced while the call waits. It was
// taken for the new key all the same, and its refusal for that of the new one: the call
// was not sent again.
func TestKeyInPlaceOfAPlaceholderThatIsReplacedInLine(t *testing.T) {
	kept := newShelf()
	hand := func(value string) {
		if err := auth.IntroduceStatic(t.Context(), kept, auth.Static{Value: auth.NewSecret(value)}); err != nil {
			t.Fatal(err)
		}
	}
	k, err := auth.NewKept(auth.Settings{Type: auth.Placeholder, Placeholder: "the-placeholder-api"}, kept)
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		if _, err := k.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	hand("the-old-key")
	look()
	replacing := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			hand("the-new-key")
			look()
			return next.RoundTrip(req)
		})
	}
	up := policytest.NewUpstream(t, policytest.Step{Status: 401}, yes)
	req := policytest.NewRequest(t, "GET", "https://api.test/x", "")
	req.Header.Set("X-Key", "the-placeholder-api")
	answer := policytest.Do(auth.Wrap(k, nil)(replacing(auth.WrapLast(k, nil)(up))), req)
	if answer.Status != 200 {
		t.Errorf("answer %+v", answer)
	}
	for n, want := range []string{"the-old-key", "the-new-key"} {
		if len(up.Requests()) <= n || up.Requests()[n].Header.Get("X-Key") != want {
			t.Errorf("request %d: want %s", n, want)
		}
	}
}
