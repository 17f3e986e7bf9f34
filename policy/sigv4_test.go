package policy_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy"
	"outrider/policy/auth"
	"outrider/policy/config"
	"outrider/policy/policytest"
)

// signed is an upstream whose calls are signed with the secret secret-of-S.
const signed = `
[upstream.api]
url = "https://dynamodb.eu-west-1.amazonaws.com"
auth = { type = "sigv4", access_key_id = "env:ID", secret_access_key = "env:S" }
`

// sign sends a call to a host through the plan that a document has for it.
func sign(t *testing.T, set *policy.Set, host, body string) policytest.Answer {
	t.Helper()
	u, _ := set.ByName("api")
	req := policytest.NewRequest(t, "PUT", "https://"+host+"/x", body)
	return policytest.Do(u.Plan("PUT", "/x"), req.WithContext(policy.WithCall(req.Context(), &policy.Call{Upstream: "api"})))
}

// A signature is of no use some minutes after its date: what waited for its turn, or
// is sent once more, has the date of the moment in which it goes out.
func TestSignatureIsThatOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		upstream := policytest.NewUpstream(t, policytest.Step{}, policytest.Step{Status: 503}, policytest.Step{})
		set := newRig(t, upstream).compile(signed+`limit = { rate = "1/10m", burst = 1, max_wait = "1h" }`+"\ntimeout = \"1h\"\n", nil)
		for range 2 {
			if answer := sign(t, set, "dynamodb.eu-west-1.amazonaws.com", "{}"); answer.Status != 200 {
				t.Errorf("answer %+v", answer)
			}
		}
		for n, want := range []time.Duration{0, 10 * time.Minute, 20 * time.Minute} {
			s, err := policytest.CheckSigV4(upstream.Requests()[n], "secret-of-S")
			if err != nil || s.At.Sub(began) != want {
				t.Errorf("request %d is signed %v after the beginning, want %v; %v", n+1, s.At.Sub(began), want, err)
			}
		}
	})
}

func TestSigningNeedsToKnowWhatFor(t *testing.T) {
	r := newRig(t, nil)
	for document, want := range map[string]string{
		strings.Replace(signed, "dynamodb.eu-west-1.amazonaws.com", "tables.example.com", 1): `upstream.api.auth.region: is missing: the host tables.example.com does not tell it; such as "eu-west-1"
upstream.api.auth.service: is missing: the host tables.example.com does not tell it; such as "execute-api"`,
		strings.Replace(signed, "dynamodb.eu-west-1", "bucket.s3-accelerate", 1):                                                                          `upstream.api.auth.region: is missing: the host bucket.s3-accelerate.amazonaws.com does not tell it; such as "eu-west-1"`,
		signed + `hosts = ["dynamodb.eu-west-1.amazonaws.com", "tables.example.com", "*.example.org"]` + "\n":                                             `upstream.api.auth.region: is missing: the host tables.example.com does not tell it`,
		signed + `hosts = ["tables.example.com"]` + "\n":                                                                                                  "", // another name for the one of url
		strings.Replace(signed, "dynamodb.eu-west-1.amazonaws.com", "dynamodb.eu-west-1.amazonaws.com\"\nhosts = [\"*.amazonaws.com\"]\nca_file = \"", 1): "",
	} {
		file, err := config.Parse("test.toml", []byte(document))
		if err != nil {
			t.Fatal(err)
		}
		_, err = policy.Compile(file, r.env, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s\ngot  %v\nwant %s", document, err, want)
		}
	}
}

// Each rule had a credential of its own, though it was its upstream's: a wrong clock was
// told to each by a refusal, and what was missing was reported as many times as there were
// rules, under keys that nobody had written.
func TestRulesHaveTheSigningKeyOfTheirUpstream(t *testing.T) {
	const rules = `
[[upstream.api.rule]]
match = "PUT /small"
replay_body = "4B"
[[upstream.api.rule]]
match = "PUT /y"
timeout = "5s"
`
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		upstream := policytest.NewUpstream(t, policytest.Step{Status: 403, Header: http.Header{
			"X-Amzn-Errortype": {"InvalidSignatureException"}, "Date": {began.Add(2 * time.Hour).UTC().Format(http.TimeFormat)},
		}}, policytest.Step{Times: 3})
		set := newRig(t, upstream).compile(signed+rules, nil)
		u, _ := set.ByName("api")
		for _, path := range []string{"/x", "/small", "/y"} {
			policytest.Do(u.Plan("PUT", path), policytest.NewRequest(t, "PUT", "https://dynamodb.eu-west-1.amazonaws.com"+path, "{}"))
		}
		for n, r := range upstream.Requests()[1:] {
			if s, err := policytest.CheckSigV4(r, "secret-of-S"); err != nil || s.At.Sub(began) != 2*time.Hour {
				t.Errorf("request %d is dated %v from our clock; %v", n+2, s.At.Sub(began), err)
			}
		}
		large := policytest.NewRequest(t, "PUT", "https://dynamodb.eu-west-1.amazonaws.com/small", "12345")
		if answer := policytest.Do(u.Plan("PUT", "/small"), large); answer.Err == nil || !strings.Contains(answer.Err.Error(), "replay_body (4 bytes)") {
			t.Errorf("a body that is too large for the rule: %+v", answer)
		}
	})
	for _, document := range []string{
		strings.Replace(signed, "dynamodb.eu-west-1.amazonaws.com\"", "bucket.s3-accelerate.amazonaws.com\"", 1),
		"[upstream.api]\nurl = \"https://api.test\"\nauth = { type = \"bearer\", token = \"env:MISSING\" }\n",
	} {
		file, err := config.Parse("test.toml", []byte(document+rules))
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, nil)
		r.env.Secret = func(ref config.Reference) (string, error) {
			if ref == "env:MISSING" {
				return "", errors.New("is not set")
			}
			return "x", nil
		}
		if _, err := policy.Compile(file, r.env, nil); err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "rule[") {
			t.Errorf("reported is %v", err)
		}
	}
}

