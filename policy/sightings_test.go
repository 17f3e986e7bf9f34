package policy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// notices are the endpoints that events told of.
func (r *rig) notices() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, e := range r.events {
		if e.Kind == policy.EventNotice {
			told = append(told, e.Reason+" of "+e.Key)
		}
	}
	return told
}

func TestNoticeOfAnEndpointIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := policytest.Step{Times: -1, Header: http.Header{"Deprecation": {"@1688169599"}, "Sunset": {"Sat, 31 Dec 2026 23:59:59 GMT"}}}
		r := newRig(t, policytest.NewUpstream(t, old))
		set := r.compile(plain, nil)
		for _, path := range []string{"/v1/orders/17", "/v1/orders/18", "/v1/users/me"} {
			call(t, set, "GET", path, "")
		}
		set = r.compile(plain, set) // which is no news either
		call(t, set, "GET", "/v1/orders/19", "")
		want := []string{"sunset of GET api.test/v1/orders/*", "sunset of GET api.test/v1/users/me"}
		if got := r.notices(); !slices.Equal(got, want) {
			t.Errorf("told of %q, want %q", got, want)
		}
		u, _ := set.ByName("api")
		for _, n := range u.Notices() {
			if n.Endpoint == "GET api.test/v1/orders/*" && (n.Answers != 3 || !n.Sunset.Equal(time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC))) {
				t.Errorf("it is %+v", n)
			}
		}
		time.Sleep(8 * 24 * time.Hour)
		if left := u.Notices(); len(left) > 0 {
			t.Errorf("after eight days without one: %+v", left)
		}
		call(t, set, "GET", "/v1/orders/20", "")
		if got := r.notices(); !slices.Equal(got, append(want, want[0])) {
			t.Errorf("told of %q, want the first again", got)
		}
	})
}

// Paths with names in them are endpoints without end: a hundred alerts say nothing that five
// do not.
func TestNoticeOfManyEndpointsIsToldOfTheFirst(t *testing.T) {
	r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1, Header: http.Header{"Deprecation": {"true"}}}))
	set := r.compile(plain, nil)
	for i := range 300 {
		call(t, set, "GET", "/repos/"+strings.Repeat("a", i%20+1)+"/"+strings.Repeat("b", i/20+1), "")
	}
	got := r.notices()
	if len(got) != 6 || got[5] != "deprecation of other endpoints of api.test" {
		t.Errorf("told of %q", got)
	}
}

// A provider that repeats what it was sent, in a warning, would have it told to everybody.
func TestNoticeShowsNoSecret(t *testing.T) {
	r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1, Header: http.Header{"Warning": {`299 - "secret-of-TOKEN is old"`}}}))
	set := r.compile(plain+`auth = { type = "bearer", token = "env:TOKEN" }`, nil)
	call(t, set, "GET", "/bot123456:AAF-abc/getMe", "")
	u, _ := set.ByName("api")
	got := fmt.Sprintf("%+v", u.Notices())
	if strings.Contains(got, "secret-of-TOKEN") || strings.Contains(got, "AAF") || !strings.Contains(got, "GET api.test/*/getMe") || !strings.Contains(got, "is old") {
		t.Errorf("it is %s", got)
	}
}

func TestClockIsComparedWithThatOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(off time.Duration) policytest.Step {
			return policytest.Step{Do: nil, Header: http.Header{"Date": {time.Now().Add(off).UTC().Format(http.TimeFormat)}}}
		}
		script := []policytest.Step{date(0), date(90 * time.Second), date(2 * time.Minute), date(3 * time.Minute), date(30 * time.Second)}
		script[3].Header.Set("Age", "60")
		set := newRig(t, policytest.NewUpstream(t, script...)).compile(plain, nil)
		u, _ := set.ByName("api")
		for i, want := range []struct {
			ahead time.Duration
			wrong int
		}{
			{0, 0},
			{0, 0}, // five seconds later: nobody looks
			{110 * time.Second, 1},
			{110 * time.Second, 1}, // out of a cache
			{0, 0},
		} {
			call(t, set, "GET", "/", "")
			if clock := u.Clock(); clock.Ahead != want.ahead || clock.Wrong != want.wrong {
				t.Errorf("after answer %d: %+v, want %+v", i, clock, want)
			}
			if i == 0 || i == 1 {
				time.Sleep(5 * time.Second)
			} else {
				time.Sleep(10 * time.Second)
			}
		}
	})
}

