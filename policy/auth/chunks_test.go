package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"outrider/policy/auth"
	"outrider/policy/policytest"
)

const (
	signedChunks  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
)

// inPieces is a body as an SDK makes it, with signatures of a key that is worth nothing.
func inPieces(trailer string, pieces ...string) string {
	signature := strings.Repeat("0", 64)
	var b strings.Builder
	for _, piece := range pieces {
		fmt.Fprintf(&b, "%x;chunk-signature=%s\r\n%s\r\n", len(piece), signature, piece)
	}
	b.WriteString("0;chunk-signature=" + signature + "\r\n")
	if trailer != "" {
		b.WriteString(trailer + "\r\nx-amz-trailer-signature:" + signature + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

func uploadInPieces(t testing.TB, said, body string) *http.Request {
	req := policytest.NewRequest(t, "PUT", bucket, body)
	req.Header.Set("X-Amz-Content-Sha256", said)
	req.Header.Set("Content-Encoding", "aws-chunked")
	return req
}

// SDKs that sign each piece of an upload, as those for .NET do and minio-go without TLS,
// were refused: what they had signed could not stay, and they cannot be talked out of it
// without a change of the program.
func TestSignedPiecesAreSignedAnew(t *testing.T) {
	for name, test := range map[string]struct{ said, body string }{
		"one piece":    {signedChunks, inPieces("", "hello")},
		"none":         {signedChunks, inPieces("")},
		"several":      {signedChunks, inPieces("", strings.Repeat("x", 100_000), "\r\n0;chunk-signature=", strings.Repeat("y", 8192))},
		"a trailer":    {signedTrailer, inPieces("x-amz-checksum-crc32c:sOO8/Q==", "hello", "world")},
		"two trailers": {signedTrailer, inPieces("x-amz-a:1\r\nx-amz-b:2", "hello")},
	} {
		for _, way := range []string{"https", "http"} {
			t.Run(name+" by "+way, func(t *testing.T) {
				up := policytest.NewUpstream(t, yes)
				req := uploadInPieces(t, test.said, test.body)
				req.URL.Scheme = way
				policytest.Do(signing(t, signingSettings(), up), req)
				wantSigned(t, up, 0, exampleSecret)
				if got := up.Requests()[0]; len(got.Body) != len(test.body) || got.Header.Get("X-Amz-Content-Sha256") != test.said {
					t.Errorf("%d bytes became %d, %v", len(test.body), len(got.Body), got.Header)
				}
			})
		}
	}
}

// Each attempt has pieces of its own: the first signature is in all of them.
func TestSignedPiecesAreSignedForEachAttempt(t *testing.T) {
	secret := "old"
	set := signingSettings()
	set.SecretAccessKey = func() (string, error) { return secret, nil }
	set.Refused = func() { secret = "new" }
	up := policytest.NewUpstream(t, refusing(403, "", `<Code>InvalidAccessKeyId</Code>`), yes)
	policytest.Do(signing(t, set, up), uploadInPieces(t, signedTrailer, inPieces("x-amz-checksum-crc32:AAAAAA==", "hello")))
	wantSigned(t, up, 0, "old")
	wantSigned(t, up, 1, "new")
}

func TestSignedPiecesStream(t *testing.T) {
	body := inPieces("", strings.Repeat("x", 1000), strings.Repeat("y", 1000))
	client, uploads := io.Pipe()
	req := policytest.Streamed(uploadInPieces(t, signedChunks, "x"))
	req.Body = client
	up := policytest.NewUpstream(t, yes)
	rt := signing(t, signingSettings(), roundTripper(func(r *http.Request) (*http.Response, error) {
		go func() { _, _ = io.WriteString(uploads, body[:1100]) }() // the first piece, and no more of the second than its beginning
		first := make([]byte, 1000)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			t.Error(err)
		}
		go func() {
			_, _ = io.WriteString(uploads, body[1100:])
			uploads.Close()
		}()
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		again := *r
		again.Body = io.NopCloser(bytes.NewReader(append(first, rest...)))
		return up.RoundTrip(&again)
	}))
	policytest.Do(rt, req)
	wantSigned(t, up, 0, exampleSecret)
}

func TestPiecesThatCannotBeSignedEndTheCall(t *testing.T) {
	set := signingSettings()
	set.ReplayBody = 1000
	signature := strings.Repeat("0", 64)
	for name, test := range map[string]struct{ body, want string }{
		"large":                 {inPieces("", strings.Repeat("x", 1001)), "a piece of the body has 1001 bytes, and has to be read before it can be signed: that is more than replay_body (1000 bytes): raise that"},
		"huge":                  {"fffffffff;chunk-signature=" + signature + "\r\n", "raise that"},
		"no pieces":             {"hello", "not in signed pieces"},
		"not signed":            {"5\r\nhello\r\n0\r\n\r\n", "not in signed pieces"},
		"a short signature":     {"5;chunk-signature=00\r\nhello\r\n", "not in signed pieces"},
		"a negative size":       {"-5;chunk-signature=" + signature + "\r\nhello\r\n", "not in signed pieces"},
		"broken off":            {inPieces("", "hello")[:90], "not in signed pieces"},
		"no end of a piece":     {"5;chunk-signature=" + signature + "\r\nhello, world", "not in signed pieces"},
		"a line without an end": {strings.Repeat("0", 10_000), "not in signed pieces"},
		"a trailer without end": {inPieces(strings.Repeat("x-amz-a:1\r\n", 2000)), "not in signed pieces"},
	} {
		up := policytest.NewUpstream(t, yes)
		answer := policytest.Do(signing(t, set, readsBody(up)), uploadInPieces(t, signedTrailer, test.body))
		var unsignable *auth.UnsignableError
		if !errors.As(answer.Err, &unsignable) || !strings.Contains(answer.Err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, answer.Err, test.want)
		}
	}
}

// readsBody fails as a transport does whose request has no more body.
func readsBody(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("sending the body: %w", err)
		}
		again := *r
		again.Body = io.NopCloser(bytes.NewReader(body))
		return next.RoundTrip(&again)
	})
}

