package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/policy/policytest"
)

// aws is a service that checks each signature from what arrived on the wire, over
// HTTP/1.1 or HTTP/2, and answers with the length of the body.
func aws(t *testing.T, http2 bool) (url, ca string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, err := policytest.CheckSigV4(policytest.Request{
			Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: string(body),
		}, "the-secret")
		if err != nil {
			w.Header().Set("X-Amzn-Errortype", "InvalidSignatureException")
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "%s %d %s", r.Proto, len(body), r.Header.Get("X-Amz-Content-Sha256"))
	}))
	server.TLS, ca = certificate(t)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, ca
}

// A signature is made at the very end, and yet the transport below writes the request:
// nothing that is signed may be changed there.
func TestSignedRequestsArriveAsTheyWereSigned(t *testing.T) {
	t.Setenv("SIGNING_SECRET", "the-secret")
	for _, http2 := range []bool{false, true} {
		for _, service := range []string{"s3", "dynamodb"} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", service, http2), func(t *testing.T) {
				url, ca := aws(t, http2)
				r := launch(t, fmt.Sprintf(`
[upstream.api]
url = %q
ca_file = %q
replay_body = "1KiB"
auth = { type = "sigv4", access_key_id = "ID", secret_access_key = "env:SIGNING_SECRET", region = "eu-west-1", service = %q }
`, url, ca, service))
				for name, test := range map[string]struct {
					method, target string
					body           string
					chunked        bool
					pieces         bool   // as body says, each is signed by the caller, for S3
					want           string // "": 200
				}{
					"two slashes":   {method: "GET", target: "//a//b/"},
					"signed pieces": {method: "PUT", target: "/x", body: signedPieces, pieces: true},
					"no body":       {method: "GET", target: "/a%20b/%C3%A4?b=2&a=1&empty&c=x+y"},
					"small body":    {method: "POST", target: "/x", body: "small"},
					"chunked body":  {method: "PUT", target: "/x", body: strings.Repeat("x", 1000), chunked: true},
					"large body":    {method: "PUT", target: "/x", body: strings.Repeat("x", 100_000), want: "request-unsignable"},
				} {
					req, err := http.NewRequest(test.method, r.url("/api"+test.target), bytes.NewReader([]byte(test.body)))
					if err != nil {
						t.Fatal(err)
					}
					if test.chunked {
						req.ContentLength = -1
					}
					if test.pieces && service == "s3" {
						req.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
					}
					req.Header.Set("X-Amz-Target", "Some.Operation")
					req.Header.Set("Authorization", "AWS4-HMAC-SHA256 the caller's")
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					wantAnswer(t, service+", "+name, resp.StatusCode, string(got), len(test.body), test.want, service)
				}
			})
		}
	}
}

// signedPieces is a body of one piece, with signatures of a key that is worth nothing.
var signedPieces = "1f4;chunk-signature=" + strings.Repeat("0", 64) + "\r\n" + strings.Repeat("x", 500) + "\r\n0;chunk-signature=" + strings.Repeat("0", 64) + "\r\n\r\n"

// What says that it is in signed pieces and is not ends with the reason, and not as a
// failure of the upstream, which would open its circuit.
func TestBodyThatIsNotInSignedPiecesIsTheCallersFault(t *testing.T) {
	t.Setenv("SIGNING_SECRET", "the-secret")
	url, ca := aws(t, false)
	r := launch(t, fmt.Sprintf(`
[upstream.api]
url = %q
ca_file = %q
auth = { type = "sigv4", access_key_id = "ID", secret_access_key = "env:SIGNING_SECRET", region = "eu-west-1", service = "s3" }
circuit = { consecutive = 1 }
`, url, ca))
	for range 3 {
		req, err := http.NewRequest("PUT", r.url("/api/x"), strings.NewReader(signedPieces+strings.Repeat("y", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 422 || !strings.Contains(string(got), "not in signed pieces") {
			t.Errorf("%d %s", resp.StatusCode, got)
		}
	}
}

func wantAnswer(t *testing.T, name string, status int, body string, length int, problem, service string) {
	t.Helper()
	if problem != "" && service != "s3" { // S3 takes it unsigned
		var p struct{ Type, Detail string }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 422 || p.Type != "urn:outrider:problem:"+problem || !strings.Contains(p.Detail, "raise that") {
			t.Errorf("%s: %d %s", name, status, body)
		}
		return
	}
	if status != 200 || !strings.Contains(body, fmt.Sprintf(" %d ", length)) || problem != "" && !strings.HasSuffix(body, "UNSIGNED-PAYLOAD") {
		t.Errorf("%s: %d %s", name, status, body)
	}
}