// shows is a transport over which hosts show a certificate.
type shows struct {
	http.RoundTripper
	certificate *x509.Certificate
}

func (s *shows) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{s.certificate}}
	}
	return resp, err
}

func TestCertificateOfAHostIsTheLatestThatItShowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := &shows{RoundTripper: policytest.NewUpstream(t, policytest.Step{Times: -1})}
		set := newRig(t, over).compile(plain, nil)
		u, _ := set.ByName("api")
		for range 2 {
			over.certificate = &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
			call(t, set, "GET", "/", "")
			want := []policy.CertificateSighting{{Host: "api.test", Begin: time.Now(), End: time.Now().Add(time.Hour)}}
			if got := u.Certificates(); !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// visit has a plain call go to an URL.
func visit(t *testing.T, set *policy.Set, url, authorization string) {
	t.Helper()
	u, _ := set.ByName("api")
	req := policytest.NewRequest(t, "GET", url, "")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	policytest.Do(u.Plan("GET", "/"), req.WithContext(policy.WithCall(req.Context(), &policy.Call{Upstream: "api"})))
}

// One look in ten seconds was for all hosts of an upstream: that at a host which is called
// once an hour, beside another that is called without end, nearly never came again. Its
// certificate was renewed, and people were told that it ends.
func TestCertificateOfARareHostIsLookedAtToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := &shows{RoundTripper: policytest.NewUpstream(t, policytest.Step{Times: -1})}
		set := newRig(t, over).compile("[upstream.api]\nurl = \"https://api.test\"\nhosts = [\"api.test\", \"*.api.test\"]\n", nil)
		u, _ := set.ByName("api")
		for range 2 {
			over.certificate = &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
			visit(t, set, "https://api.test/", "")
			visit(t, set, "https://rare.api.test/", "")
			got := u.Certificates()
			slices.SortFunc(got, func(a, b policy.CertificateSighting) int { return strings.Compare(a.Host, b.Host) })
			want := []policy.CertificateSighting{{Host: "api.test", Begin: time.Now(), End: over.certificate.NotAfter}, {Host: "rare.api.test", Begin: time.Now(), End: over.certificate.NotAfter}}
			if !slices.Equal(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			time.Sleep(10 * time.Second)
		}
		// A host that nobody calls any more is nobody's trouble when its certificate ends.
		time.Sleep(24*time.Hour - 10*time.Second - 1)
		if got := u.Certificates(); len(got) != 2 {
			t.Errorf("within a day: %+v", got)
		}
		visit(t, set, "https://api.test/", "")
		time.Sleep(1)
		if got := u.Certificates(); len(got) != 1 || got[0].Host != "api.test" {
			t.Errorf("after a day: %+v", got)
		}
	})
}

