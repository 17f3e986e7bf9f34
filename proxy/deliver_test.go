package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/policy/policytest"
	"outrider/proxy"
	"outrider/proxy/outbox"
	"outrider/proxy/telemetry"
)

// delivering is a Delivery to one upstream, crm, with policies.
func delivering(t *testing.T, policies string, steps ...policytest.Step) (*proxy.Delivery, *policytest.Upstream) {
	t.Helper()
	provider := policytest.NewUpstream(t, steps...)
	live := &policy.Live{}
	live.Publish(compile(t, "[upstream.crm]\nurl = \"https://crm.test/base\"\nhosts = [\"crm.test\", \"*.crm.example\"]\nauth = { type = \"bearer\", token = \"env:TOKEN\" }\n"+policies, provider))
	told, err := telemetry.New(context.Background(), telemetry.Settings{LogOutput: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	return &proxy.Delivery{Live: live, Telemetry: told, Log: told.Logger()}, provider
}

func compile(t *testing.T, document string, transport http.RoundTripper) *policy.Set {
	t.Helper()
	file, err := config.Parse("test.toml", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Compile(file, policy.Env{
		Transport: func(*config.Upstream) (http.RoundTripper, error) { return wired{transport}, nil },
		Jitter:    policytest.Jitter(0.5),
		NewKey:    func() string { return "minted" },
		Secret:    func(config.Reference) (string, error) { return "secret", nil },
		Observe:   func(context.Context, policy.Event) {},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// wired is a transport that tells when a request reaches the wire.
type wired struct{ http.RoundTripper }

func (w wired) RoundTrip(r *http.Request) (*http.Response, error) {
	httptrace.ContextClientTrace(r.Context()).WroteHeaders()
	return w.RoundTripper.RoundTrip(r)
}

// leaving is a letter whose departures are counted.
func leaving(l *outbox.Letter, body string, refused error) (*outbox.Sending, *int) {
	if l.Method == "" {
		l.Method = http.MethodPost
	}
	l.ID, l.Upstream, l.BodySize = "letter-1", "crm", int64(len(body))
	departed := 0
	return &outbox.Sending{
		Letter: l, Attempt: 1,
		Body: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
		Depart: func(context.Context) error {
			departed++
			return refused
		},
	}, &departed
}

// A letter has what it was given, the credential of now, and its key in each attempt.
func TestLetterGoesThroughThePoliciesOfItsUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, provider := delivering(t, "retry = { attempts = 3, base = \"2s\", cap = \"2s\", budget = 1, idempotency_header = \"Idempotency-Key\" }\n",
			policytest.Step{Status: 503, Delay: time.Second}, policytest.Step{Status: 201, Delay: time.Second, Body: "made"})
		sending, departed := leaving(&outbox.Letter{
			Target: "/base//a%2Fb?x=1+2", Header: http.Header{"X-Own": {"1"}}, KeyHeader: "idempotency-key", Key: "k1", Host: "eu.crm.example",
		}, "hello", nil)
		began := time.Now()
		out := d.Send(t.Context(), sending)
		if out.Verdict != outbox.Delivered || out.Wire != 2 || out.TraceID == "" || !out.Started.Equal(began) || out.Took != 3*time.Second || *departed != 2 {
			t.Errorf("the outcome is %+v after %d departures", out, *departed)
		}
		if body, err := io.ReadAll(out.Response.Body); err != nil || string(body) != "made" || out.Response.StatusCode != 201 {
			t.Errorf("the answer is %d %q %v", out.Response.StatusCode, body, err)
		}
		_ = out.Response.Body.Close()
		requests := provider.Requests()
		if len(requests) != 2 || provider.OpenBodies() != 0 {
			t.Fatalf("%d requests, %d bodies open", len(requests), provider.OpenBodies())
		}
		for _, r := range requests {
			if r.Method != "POST" || r.Target != "/base//a%2Fb?x=1+2" || r.Host != "eu.crm.example" || r.Body != "hello" || r.Header.Get("X-Own") != "1" ||
				r.Header.Get("Idempotency-Key") != "k1" || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("sent was %+v", r)
			}
		}
		calls := d.Telemetry.Recent(telemetry.Filter{})
		if len(calls) != 1 || calls[0].Form != "outbox" || calls[0].Letter != "letter-1" || calls[0].Attempts != 2 || calls[0].Status != 201 || calls[0].ResponseBytes != 4 {
			t.Errorf("told is %+v", *calls[0])
		}
	})
}

// Only its own key is a letter's: one that it got on its way would be another the next time.
// The provider knows none that was made for it before it goes out first, and a 409 is then
// about something else.
func TestLetterHasItsOwnKeyOrNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, provider := delivering(t, "retry = { attempts = 1, idempotency_header = \"Idempotency-Key\", mint_key = true }\n",
			policytest.Step{}, policytest.Step{Status: 409}, policytest.Step{Status: 409}, policytest.Step{Status: 409})
		for i, c := range []struct {
			key   string
			first bool
			want  outbox.Verdict
		}{
			{"", true, outbox.Delivered},
			{"letter-1", true, outbox.Dead},
			{"letter-1", false, outbox.Later},
			{"of the caller", true, outbox.Later},
		} {
			letter := &outbox.Letter{Target: "/x", Key: c.key}
			if c.key != "" {
				letter.KeyHeader = "Idempotency-Key"
			}
			sending, _ := leaving(letter, "hello", nil)
			sending.First = c.first
			out := d.Send(t.Context(), sending)
			if out.Verdict != c.want {
				t.Errorf("%+v: the outcome is %+v", c, out)
			}
			_ = out.Response.Body.Close()
			if got := provider.Requests()[i].Header.Get("Idempotency-Key"); got != c.key {
				t.Errorf("%+v: sent under %q", c, got)
			}
		}
	})
}

