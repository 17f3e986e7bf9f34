package stale_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/policytest"
	"outrider/policy/stale"
)

const minutes = 10 * time.Minute

func TestFailureIsAnsweredWithTheLastGoodAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, minutes, good("one"), good("two", "Content-Type: text/plain"), failed, broken)
		r.get()
		time.Sleep(time.Minute)
		r.get()
		time.Sleep(90 * time.Second)

		want := header("Content-Type: text/plain", "Age: 90", `Cache-Status: outrider; fwd=stale; fwd-status=503; detail="status 503"`)
		if a := r.get(); a.Status != 200 || a.Body != "two" || !reflect.DeepEqual(a.Header, want) {
			t.Errorf("answered %d %q %v, want two with %v", a.Status, a.Body, a.Header, want)
		}
		if a := r.get(); a.Header.Get("Cache-Status") != `outrider; fwd=stale; detail="no answer"` {
			t.Errorf("Cache-Status is %q", a.Header.Get("Cache-Status"))
		}
		if want := []string{"status 503 after 1m30s", "no answer after 1m30s"}; !reflect.DeepEqual(r.given, want) {
			t.Errorf("told %q, want %q", r.given, want)
		}
		if n := r.OpenBodies(); n != 0 {
			t.Errorf("%d bodies are open: that of the failure was not closed", n)
		}
	})
}

func TestFailureWithoutAnEarlierAnswerIsTheAnswer(t *testing.T) {
	r := newRig(t, minutes, failed, broken)
	if a := r.get(); a.Status != 503 || a.Body != "sorry" {
		t.Errorf("answered %d %q", a.Status, a.Body)
	}
	if a := r.get(); !errors.Is(a.Err, errBroken) {
		t.Errorf("ended with %v", a.Err)
	}
	r.empty()
}

func TestNothingIsGivenThatIsOlderThanAllowed(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  string // its headers, one a line
		request string
		age     time.Duration // the oldest that is given; negative: none is
	}{
		{"as configured", "", "", minutes},
		{"it came from a cache", "Age: 100", "", minutes - 100*time.Second},
		{"stale-if-error alone", "Cache-Control: stale-if-error=60", "", time.Minute},
		{"stale-if-error beyond what is fresh", "Cache-Control: max-age=30, stale-if-error=60", "", 90 * time.Second},
		{"stale-if-error is longer than ours", "Cache-Control: stale-if-error=86400", "", minutes},
		{"stale-if-error that cannot be read", "Cache-Control: max-age=30, stale-if-error=soon", "", 30 * time.Second},
		{"fresh by Expires", "Cache-Control: must-revalidate\nDate: Sat, 01 Jan 2000 00:00:00 GMT\nExpires: Sat, 01 Jan 2000 00:00:20 GMT", "", 20 * time.Second},
		{"must-revalidate", "Cache-Control: max-age=30, must-revalidate", "", 30 * time.Second},
		{"must-revalidate, and not fresh at all", "Cache-Control: must-revalidate", "", -1},
		{"must-revalidate goes before stale-if-error", `Cache-Control: Max-Age="30", stale-if-error=600, MUST-REVALIDATE`, "", 30 * time.Second},
		{"private", "Cache-Control: private, max-age=0", "", minutes},
		{"no-store", "Cache-Control: no-store", "", -1},
		{"no-cache", "Cache-Control: max-age=600\nCache-Control: no-cache", "", -1},
		{"no-cache for a field", `Cache-Control: no-cache="x, y"`, "", -1},
		{"the words of an extension are none of ours", `Cache-Control: note="no-store, no-cache"`, "", minutes},
		{"the request wants what is new", "", "Cache-Control: no-cache", -1},
		{"the request wants what is new, as in HTTP/1.0", "", "Pragma: no-cache", -1},
		{"the request wants nothing kept", "", "Cache-Control: no-store", -1},
		{"the request has an age", "", "Cache-Control: max-age=5", 5 * time.Second},
		{"the request is reloaded", "", "Cache-Control: max-age=0", -1},
		{"the request has a stale-if-error", "", "Cache-Control: stale-if-error=7", 7 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fine := good("old", strings.FieldsFunc(c.answer, func(r rune) bool { return r == '\n' })...)
				r := newRig(t, minutes, fine, failed, failed)
				var request []string
				if c.request != "" {
					request = append(request, c.request)
				}
				r.get(request...)
				if c.age < 0 {
					r.gives(r.get(request...), "")
					return
				}
				time.Sleep(c.age)
				r.gives(r.get(request...), "old")
				time.Sleep(1)
				r.gives(r.get(request...), "")
			})
		})
	}
}