// A token that is replaced by one without an end ended all the same, for good; and one was
// told of by the name of each rule that its calls matched.
func TestEndOfATokenIsThatOfTheOneInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		says := func(end string) policytest.Step {
			return policytest.Step{Header: http.Header{"Github-Authentication-Token-Expiration": {end}}}
		}
		r := newRig(t, policytest.NewUpstream(t, says("2000-01-04 00:00:00 UTC"), says("2000-01-04 00:00:00 UTC"), policytest.Step{}, says("2000-02-01 00:00:00 UTC"), policytest.Step{Times: -1}))
		secret := "first"
		r.env.Secret = func(config.Reference) (string, error) { return secret, nil }
		set := r.compile(plain+`auth = { type = "bearer", token = "file:/t" }
[[upstream.api.rule]]
match = "GET /users"
retry.attempts = 1
`, nil)
		u, _ := set.ByName("api")
		want := func(want ...string) {
			t.Helper()
			var got []string
			for _, e := range u.Ends() {
				got = append(got, e.Credential+" "+e.At.Format(time.DateOnly))
			}
			if !slices.Equal(got, want) {
				t.Errorf("ends are %q, want %q", got, want)
			}
		}
		call(t, set, "GET", "/repos", "")
		call(t, set, "GET", "/users", "")
		want("default 2000-01-04")
		call(t, set, "GET", "/repos", "") // of which the provider says nothing
		want("default 2000-01-04")
		secret = "second"
		call(t, set, "GET", "/repos", "")
		want("default 2000-02-01")
		secret = "third"
		call(t, set, "GET", "/repos", "")
		want()
	})
}

// Of two callers each has a token of its own: the one that ends first is told, whoever
// called last.
func TestEndOfCallersTokensIsTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := policytest.Step{Header: http.Header{"Github-Authentication-Token-Expiration": {"2001-01-01 00:00:00 UTC"}}}
		short := policytest.Step{Header: http.Header{"Github-Authentication-Token-Expiration": {"2000-01-04 00:00:00 UTC"}}}
		set := newRig(t, policytest.NewUpstream(t, long, short, long)).compile(plain, nil)
		u, _ := set.ByName("api")
		for i, token := range []string{"long", "short", "long"} {
			visit(t, set, "https://api.test/", "Bearer "+token)
			want := []string{"2001-01-01", "2000-01-04", "2000-01-04"}[i]
			if ends := u.Ends(); len(ends) != 1 || ends[0].At.Format(time.DateOnly) != want || ends[0].Credential != "passthrough" {
				t.Errorf("after the call with the %s one: %+v, want %s", token, ends, want)
			}
		}
		time.Sleep(8 * 24 * time.Hour)
		if ends := u.Ends(); len(ends) > 0 {
			t.Errorf("after eight days without a call: %+v", ends)
		}
	})
}

func TestEndsOfCredentialsAreKnown(t *testing.T) {
	// {"exp":1800000000}: the fifteenth of January, 2027
	const token = "e30.eyJleHAiOjE4MDAwMDAwMDB9.c2ln"
	r := newRig(t, policytest.NewUpstream(t, policytest.Step{Times: -1,
		Header: http.Header{"Github-Authentication-Token-Expiration": {"2026-07-24 04:29:05 UTC"}}}))
	r.env.Secret = func(ref config.Reference) (string, error) {
		return token + strings.TrimPrefix(string(ref), "env:"), nil
	}
	set := r.compile(`
[upstream.api]
url = "https://api.test"
auth = { type = "bearer", token = "env:T", expires = "2026-12-31" }
connection.acme = { token = "env:ACME", expires = "2026-06-01" }
[[upstream.api.rule]]
match = "GET /free"
auth = { type = "none" }
`, nil)
	u, _ := set.ByName("api")
	list := func() []string {
		var all []string
		for _, e := range u.Ends() {
			all = append(all, fmt.Sprintf("%s of %s, %s: %s", e.What, e.Credential, e.At.UTC().Format(time.DateTime), e.Source))
		}
		slices.Sort(all)
		return all
	}
	configured := []string{
		"credential of connection acme, 2026-06-01 00:00:00: expires in the configuration",
		"credential of default, 2026-12-31 00:00:00: expires in the configuration",
	}
	if got := list(); !slices.Equal(got, configured) {
		t.Errorf("before the first call: %q, want %q", got, configured)
	}
	call(t, set, "GET", "/", "")
	want := append(configured, "token of default, 2026-07-24 04:29:05: the provider", "token of default, 2027-01-15 08:00:00: the token itself")
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("after it: %q, want %q", got, want)
	}
}
