package auth_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const (
	bucket  = "https://bucket.s3.eu-west-1.amazonaws.com/x"
	queue   = "https://sqs.eu-west-1.amazonaws.com/x"
	unknown = -1
)

// streamed is a request whose body can be had again as long as it is not larger than
// limit, as the proxy makes them: reading it is noted.
type streamed struct {
	body  string
	limit int
	read  int
}

func (s *streamed) request(t *testing.T, url string, length int64) *http.Request {
	req := policytest.NewRequest(t, "PUT", url, "x")
	req.ContentLength = length
	req.GetBody = func() (io.ReadCloser, error) {
		if s.read > s.limit {
			return nil, errors.New("gone")
		}
		return io.NopCloser(io.TeeReader(strings.NewReader(s.body), s)), nil
	}
	req.Body, _ = req.GetBody()
	return req
}

func (s *streamed) Write(p []byte) (int, error) {
	s.read += len(p)
	return len(p), nil
}

func TestBodyIsSignedByItsDigest(t *testing.T) {
	up := policytest.NewUpstream(t, policytest.Step{Times: 2})
	rt := signing(t, signingSettings(), up)
	policytest.Do(rt, policytest.NewRequest(t, "PUT", bucket, "the body"))
	policytest.Do(rt, policytest.NewRequest(t, "POST", queue, "the body"))
	for n, r := range up.Requests() {
		wantSigned(t, up, n, exampleSecret)
		if r.Body != "the body" {
			t.Errorf("body %q", r.Body)
		}
	}
	if got := len(up.Requests()[0].Header.Get("X-Amz-Content-Sha256")); got != 64 {
		t.Error("S3 wants the digest in a field of its own")
	}
}

// What says nothing of its length is read first, and then its length is known.
func TestStreamThatCanBeKeptIsReadAndSigned(t *testing.T) {
	s := &streamed{body: strings.Repeat("x", 1000), limit: 1000}
	set := signingSettings()
	set.ReplayBody = 1000
	var length int64
	up := policytest.NewUpstream(t, policytest.Step{Do: func(r *http.Request) { length = r.ContentLength }})
	policytest.Do(signing(t, set, up), s.request(t, queue, unknown))
	wantSigned(t, up, 0, exampleSecret)
	if length != 1000 || up.Requests()[0].Body != s.body {
		t.Errorf("length %d, body %q", length, up.Requests()[0].Body)
	}
}

func TestBodyThatCannotBeKeptIsRefused(t *testing.T) {
	set := signingSettings()
	set.ReplayBody = 1000
	for name, length := range map[string]int64{"of a known length": 1001, "of an unknown length": unknown} {
		s := &streamed{body: strings.Repeat("x", 1001), limit: 1000}
		wantUnsignable(t, policytest.Do(signing(t, set, policytest.NewUpstream(t)), s.request(t, queue, length)), "larger than replay_body (1000 bytes): raise that")
		if length > 0 && s.read > 0 {
			t.Errorf("%s: %d bytes of it were read", name, s.read)
		}
	}
	once := policytest.Streamed(policytest.NewRequest(t, "PUT", queue, "x"))
	wantUnsignable(t, policytest.Do(signing(t, set, policytest.NewUpstream(t)), once), "replay_body")
	plain := &streamed{body: strings.Repeat("x", 1001), limit: 1000} // without TLS somebody might change it
	wantUnsignable(t, policytest.Do(signing(t, set, policytest.NewUpstream(t)), plain.request(t, strings.Replace(bucket, "https", "http", 1), 1001)), "replay_body")
}

// While very many bodies were held, one that is small enough was refused for ever, with
// the advice to raise what had nothing to do with it. S3 does not need it whole.
func TestBodyThatHasNoRoomNowMayComeAgain(t *testing.T) {
	once := func(url string, length int64) *http.Request { // as the proxy makes them then
		req := policytest.Streamed(policytest.NewRequest(t, "PUT", url, "body"))
		req.ContentLength = length
		return req
	}
	unkept := &streamed{body: "body", limit: 3}
	for name, req := range map[string]*http.Request{
		"of a known length": once(queue, 4), "of an unknown length": unkept.request(t, queue, unknown),
	} {
		answer := policytest.Do(signing(t, signingSettings(), policytest.NewUpstream(t)), req)
		var refusal interface {
			error
			Refusal() (string, time.Duration)
		}
		if !errors.As(answer.Err, &refusal) {
			t.Errorf("%s: answer %+v", name, answer)
			continue
		}
		if reason, after := refusal.Refusal(); reason != "bodies-full" || after != time.Second {
			t.Errorf("%s: refused for %s, %v", name, reason, after)
		}
	}
	up := policytest.NewUpstream(t, yes)
	policytest.Do(signing(t, signingSettings(), up), once(bucket, 4))
	if wantSigned(t, up, 0, exampleSecret); up.Requests()[0].Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" {
		t.Errorf("to S3 it went out with %v", up.Requests()[0].Header)
	}
}