func TestWhatIsNoWholeAnswerToARequestIsNotKept(t *testing.T) {
	for _, c := range []struct {
		name string
		step policytest.Step
	}{
		{"a part", policytest.Step{Status: 206, Body: "old"}},
		{"created", policytest.Step{Status: 201, Body: "old"}},
		{"not there", policytest.Step{Status: 404, Body: "old"}},
		{"a redirect for now", policytest.Step{Status: 302, Body: "old"}},
		{"it sets a cookie", good("old", "Set-Cookie: a=b")},
		{"it depends on what nobody knows", good("old", "Vary: Accept, *")},
		{"it depends on what changes with each call", good("old", "Vary: Accept, x-request-id")},
		{"a stream of events", good("old", "Content-Type: text/event-stream; charset=utf-8")},
		{"trailers", policytest.Step{Body: "old", Trailer: header("Checksum: 1")}},
		{"it broke off", policytest.Step{Body: "old", BodyErr: errBroken}},
		{"too long", good(strings.Repeat("x", stale.MaxBody+1))},
		{"too long, which is not said before", policytest.Step{Body: strings.Repeat("x", stale.MaxBody+1), Trailer: http.Header{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, minutes, c.step, failed)
			r.get()
			r.gives(r.get(), "")
			r.empty()
		})
	}
}

func TestWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		name string
		step policytest.Step
		body string
	}{
		{"the longest", good(strings.Repeat("x", stale.MaxBody)), strings.Repeat("x", stale.MaxBody)},
		{"nothing", policytest.Step{}, ""},
		{"a redirect for ever", policytest.Step{Status: 308, Header: header("Location: /there")}, ""},
		{"it depends on a header that is compared", good("old", "Vary: Accept-Encoding, Accept"), "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, minutes, c.step, failed)
			first := r.get()
			if a := r.get(); a.Status != first.Status || a.Body != c.body || a.Header.Get("Location") != first.Header.Get("Location") {
				t.Errorf("answered %d with %d bytes, want %d with %d", a.Status, len(a.Body), first.Status, len(c.body))
			}
		})
	}
}

func TestBodyThatTheCallerDidNotReadToItsEndIsNotKept(t *testing.T) {
	r := newRig(t, minutes, good("old"), failed)
	resp, err := r.rt.RoundTrip(policytest.NewRequest(t, "GET", target, ""))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Body.Read(make([]byte, 1))
	_ = resp.Body.Close()
	r.gives(r.get(), "")
	r.empty()
}

// Both have headers of their own, and the length of a HEAD is not that of its body.
func TestHeadIsAnsweredAsHead(t *testing.T) {
	r := newRig(t, minutes, good("", "Content-Length: 300000"), failed, failed)
	r.do("HEAD", target)
	if a := r.do("HEAD", target); a.Status != 200 || a.Header.Get("Content-Length") != "300000" {
		t.Errorf("answered %d %v", a.Status, a.Header)
	}
	r.gives(r.get(), "")
}

func TestOnlyTheSameRequestGetsAnEarlierAnswer(t *testing.T) {
	same := []string{"Accept: text/plain", "Authorization: mine", "Traceparent: 1", "X-Request-Id: 1", `If-None-Match: "1"`}
	for _, c := range []struct {
		name    string
		url     string
		headers []string
		old     bool
	}{
		{"the same", target, same, true},
		{"what changes from call to call", target, []string{"Accept: text/plain", "Authorization: mine", "Traceparent: 2", "X-Datadog-Trace-Id: 4", "Cache-Control: max-age=60"}, true},
		{"another page", "https://api.test/things?page=2", same, false},
		{"another host", "https://other.test/things?page=1", same, false},
		{"another Accept", target, []string{"Accept: text/html", "Authorization: mine"}, false},
		{"one header less", target, []string{"Authorization: mine"}, false},
		{"another caller's own credential", target, []string{"Accept: text/plain", "Authorization: theirs"}, false},
		{"another caller's own credential, wherever it is", target, []string{"Accept: text/plain", "Authorization: mine", "X-Shop-Token: theirs"}, false},
		{"another credential of ours", target, append([]string{"Credential: acme"}, same...), false},
		{"another tenant, by the context that is passed along", target, append([]string{"Baggage: tenant=theirs"}, same...), false},
		{"another trace, in the same field", target, append([]string{"Baggage: sentry-trace_id=2 , sentry-sampled=true;p"}, same...), true},
		{"only if it is still another one", target, append([]string{`If-Match: "2"`}, same...), false},
		{"only if it has not changed since", target, append([]string{"If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"}, same...), false},
		{"a part", target, append([]string{"Range: bytes=0-1"}, same...), false},
		{"an upgrade", target, append([]string{"Upgrade: websocket"}, same...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, minutes, good("old"), failed)
			r.get(same...)
			body := ""
			if c.old {
				body = "old"
			}
			r.gives(r.do("GET", c.url, c.headers...), body)
		})
	}
}

// A search is often a GET with a body: what is asked for is in there.
func TestRequestWithABodyIsNoneOfOurs(t *testing.T) {
	r := newRig(t, minutes, good("old"), failed)
	for _, query := range []string{"cats", "dogs"} {
		if a := policytest.Do(r.rt, policytest.NewRequest(t, "GET", target, query)); query == "dogs" && a.Status != 503 {
			t.Errorf("who asked for dogs got %q", a.Body)
		}
	}
	r.empty()
}

