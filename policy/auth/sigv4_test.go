package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const (
	exampleID     = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" //nolint:gosec // the one of the documentation
)

func signingSettings() auth.SigV4Settings {
	return auth.SigV4Settings{AccessKeyID: value(exampleID), SecretAccessKey: value(exampleSecret), ReplayBody: 1 << 20}
}

// signing is the chain of a credential that signs.
func signing(t testing.TB, s auth.SigV4Settings, up http.RoundTripper) http.RoundTripper {
	t.Helper()
	src, err := auth.NewSigV4(s)
	if err != nil {
		t.Fatal(err)
	}
	return auth.Wrap(src, nil)(auth.WrapLast(src, nil)(up))
}

// wantSigned checks the signature of the n-th request, counted from 0, as AWS would.
func wantSigned(t *testing.T, up *policytest.Upstream, n int, secret string) policytest.Signature {
	t.Helper()
	if len(up.Requests()) <= n {
		t.Fatalf("%d requests arrived", len(up.Requests()))
	}
	signature, err := policytest.CheckSigV4(up.Requests()[n], secret)
	if err != nil {
		t.Errorf("request %d: %v", n, err)
	}
	return signature
}

// The signatures of these are printed in AWS's documentation: "Signature Version 4
// signing process" and "Signature Calculations for the Authorization Header"; the last
// ones are of the test suite that AWS's signers share. Those were not met: a base URL
// with a slash at its end, and so a path with two, was answered 403 by all but S3, which
// read it with one.
func TestPublishedExamples(t *testing.T) {
	s3 := func(set *auth.SigV4Settings) {
		set.AccessKeyID, set.SecretAccessKey = value("AKIAIOSFODNN7EXAMPLE"), value("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	}
	suite := func(set *auth.SigV4Settings) { set.Scope = auth.Scope{Region: "us-east-1", Service: "service"} }
	for _, test := range []struct {
		name, url, at string
		field         string
		with          func(*auth.SigV4Settings)
		want          string
	}{
		{"IAM ListUsers", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "20150830T123600Z", "Content-Type: application/x-www-form-urlencoded; charset=utf-8", nil,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
		{"S3 GET Bucket Lifecycle", "https://examplebucket.s3.amazonaws.com/?lifecycle", "20130524T000000Z", "", s3,
			"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		{"S3 GET Bucket (List Objects)", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", "20130524T000000Z", "", s3,
			"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		{"slashes", "https://example.amazonaws.com//example//", "20150830T123600Z", "", suite,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
		{"a dot between slashes", "https://example.amazonaws.com/./", "20150830T123600Z", "", suite,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"a pointless dot", "https://example.amazonaws.com/./example", "20150830T123600Z", "", suite,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
		{"relative", "https://example.amazonaws.com/example1/example2/../..", "20150830T123600Z", "", suite,
			"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at, err := time.Parse("20060102T150405Z", test.at)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(at))
				set, up := signingSettings(), policytest.NewUpstream(t, yes)
				if test.with != nil {
					test.with(&set)
				}
				req := policytest.NewRequest(t, "GET", test.url, "")
				if name, v, ok := strings.Cut(test.field, ": "); ok {
					req.Header.Set(name, v)
				}
				policytest.Do(signing(t, set, up), req)
				if got := up.Requests()[0].Header.Get("Authorization"); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}

func TestEachAttemptIsSignedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := policytest.NewUpstream(t, policytest.Step{Times: 2})
		rt := signing(t, signingSettings(), up)
		began := time.Now()
		for range 2 {
			policytest.Do(rt, policytest.NewRequest(t, "PUT", "https://dynamodb.eu-west-1.amazonaws.com/", "{}"))
			time.Sleep(7 * time.Second)
		}
		for n, want := range []time.Duration{0, 7 * time.Second} {
			if s := wantSigned(t, up, n, exampleSecret); s.At.Sub(began) != want || s.KeyID != exampleID || s.Region != "eu-west-1" || s.Service != "dynamodb" {
				t.Errorf("signature %d: %+v", n, s)
			}
		}
	})
}

func TestSignatureHasTheDateOfTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := auth.NewSigV4(signingSettings())
		if err != nil {
			t.Fatal(err)
		}
		up, began := policytest.NewUpstream(t, yes), time.Now()
		policytest.Do(lasting(src, 20*time.Minute, up), policytest.NewRequest(t, "POST", "https://sqs.eu-west-1.amazonaws.com/", "Action=X"))
		if s := wantSigned(t, up, 0, exampleSecret); s.At.Sub(began) != 20*time.Minute {
			t.Errorf("it is dated %v after the wait began", s.At.Sub(began))
		}
	})
}

func TestWhatTheCallerSignedWithIsReplaced(t *testing.T) {
	up, set := policytest.NewUpstream(t, yes), signingSettings()
	set.SessionToken = value("the-session")
	req := policytest.NewRequest(t, "GET", "https://iam.amazonaws.com/", "")
	req.Header = http.Header{
		"Authorization": {"AWS4-HMAC-SHA256 Credential=placeholder", "twice"}, "X-Amz-Date": {"20000101T000000Z"}, "X-Amz-Security-Token": {"placeholder"},
		"X-Amz-Target": {"a", " b   c "}, "User-Agent": {"x"}, "Accept-Encoding": {"gzip"}, "Traceparent": {"00"}, "Te": {"trailers"},
	}
	policytest.Do(signing(t, set, up), req)
	s := wantSigned(t, up, 0, exampleSecret)
	if want := []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-target"}; !slices.Equal(s.Fields, want) {
		t.Errorf("signed are %q, want %q", s.Fields, want)
	}
	if got := up.Requests()[0].Header["X-Amz-Security-Token"]; !slices.Equal(got, []string{"the-session"}) {
		t.Errorf("session token %q", got)
	}
	if got := req.Header.Get("X-Amz-Date"); got != "20000101T000000Z" {
		t.Errorf("the caller's request was written to: %s", got)
	}

	// Keys that are not temporary: nothing of the caller's session stays.
	up = policytest.NewUpstream(t, yes)
	policytest.Do(signing(t, signingSettings(), up), req)
	wantSigned(t, up, 0, exampleSecret)
	if got := up.Requests()[0].Header["X-Amz-Security-Token"]; got != nil {
		t.Errorf("session token %q", got)
	}
}