// The key of a connection knew only the replay_body of the upstream, and refused bodies
// that the rule of the call allows.
func TestSigningConnectionHasTheReplayBodyOfTheRule(t *testing.T) {
	upstream := policytest.NewUpstream(t, policytest.Step{})
	set := newRig(t, upstream).compile(signed+`replay_body = "4B"
[upstream.api.connection.acme]
access_key_id = "env:ACME_ID"
secret_access_key = "env:ACME"
[[upstream.api.rule]]
match = "PUT /large"
replay_body = "1KiB"
`, nil)
	u, _ := set.ByName("api")
	chain, err := u.Plan("PUT", "/large").Connect(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	answer := policytest.Do(chain, policytest.NewRequest(t, "PUT", "https://dynamodb.eu-west-1.amazonaws.com/large", "12345"))
	if answer.Status != 200 {
		t.Fatalf("answer %+v", answer)
	}
	if _, err := policytest.CheckSigV4(upstream.Requests()[0], "secret-of-ACME"); err != nil {
		t.Error(err)
	}
}

func TestWildcardIsSignedForEachHost(t *testing.T) {
	upstream := policytest.NewUpstream(t, policytest.Step{Times: 2})
	set := newRig(t, upstream).compile(strings.Replace(signed, "\nauth", "\nhosts = [\"*.amazonaws.com\"]\nauth", 1), nil)
	sign(t, set, "bucket.s3.us-east-2.amazonaws.com", "")
	sign(t, set, "sqs.cn-north-1.amazonaws.com", "x")
	for n, want := range []string{"us-east-2/s3", "cn-north-1/sqs"} {
		if s, err := policytest.CheckSigV4(upstream.Requests()[n], "secret-of-S"); err != nil || s.Region+"/"+s.Service != want {
			t.Errorf("signed for %+v, want %s; %v", s, want, err)
		}
	}
	answer := sign(t, set, "bucket.s3-accelerate.amazonaws.com", "")
	var unavailable *auth.UnavailableError
	if !errors.As(answer.Err, &unavailable) || len(upstream.Requests()) != 2 {
		t.Errorf("a host that tells no region: %+v", answer)
	}
}

// What cannot be signed is refused before it waits, costs no turn, and is not retried.
func TestRequestThatCannotBeSignedWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upstream := policytest.NewUpstream(t, policytest.Step{Times: 2})
		set := newRig(t, upstream).compile(signed+`replay_body = "4B"
limit = { rate = "1/m", burst = 1 }`, nil)
		sign(t, set, "dynamodb.eu-west-1.amazonaws.com", "1234")
		answer := sign(t, set, "dynamodb.eu-west-1.amazonaws.com", "12345")
		var refusal policy.Refusal
		if !errors.As(answer.Err, &refusal) || answer.Took != 0 {
			t.Fatalf("answer %+v", answer)
		}
		if reason, _ := refusal.Refusal(); reason != "request-unsignable" || !strings.Contains(refusal.Error(), "replay_body (4 bytes)") {
			t.Errorf("refused for %s: %v", reason, refusal)
		}
	})
}

func TestRefusedSigningKeyIsReadAgain(t *testing.T) {
	secret := "old"
	upstream := policytest.NewUpstream(t,
		policytest.Step{Status: 400, Header: http.Header{"X-Amzn-Errortype": {"UnrecognizedClientException"}}}, policytest.Step{})
	r := newRig(t, upstream)
	r.env.Secret = func(config.Reference) (string, error) { return secret, nil }
	var refused []string
	r.env.Refused = func(ref config.Reference) { refused = append(refused, ref.String()); secret = "new" }
	set := r.compile(signed, nil)
	if answer := sign(t, set, "dynamodb.eu-west-1.amazonaws.com", "{}"); answer.Status != 200 {
		t.Errorf("answer %+v", answer)
	}
	if got := strings.Join(refused, " "); got != "env:ID env:S " {
		t.Errorf("told of %q", got)
	}
	if _, err := policytest.CheckSigV4(upstream.Requests()[1], "new"); err != nil {
		t.Error(err)
	}
}