// The provider answered, and broke off in the middle of the answer: the line of the sending
// said "ok" beside the error, where that of a call says "fault".
func TestAnswerThatBreaksOffIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := delivering(t, "", policytest.Step{Body: "half", BodyErr: io.ErrUnexpectedEOF})
		sending, _ := leaving(&outbox.Letter{Target: "/x"}, "hello", nil)
		out := d.Send(t.Context(), sending)
		if body, err := io.ReadAll(out.Response.Body); string(body) != "half" || err == nil {
			t.Errorf("the answer is %q, %v", body, err)
		}
		_ = out.Response.Body.Close()
		if told := d.Telemetry.Recent(telemetry.Filter{}); len(told) != 1 || told[0].Class != policy.ClassFault || told[0].Error == "" {
			t.Errorf("told is %+v", told[0])
		}
	})
}

// A sender that has lost a letter, or whose store is away, sends nothing more of it.
func TestLetterThatMayNotLeaveIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, provider := delivering(t, "")
		lost := errors.New("another has it")
		sending, departed := leaving(&outbox.Letter{Target: "/x"}, "hello", lost)
		out := d.Send(t.Context(), sending)
		if out.Verdict != outbox.NotSent || out.Response != nil || !errors.Is(out.Err, lost) || *departed != 1 || provider.Tries() != 0 {
			t.Errorf("the outcome is %+v after %d departures and %d requests", out, *departed, provider.Tries())
		}
	})
}

// With a credential, a letter goes where that belongs by the configuration of now, and
// nowhere else.
func TestLetterToWhatIsNotConfiguredStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, provider := delivering(t, "[upstream.other]\nurl = \"https://other.test\"\n")
		for _, l := range []outbox.Letter{
			{Target: "/x", Host: "elsewhere.test"},
			{Target: "/x", Host: "other.test"},
			{Target: "/x", Connection: "acme"},
		} {
			sending, departed := leaving(&l, "hello", nil)
			out := d.Send(t.Context(), sending)
			if out.Verdict != outbox.NotSent || out.After != time.Minute || out.Err == nil || *departed != 0 {
				t.Errorf("%+v: the outcome is %+v", l, out)
			}
		}
		sending, _ := leaving(&outbox.Letter{Target: "/x"}, "", nil)
		sending.Upstream = "gone"
		if out := d.Send(t.Context(), sending); out.Verdict != outbox.NotSent || d.Serves("gone") || !d.Serves("crm") {
			t.Errorf("an upstream that is gone: %+v", out)
		}
		if provider.Tries() != 0 {
			t.Errorf("%d requests were sent", provider.Tries())
		}
	})
}