func TestPathsAndQueriesAreSignedAsTheServiceReadsThem(t *testing.T) {
	for _, url := range []string{
		"https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%A4%2Fc//d",
		"https://bucket.s3.eu-west-1.amazonaws.com/100%25+(1).txt?versionId=a%2Bb&list-type=2&prefix=%C3%A4%20b",
		"https://x.execute-api.eu-west-1.amazonaws.com/stage/a%20b/%2520/(1)",
		"https://x.execute-api.eu-west-1.amazonaws.com//stage//a/./b/../%2F/",
		"https://bucket.s3.eu-west-1.amazonaws.com//a/./b/../c//",
		"https://x.execute-api.eu-west-1.amazonaws.com/?b=2&a=1&a=0&empty&c=x+y&d=%7e%c3%a4",
		"https://x.execute-api.eu-west-1.amazonaws.com",
	} {
		up := policytest.NewUpstream(t, yes)
		policytest.Do(signing(t, signingSettings(), up), policytest.NewRequest(t, "GET", url, ""))
		wantSigned(t, up, 0, exampleSecret)
		_, rest, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
		path, query, _ := strings.Cut("/"+rest, "?")
		if query != "" {
			path += "?" + strings.ReplaceAll(query, "+", "%20")
		}
		if got := up.Requests()[0].Target; got != path {
			t.Errorf("the target went out as %s, came as %s", got, path)
		}
	}
}

func TestPortOfTheSchemeIsNoPartOfTheSignedHost(t *testing.T) {
	set := signingSettings()
	set.Scope = auth.Scope{Region: "eu-west-1", Service: "s3"}
	for host, want := range map[string]string{
		"https://minio.test:443": "minio.test", "https://minio.test:9000": "minio.test:9000", "https://[::1]:443": "[::1]",
		"http://minio.test:80": "minio.test", "http://minio.test:443": "minio.test:443",
	} {
		up := policytest.NewUpstream(t, yes)
		policytest.Do(signing(t, set, up), policytest.NewRequest(t, "GET", host+"/x", ""))
		wantSigned(t, up, 0, exampleSecret)
		if got := up.Requests()[0].Host; got != want {
			t.Errorf("%s: Host %s, want %s", host, got, want)
		}
	}
}