// The client's own failure is told as it is.
func TestPiecesThatStopComingAreNotCalledMisshapen(t *testing.T) {
	gone := errors.New("the client left")
	req := policytest.Streamed(uploadInPieces(t, signedChunks, "x"))
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader(inPieces("", "hello")[:90]), iotest.ErrReader(gone)))
	answer := policytest.Do(signing(t, signingSettings(), readsBody(policytest.NewUpstream(t))), req)
	if !errors.Is(answer.Err, gone) {
		t.Errorf("answer %+v", answer)
	}
}

// FuzzSignedPieces: whatever comes, what goes out is as long, and differs in nothing but
// signatures, which S3 accepts.
func FuzzSignedPieces(f *testing.F) {
	f.Add(inPieces("", "hello", "world"), false)
	f.Add(inPieces("x-amz-checksum-crc32c:sOO8/Q==", "hello"), true)
	f.Add("0;chunk-signature=", true)
	f.Fuzz(func(t *testing.T, body string, trailer bool) {
		said := signedChunks
		if trailer {
			said = signedTrailer
		}
		src, err := auth.NewSigV4(signingSettings())
		if err != nil {
			t.Fatal(err)
		}
		var sent []byte
		rt := auth.Wrap(src, nil)(auth.WrapLast(src, nil)(roundTripper(func(r *http.Request) (*http.Response, error) {
			var err error
			sent, err = io.ReadAll(iotest.OneByteReader(r.Body))
			return &http.Response{StatusCode: 200, Body: http.NoBody}, err
		})))
		req := uploadInPieces(t, said, body+" ").WithContext(context.Background())
		req.Body = io.NopCloser(strings.NewReader(body))
		if _, err := rt.RoundTrip(req); err != nil {
			var unsignable *auth.UnsignableError
			if !errors.As(err, &unsignable) {
				t.Fatal(err)
			}
			return
		}
		if len(sent) != len(body) {
			t.Fatalf("%d bytes became %d", len(body), len(sent))
		}
		for i := range sent {
			if sent[i] != body[i] && !strings.ContainsRune("0123456789abcdef", rune(sent[i])) {
				t.Fatalf("byte %d became %q", i, sent[i])
			}
		}
	})
}