// Sending a large body over a thin line takes longer than an answer may. The clock for the
// answer begins when the last of it has gone.
func TestLargeLetterIsNotASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, provider := delivering(t, "timeout = \"60s\"\nattempt_timeout = \"10s\"\nretry = { attempts = 1 }\n", policytest.Step{Delay: 9 * time.Second})
		sending, _ := leaving(&outbox.Letter{Target: "/x", Method: http.MethodPut, Idempotent: true}, "", nil)
		sending.BodySize = 20
		sending.Body = func() (io.ReadCloser, error) { return io.NopCloser(&trickle{left: 20}), nil }
		began := time.Now()
		out := d.Send(t.Context(), sending)
		if out.Verdict != outbox.Delivered || time.Since(began) != 109*time.Second {
			t.Errorf("after %s the outcome is %+v", time.Since(began), out)
		}
		if out.Response != nil {
			_ = out.Response.Body.Close()
		}
		if r := provider.Requests(); len(r) != 1 || len(r[0].Body) != 20 {
			t.Errorf("sent was %+v", r)
		}
	})
}

// trickle gives a byte every five seconds.
type trickle struct{ left int }

func (r *trickle) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(5 * time.Second)
	r.left--
	p[0] = 'x'
	return 1, nil
}

// A defect in us must not cost the letters of others, nor double this one.
func TestDefectCostsOneLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			letter outbox.Letter
			want   outbox.Verdict
		}{
			"what may be sent again":     {outbox.Letter{Target: "/x", Idempotent: true}, outbox.Later},
			"what may have been applied": {outbox.Letter{Target: "/x"}, outbox.Unknown},
		} {
			d, _ := delivering(t, "retry = { attempts = 1 }\n", policytest.Step{Do: func(*http.Request) { panic("canary") }})
			sending, _ := leaving(&c.letter, "hello", nil)
			out := d.Send(t.Context(), sending)
			if out.Verdict != c.want || out.Err == nil || strings.Contains(out.Err.Error(), "canary") {
				t.Errorf("%s: the outcome is %+v", name, out)
			}
		}
	})
}

// What breaks off at the end of an answer is told, but not to the client, of whom there is none.
func TestSenderThatBreaksOffTellsSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := delivering(t, "retry = { attempts = 1 }\n", policytest.Step{Hang: true})
		sending, _ := leaving(&outbox.Letter{Target: "/x", Idempotent: true}, "hello", nil)
		ctx, breakOff := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, breakOff)
		out := d.Send(ctx, sending)
		if out.Verdict != outbox.Later || out.Took != 3*time.Second || out.Err == nil {
			t.Errorf("the outcome is %+v", out)
		}
		if calls := d.Telemetry.Recent(telemetry.Filter{}); len(calls) != 1 || calls[0].Class != policy.ClassClientGone {
			t.Errorf("told is %+v", calls)
		}
	})
}

func TestKeyAgeIsThatOfTheRule(t *testing.T) {
	d, _ := delivering(t, "retry = { idempotency_header = \"Idempotency-Key\", key_age = \"12h\" }\n[[upstream.crm.rule]]\nmatch = \"/base/short\"\nretry = { key_age = \"1h\" }\n")
	for target, want := range map[string]time.Duration{"/base/x": 12 * time.Hour, "/base/short?x": time.Hour} {
		if got := d.KeyAge(&outbox.Letter{Upstream: "crm", Method: "POST", Target: target}); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	if got := d.KeyAge(&outbox.Letter{Upstream: "gone", Method: "POST", Target: "/x"}); got != 0 {
		t.Errorf("of no upstream: %s", got)
	}
}