func TestHostThatTellsNothingNeedsSettings(t *testing.T) {
	for _, test := range []struct {
		scope auth.Scope
		want  string
	}{
		{auth.Scope{}, `the host "minio.test" does not tell the region and service`},
		{auth.Scope{Region: "eu-west-1"}, `does not tell the service`},
		{auth.Scope{Service: "s3"}, `does not tell the region`},
	} {
		set := signingSettings()
		set.Scope = test.scope
		answer := policytest.Do(signing(t, set, policytest.NewUpstream(t)), policytest.NewRequest(t, "GET", "https://minio.test/x", ""))
		var unavailable *auth.UnavailableError
		if !errors.As(answer.Err, &unavailable) || !strings.Contains(answer.Err.Error(), test.want) {
			t.Errorf("%+v: %v", test.scope, answer.Err)
		}
	}
}

// The signer of the SDK remembers derived keys by the access key id alone: a secret
// that was corrected would have been refused until the next day.
func TestCorrectedSecretIsUsedAtOnce(t *testing.T) {
	secret := "a secret with a slip"
	set := signingSettings()
	set.SecretAccessKey = func() (string, error) { return secret, nil }
	up := policytest.NewUpstream(t, policytest.Step{Times: 2})
	rt := signing(t, set, up)
	policytest.Do(rt, policytest.NewRequest(t, "GET", "https://iam.amazonaws.com/", ""))
	secret = exampleSecret
	policytest.Do(rt, policytest.NewRequest(t, "GET", "https://iam.amazonaws.com/", ""))
	wantSigned(t, up, 0, "a secret with a slip")
	wantSigned(t, up, 1, exampleSecret)
}

// refusing is how a service refuses a signature.
func refusing(status int, header, body string) policytest.Step {
	step := policytest.Step{Status: status, Body: body, Header: http.Header{}}
	if header != "" {
		step.Header.Set("X-Amzn-Errortype", header)
	}
	return step
}

func TestRefusedKeyIsReadAgainAndTheCallReplayed(t *testing.T) {
	for name, refusal := range map[string]policytest.Step{
		"XML":   refusing(403, "", `<Error><Code>InvalidAccessKeyId</Code></Error>`),
		"JSON":  refusing(400, "", `{"__type":"com.amazon.coral.service#UnrecognizedClientException"}`),
		"field": refusing(400, "ExpiredTokenException:http://x/", ""),
		"EC2":   refusing(401, "", `<Code>AuthFailure</Code>`),
	} {
		t.Run(name, func(t *testing.T) {
			secret, refused := "old", 0
			set := signingSettings()
			set.SecretAccessKey = func() (string, error) { return secret, nil }
			set.Refused = func() { refused++; secret = "new" }
			up := policytest.NewUpstream(t, refusal, yes)
			answer := policytest.Do(signing(t, set, up), policytest.NewRequest(t, "POST", "https://sqs.eu-west-1.amazonaws.com/", "body"))
			if answer.Status != 200 || refused != 1 {
				t.Errorf("answer %+v, told %d times", answer, refused)
			}
			wantSigned(t, up, 0, "old")
			wantSigned(t, up, 1, "new")
		})
	}
}

func TestRefusalThatIsNotAboutTheKeyIsTheAnswer(t *testing.T) {
	for name, step := range map[string]policytest.Step{
		"the same key":  refusing(403, "", `<Code>SignatureDoesNotMatch</Code>`),
		"no permission": refusing(403, "AccessDeniedException", "SignatureDoesNotMatch"),
		"bad request":   refusing(400, "", `{"__type":"ValidationException"}`),
		"another":       refusing(500, "", "ExpiredToken"),
	} {
		up := policytest.NewUpstream(t, step)
		answer := policytest.Do(signing(t, signingSettings(), up), policytest.NewRequest(t, "POST", "https://sqs.eu-west-1.amazonaws.com/", "body"))
		if answer.Status != step.Status || answer.Body != step.Body || len(up.Requests()) != 1 {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}

// A laptop whose clock is wrong: AWS says what time it is with the refusal.
func TestClockIsSetByTheAnswerThatRefusesItsDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := func(ahead time.Duration) http.Header {
			return http.Header{"Date": {time.Now().Add(ahead).UTC().Format(http.TimeFormat)}}
		}
		skewed := policytest.Step{Status: 403, Body: "<Code>RequestTimeTooSkewed</Code>", Header: server(2 * time.Hour)}
		up := policytest.NewUpstream(t, skewed, yes, yes)
		rt := signing(t, signingSettings(), up)
		began := time.Now()
		for range 2 {
			if answer := policytest.Do(rt, policytest.NewRequest(t, "GET", "https://bucket.s3.amazonaws.com/x", "")); answer.Status != 200 {
				t.Errorf("answer %+v", answer)
			}
		}
		for n, want := range []time.Duration{0, 2 * time.Hour, 2 * time.Hour} {
			if s := wantSigned(t, up, n, exampleSecret); s.At.Sub(began) != want {
				t.Errorf("request %d is dated %v from our clock, want %v", n, s.At.Sub(began), want)
			}
		}
	})
}