func TestStreamToS3IsNotReadAhead(t *testing.T) {
	set := signingSettings()
	set.ReplayBody = 1000
	for name, request := range map[string]func(*streamed) *http.Request{
		"large":          func(s *streamed) *http.Request { return s.request(t, bucket, 1<<20) },
		"unknown length": func(s *streamed) *http.Request { return s.request(t, bucket, unknown) },
		"sent once":      func(s *streamed) *http.Request { return policytest.Streamed(s.request(t, bucket, unknown)) },
		"waits for 100": func(s *streamed) *http.Request {
			s.body = "small"
			req := s.request(t, bucket, 5)
			req.Header.Set("Expect", "100-continue")
			return req
		},
	} {
		s := &streamed{body: strings.Repeat("x", 1<<20), limit: 1000}
		up := policytest.NewUpstream(t, yes)
		rt := signing(t, set, roundTripper(func(r *http.Request) (*http.Response, error) {
			if s.read > 0 {
				t.Errorf("%s: %d bytes were read before it was sent", name, s.read)
			}
			return up.RoundTrip(r)
		}))
		policytest.Do(rt, request(s))
		wantSigned(t, up, 0, exampleSecret)
		if got := up.Requests()[0]; got.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" || got.Body != s.body {
			t.Errorf("%s: %v, %d bytes", name, got.Header, len(got.Body))
		}
	}
}

func TestDigestOfTheCallerIsKept(t *testing.T) {
	digest := "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5" // of "body"
	for _, said := range []string{digest, "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"} {
		up := policytest.NewUpstream(t, yes)
		s := &streamed{body: "body", limit: 1000}
		req := s.request(t, bucket, 4)
		req.Header.Set("X-Amz-Content-Sha256", said)
		policytest.Do(signing(t, signingSettings(), roundTripper(func(r *http.Request) (*http.Response, error) {
			if s.read > 0 {
				t.Error("the body was read once more")
			}
			return up.RoundTrip(r)
		})), req)
		wantSigned(t, up, 0, exampleSecret)
		if got := up.Requests()[0].Header.Get("X-Amz-Content-Sha256"); got != said {
			t.Errorf("%s became %s", said, got)
		}
	}
}

// Each piece of these is signed with the caller's key, after the signature that is
// replaced: events, or with a key pair, or what only S3 takes.
func TestPiecesThatAreSignedInAnotherWayAreRefused(t *testing.T) {
	for said, url := range map[string]string{
		"STREAMING-AWS4-HMAC-SHA256-EVENTS":        "https://transcribestreaming.eu-west-1.amazonaws.com/x",
		"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD": bucket, "anything": bucket,
		signedChunks: queue, signedTrailer: queue,
	} {
		req := policytest.NewRequest(t, "PUT", url, "body")
		req.Header.Set("X-Amz-Content-Sha256", said)
		wantUnsignable(t, policytest.Do(signing(t, signingSettings(), policytest.NewUpstream(t)), req), "UNSIGNED-PAYLOAD")
	}
}

// A client that falls silent in the middle of its body must not keep the call longer
// than its time.
func TestReadingABodyEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("the call's time is over")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, gone)
		defer cancel()
		silent, _ := io.Pipe()
		req := policytest.NewRequest(t, "POST", queue, "x").WithContext(ctx)
		req.ContentLength = unknown
		req.GetBody = func() (io.ReadCloser, error) { return silent, nil }
		answer := policytest.Do(signing(t, signingSettings(), policytest.NewUpstream(t)), req)
		if answer.Err != gone || answer.Took != time.Second {
			t.Errorf("answer %+v", answer)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	next := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	rt := signing(b, signingSettings(), next)
	req := policytest.NewRequest(b, "POST", queue, string(bytes.Repeat([]byte("x"), 1024)))
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	b.ReportAllocs()
	for b.Loop() {
		rt.RoundTrip(req)
	}
}

// FuzzSignedRequestIsAccepted signs what a caller may send, and checks it as a service
// would, from what arrived.
func FuzzSignedRequestIsAccepted(f *testing.F) {
	f.Add("/a%20b/(c)", "b=2&a=1&a=%20", "va  lue", "body", true)
	f.Add("/%2F//..", "lifecycle", "", "", false)
	f.Fuzz(func(t *testing.T, path, query, value, body string, s3 bool) {
		url := queue
		if s3 {
			url = bucket
		}
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path+query, " \t\r\n#?\x00") || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return // it does not come this far
		}
		req := policytest.NewRequest(t, "POST", url, body)
		req.URL.Opaque, req.URL.RawQuery = "//"+req.URL.Host+path, query
		req.Header.Set("X-Amz-Meta-Value", value)
		up := policytest.NewUpstream(t, yes)
		answer := policytest.Do(signing(t, signingSettings(), up), req)
		var unsignable *auth.UnsignableError
		if errors.As(answer.Err, &unsignable) {
			return
		}
		if answer.Err != nil {
			t.Fatal(answer.Err)
		}
		wantSigned(t, up, 0, exampleSecret)
	})
}
