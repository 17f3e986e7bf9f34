package policytest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// NewRequest makes an outbound request in the form that our chain works on: the
// target's exact bytes are in URL.Opaque, and a body is in memory, says so, and can be
// sent again by GetBody. Its context is t's.
func NewRequest(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatalf("policytest: %v", err)
	}
	req.URL.Opaque = "//" + req.URL.Host + req.URL.EscapedPath()
	if body != "" {
		req.Body = newHeldBody(body)
		req.GetBody = func() (io.ReadCloser, error) { return newHeldBody(body), nil }
	}
	return req
}

// heldBody is a body in memory.
type heldBody struct {
	*strings.Reader
	data []byte
}

func newHeldBody(body string) *heldBody { return &heldBody{strings.NewReader(body), []byte(body)} }

func (b *heldBody) Close() error { return nil }

// Held is the whole body.
func (b *heldBody) Held() []byte { return b.data }

// Streamed takes away the means to send the request's body again: GetBody, and
// the length.
func Streamed(req *http.Request) *http.Request {
	req.Body = io.NopCloser(req.Body)
	req.GetBody = nil
	req.ContentLength = -1
	return req
}

// An Answer is a response that was read to its end, or why there is none.
type Answer struct {
	Status  int // 0: there was no response
	Header  http.Header
	Trailer http.Header
	Body    string // as far as it came
	Err     error  // of the round trip, or of the body
	Took    time.Duration
}

// Do sends a request, reads the whole answer and closes it.
func Do(rt http.RoundTripper, req *http.Request) Answer {
	begun := time.Now()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return Answer{Err: err, Took: time.Since(begun)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Answer{
		Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer,
		Body: string(body), Err: err, Took: time.Since(begun),
	}
}

// Jitter is a source of chance that always gives the same fraction, in [0, 1),
// of what it is asked for.
func Jitter(fraction float64) func(max time.Duration) time.Duration {
	return func(max time.Duration) time.Duration {
		return time.Duration(fraction * float64(max))
	}
}