func TestURLThatIsSignedAlreadyIsRefused(t *testing.T) {
	for _, query := range []string{
		"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00", "X%2DAmz-Credential=x", "AWSAccessKeyId=x&Signature=y", "a=1;b=2", "a=%zz",
	} {
		req := policytest.NewRequest(t, "GET", "https://bucket.s3.amazonaws.com/x", "")
		req.URL.RawQuery = query
		wantUnsignable(t, policytest.Do(signing(t, signingSettings(), policytest.NewUpstream(t)), req), "")
	}
}

func TestPathThatNamesNoObjectIsRefused(t *testing.T) {
	req := policytest.NewRequest(t, "GET", "https://bucket.s3.amazonaws.com/x", "")
	req.URL.Opaque += "/100%"
	wantUnsignable(t, policytest.Do(signing(t, signingSettings(), policytest.NewUpstream(t)), req), "write %25")
}

func wantUnsignable(t *testing.T, answer policytest.Answer, text string) {
	t.Helper()
	var unsignable *auth.UnsignableError
	if !errors.As(answer.Err, &unsignable) || !strings.Contains(answer.Err.Error(), text) {
		t.Errorf("answer %+v: want one that says %q", answer, text)
		return
	}
	if reason, after := unsignable.Refusal(); reason != "request-unsignable" || after != 0 {
		t.Errorf("refused for %s, %v", reason, after)
	}
}

func TestSessionAndSignatureAreTakenOutOfResponses(t *testing.T) {
	set := signingSettings()
	set.SessionToken, set.Placeholder = value("the-session-token"), "the-placeholder"
	echo := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody,
			Header: http.Header{"X-Auth": r.Header["Authorization"], "X-Session": r.Header["X-Amz-Security-Token"]}}, nil
	})
	rt := signing(t, set, echo)
	req := policytest.NewRequest(t, "GET", "https://iam.amazonaws.com/", "")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("X-Session"); got != "the-placeholder" {
		t.Errorf("session %q", got)
	}
	if got := resp.Header.Get("X-Auth"); !strings.HasSuffix(got, "Signature=the-placeholder") {
		t.Errorf("signature %q", got)
	}
	if resp.Request != req {
		t.Error("the response leads to the signed request")
	}
}

func TestKeysAreInNoError(t *testing.T) {
	for name, set := range map[string]auth.SigV4Settings{
		"line end in the secret": {AccessKeyID: value(exampleID), SecretAccessKey: value(canary + "\n"), SessionToken: value(canary)},
		"line end in the id":     {AccessKeyID: value(canary + "\n"), SecretAccessKey: value(canary)},
		"empty session":          {AccessKeyID: value(canary), SecretAccessKey: value(canary), SessionToken: value("")},
		"unreadable":             {AccessKeyID: value(canary), SecretAccessKey: func() (string, error) { return canary, io.ErrUnexpectedEOF }},
		"no region":              {AccessKeyID: value(canary), SecretAccessKey: value(canary), SessionToken: value(canary)},
	} {
		answer := policytest.Do(signing(t, set, policytest.NewUpstream(t)), policytest.NewRequest(t, "GET", "https://api.test/x", ""))
		var unavailable *auth.UnavailableError
		if !errors.As(answer.Err, &unavailable) || leaks(answer.Err.Error()) {
			t.Errorf("%s: %v", name, answer.Err)
		}
	}
	src, _ := auth.NewSigV4(auth.SigV4Settings{AccessKeyID: value(canary), SecretAccessKey: value(canary), SessionToken: value(canary)})
	token, err := src.Token(context.Background(), auth.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range []any{token, &token, src, []auth.Token{token}} {
		if out := fmt.Sprintf("%v %+v %#v %s %d", thing, thing, thing, thing, thing); leaks(out) {
			t.Errorf("printed: %s", out)
		}
	}
}