func TestLaterAnswerTakesThePlaceOfAnEarlierOne(t *testing.T) {
	for _, c := range []struct {
		name string
		step policytest.Step
		want string // what is given afterwards
	}{
		{"another one", good("new"), "new"},
		{"not to be kept", good("new", "Cache-Control: no-store"), ""},
		{"too long", good(strings.Repeat("x", stale.MaxBody+1)), ""},
		{"gone", policytest.Step{Status: 410}, ""},
		{"not there", policytest.Step{Status: 404}, ""},
		{"elsewhere for now", policytest.Step{Status: 307}, ""},
		{"not for you any more", policytest.Step{Status: 403}, ""},
		{"not changed", policytest.Step{Status: 304}, "old"},
		{"come later", throttle, "old"},
		{"it cannot be understood", policytest.Step{Status: 400}, "old"},
		{"it broke off", policytest.Step{Body: "ne", BodyErr: errBroken}, "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, minutes, good("old"), c.step, failed)
			r.get()
			r.get()
			r.gives(r.get(), c.want)
		})
	}
}

func TestChangeForgetsWhatItChanged(t *testing.T) {
	for _, c := range []struct {
		method string
		step   policytest.Step
		old    bool
	}{
		{"PUT", good("done"), false},
		{"DELETE", policytest.Step{Status: 204}, false},
		{"POST", policytest.Step{Status: 303}, false},
		{"POST", policytest.Step{Status: 422}, true},
		{"QUERY", good("found"), true},
		{"OPTIONS", good("these"), true},
	} {
		t.Run(c.method, func(t *testing.T) {
			r := newRig(t, minutes, good("old"), good("other"), c.step, failed, failed)
			r.get("Credential: acme")
			r.do("GET", target+"0")
			r.rt = r.stage(0) // a rule that keeps nothing
			r.do(c.method, target)
			r.rt = r.stage(minutes)
			body := ""
			if c.old {
				body = "old"
			}
			r.gives(r.get("Credential: acme"), body)
			r.gives(r.do("GET", target+"0"), "other")
		})
	}
}

// What was asked for before a change shows the state before it, although its answer may
// have come to its end afterwards.
func TestAnswerThatIsUnderWayDuringAChangeIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, minutes, policytest.Step{Body: "old", BodyDelay: time.Second}, good("done"), failed)
		done := make(chan policytest.Answer)
		go func() { done <- r.get() }()
		synctest.Wait()
		r.do("PUT", target)
		r.gives(<-done, "old")
		r.gives(r.get(), "")
		r.empty()
	})
}

func TestSlowAnswerDoesNotTakeThePlaceOfALaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, minutes, policytest.Step{Body: "slow", BodyDelay: 2 * time.Second}, good("later"), failed)
		done := make(chan policytest.Answer)
		go func() { done <- r.get() }()
		time.Sleep(time.Second)
		r.get()
		r.gives(<-done, "slow")
		r.gives(r.get(), "later")
	})
}

func TestCallThatPanicsLeavesNothingBehind(t *testing.T) {
	r := newRig(t, minutes, policytest.Step{Do: func(*http.Request) { panic("defect") }}, good("old"), failed)
	func() {
		defer func() { _ = recover() }()
		r.get()
	}()
	r.get()
	r.gives(r.get(), "old")
}

func TestForgottenCredentialHasNothing(t *testing.T) {
	r := newRig(t, minutes, good("old"), good("old"), failed, failed)
	r.get("Credential: acme")
	r.get("Credential: other")
	r.store.Forget(func(credential string) bool { return credential == "api.test acme" })
	r.gives(r.get("Credential: acme"), "")
	r.gives(r.get("Credential: other"), "old")
}

// The credential by one name may be another account's, from one call to the next.
func TestAnswerIsGivenToItsOwnerOnly(t *testing.T) {
	r := newRig(t, minutes, good("of one"), failed, good("of two"), failed, failed)
	r.owner = "one"
	r.get()
	r.owner = "two"
	r.gives(r.get(), "")
	r.get()
	r.gives(r.get(), "of two")
	r.owner = "one"
	r.gives(r.get(), "")
}

// What came of an earlier answer must not come of the one that is given: a caller writes
// to the headers on the way.
func TestAnswerIsGivenAsItCame(t *testing.T) {
	r := newRig(t, minutes, good("old", "Link: <a>", "Cache-Status: cdn; hit"), failed, failed)
	r.get().Header["Link"][0] = "changed"
	r.get().Header["Cache-Status"][0] = "changed"
	a := r.get()
	if got := a.Header.Get("Link"); got != "<a>" {
		t.Errorf("Link is %q", got)
	}
	if got := a.Header["Cache-Status"]; len(got) != 2 || got[0] != "cdn; hit" {
		t.Errorf("Cache-Status is %q: ours comes behind the others", got)
	}
}
